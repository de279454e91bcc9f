//! The first schema: keys, clients, resources, roles, people, refresh-token families, logs, audit.

use sea_orm_migration::prelude::*;

use crate::columns::{
    NewTable, Text, big, big_null, bytes_null, index, key, number_key, table, text, text_null,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = Text::of(manager).await?;
        for table in tables() {
            manager.create_table(table.statement(text)).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        for head in ["revocation", "change"] {
            manager
                .execute(
                    Query::insert()
                        .into_table("log_head")
                        .columns(["name", "n"])
                        .values_panic([head.into(), 0.into()])
                        .to_owned(),
                )
                .await?;
        }
        Ok(())
    }
}

fn tables() -> Vec<NewTable> {
    let mut tables = machine_tables();
    tables.extend(people_tables());
    tables.extend(token_tables());
    tables
}

fn machine_tables() -> Vec<NewTable> {
    vec![
        table(
            "issuer_key",
            [
                key("kid"),
                text("algorithm"),
                text("purpose"),
                text_null("public_jwk"),
                bytes_null("sealed"),
                text_null("sealed_by"),
                big("published_at"),
                big("activates_at"),
                big_null("deactivates_at"),
                big_null("compromised_at"),
            ],
        ),
        table(
            "client",
            [
                key("id"),
                text_null("name"),
                text("auth_method"),
                text("application_type"),
                text("grants"),
                text("scope"),
                text("resources"),
                text("redirect_uris"),
                text("post_logout_redirect_uris"),
                text_null("backchannel_logout_uri"),
                text_null("signing_algorithm"),
                big_null("access_ttl"),
                big_null("refresh_idle_ttl"),
                big_null("refresh_absolute_ttl"),
                text("rotation"),
                big_null("disabled_at"),
                big("created_at"),
                big("updated_at"),
            ],
        ),
        table(
            "client_secret",
            [
                key("id"),
                text("client_id"),
                text("mac_kid"),
                bytes_null("mac"),
                big("created_at"),
                big_null("expires_at"),
            ],
        ),
        table(
            "resource",
            [
                key("uri"),
                text("scope"),
                big("by_role"),
                big("closed"),
                text_null("server_client_id"),
                text_null("signing_algorithm"),
                big_null("access_ttl"),
                big("created_at"),
            ],
        ),
    ]
}

fn people_tables() -> Vec<NewTable> {
    vec![
        table(
            "role",
            [
                key("name"),
                text("permissions"),
                text("includes"),
                big("created_at"),
            ],
        ),
        table(
            "user_account",
            [
                key("subject"),
                text("username"),
                text("name_key"),
                text("name_skeleton"),
                text_null("email"),
                text_null("password_hash"),
                big_null("locked_at"),
                big("created_at"),
                big("updated_at"),
            ],
        ),
        table(
            "sign_in_attempt",
            [
                text("name"),
                text("source"),
                big("failures"),
                big("next_attempt_at"),
                big("updated_at"),
            ],
        )
        .with_key(&["name", "source"]),
        table("user_role", [text("subject"), text("role")]).with_key(&["subject", "role"]),
    ]
}

fn token_tables() -> Vec<NewTable> {
    vec![
        table(
            "refresh_family",
            [
                key("id"),
                text("client_id"),
                text("subject"),
                text("scope"),
                text("audience"),
                big("auth_time"),
                text_null("acr"),
                text("amr"),
                big("refreshable"),
                big("seq"),
                text("current_jti"),
                text_null("previous_jti"),
                text("mac_kid"),
                big("rotated_at"),
                text("recent"),
                big("created_at"),
                big("idle_expires_at"),
                big("absolute_expires_at"),
                big_null("revoked_at"),
                text_null("revoke_reason"),
            ],
        ),
        table("log_head", [key("name"), big("n")]),
        table(
            "revocation_log",
            [
                number_key("n"),
                text("kind"),
                text("key"),
                big("not_before"),
                big("expires"),
                big("at"),
            ],
        ),
        table(
            "change_log",
            [number_key("n"), text("kind"), text("key"), big("at")],
        ),
        table(
            "audit",
            [
                number_key("id").auto_increment().to_owned(),
                big("at"),
                text("event"),
                text("actor_kind"),
                text_null("actor"),
                text_null("client_id"),
                text_null("subject"),
                text_null("sid"),
                text("detail"),
            ],
        ),
    ]
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        index("client_secret_client", "client_secret", &["client_id"]),
        index("user_account_name", "user_account", &["name_key"])
            .unique()
            .to_owned(),
        index("user_account_skeleton", "user_account", &["name_skeleton"])
            .unique()
            .to_owned(),
        index("user_role_role", "user_role", &["role"]),
        index("refresh_family_subject", "refresh_family", &["subject"]),
        index("refresh_family_client", "refresh_family", &["client_id"]),
        index("refresh_family_mac", "refresh_family", &["mac_kid"]),
        index("refresh_family_end", "refresh_family", &["absolute_expires_at"]),
        index("revocation_log_end", "revocation_log", &["expires"]),
        index("revocation_log_start", "revocation_log", &["not_before"]),
        index("sign_in_attempt_age", "sign_in_attempt", &["updated_at"]),
        index("audit_at", "audit", &["at"]),
    ]
}
