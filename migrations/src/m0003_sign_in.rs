//! Signing in with a browser: sessions, codes, consent, devices, and what clients and people need for it.

use sea_orm_migration::prelude::*;

use crate::columns::{
    NewTable, Text, big, big_null, big_or, bytes_null, index, key, table, text, text_null, with_columns,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let words = Text::of(manager).await?;
        for (table, columns) in additions() {
            for statement in with_columns(table, columns, words) {
                manager.alter_table(statement).await?;
            }
        }
        for table in tables() {
            manager.create_table(table.statement(words)).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }
}

/// What tables that are there get more.
fn additions() -> Vec<(&'static str, Vec<ColumnDef>)> {
    vec![
        (
            "client",
            vec![
                text_null("id_token_algorithm"),
                text_null("subject_type"),
                text_null("sector_identifier"),
                big_or("pkce_optional", 0),
                big_or("skip_consent", 0),
                // None for a client that an operator made.
                text_null("origin"),
                text_null("registration_kid"),
                bytes_null("registration_mac"),
                big_null("document_expires_at"),
                text_null("client_uri"),
                text_null("logo_uri"),
                text_null("policy_uri"),
                text_null("tos_uri"),
                text_null("brand_color"),
            ],
        ),
        (
            "user_account",
            vec![big_or("email_verified", 0), text_null("profile")],
        ),
        (
            "refresh_family",
            vec![text_null("session_id"), text_null("claims")],
        ),
    ]
}

fn tables() -> Vec<NewTable> {
    let mut tables = browser_tables();
    tables.extend(code_tables());
    tables.extend(registration_tables());
    tables
}

fn browser_tables() -> Vec<NewTable> {
    vec![
        table(
            "session",
            [
                // A digest of what the cookie holds.
                key("id"),
                text("subject"),
                big("auth_time"),
                text_null("acr"),
                text("amr"),
                text_null("agent"),
                big("created_at"),
                big("last_seen_at"),
                big("idle_expires_at"),
                big("absolute_expires_at"),
                big_null("ended_at"),
                // The session that took its place in the same browser.
                text_null("replaced_by"),
            ],
        ),
        table(
            "consent",
            [
                text("subject"),
                text("client_id"),
                // Empty for the issuer itself.
                text("audience"),
                text("scope"),
                big("granted_at"),
                big("updated_at"),
            ],
        )
        .with_key(&["subject", "client_id", "audience"]),
        table("pairwise_subject", [text("subject"), text("sector"), text("sub")])
            .with_key(&["subject", "sector"]),
        table(
            "logout_delivery",
            [
                key("sid"),
                text("client_id"),
                text("subject"),
                big("created_at"),
                big("next_attempt_at"),
                big("attempts"),
            ],
        ),
    ]
}

fn code_tables() -> Vec<NewTable> {
    vec![
        table(
            "authorization_code",
            [
                // A digest of the code.
                key("code"),
                text("client_id"),
                text("subject"),
                text("session_id"),
                // One decision of a person gives one code.
                text("interaction"),
                text_null("redirect_uri"),
                text_null("code_challenge"),
                text_null("nonce"),
                text("scope"),
                text("audience"),
                text_null("claims"),
                big("auth_time"),
                text_null("acr"),
                text("amr"),
                big("created_at"),
                big("expires_at"),
                big_null("redeemed_at"),
                text_null("family_id"),
            ],
        ),
        table(
            "pushed_request",
            [
                // A digest of the random part of the request URI.
                key("reference"),
                text("client_id"),
                text("parameters"),
                big("created_at"),
                big("expires_at"),
                big_null("used_at"),
            ],
        ),
        table(
            "device_code",
            [
                // A digest of the device code.
                key("device_code"),
                text("user_code"),
                text("client_id"),
                text("scope"),
                text("audience"),
                text_null("source"),
                big("created_at"),
                big("expires_at"),
                big("poll_interval"),
                big_null("last_polled_at"),
                text("status"),
                text_null("subject"),
                text_null("session_id"),
                big_null("auth_time"),
                text_null("acr"),
                text_null("amr"),
                big_null("decided_at"),
                big_null("redeemed_at"),
                text_null("family_id"),
            ],
        ),
    ]
}

fn registration_tables() -> Vec<NewTable> {
    vec![table(
        "registration_token",
        [
            // A digest of the token.
            key("token"),
            text_null("note"),
            big("created_at"),
            big("expires_at"),
            big_null("used_at"),
        ],
    )]
}

fn indexes() -> Vec<IndexCreateStatement> {
    let unique = |mut index: IndexCreateStatement| index.unique().to_owned();
    vec![
        index("session_subject", "session", &["subject"]),
        index("session_end", "session", &["absolute_expires_at"]),
        index("consent_client", "consent", &["client_id"]),
        unique(index("pairwise_subject_sub", "pairwise_subject", &["sub"])),
        index("logout_delivery_due", "logout_delivery", &["next_attempt_at"]),
        unique(index(
            "authorization_code_interaction",
            "authorization_code",
            &["interaction"],
        )),
        index("authorization_code_client", "authorization_code", &["client_id"]),
        index("device_code_client", "device_code", &["client_id"]),
        index("device_code_subject", "device_code", &["subject"]),
        index("authorization_code_end", "authorization_code", &["expires_at"]),
        index("pushed_request_end", "pushed_request", &["expires_at"]),
        unique(index("device_code_user_code", "device_code", &["user_code"])),
        index("device_code_end", "device_code", &["expires_at"]),
        index("registration_token_end", "registration_token", &["expires_at"]),
        index("refresh_family_session", "refresh_family", &["session_id"]),
        // Few clients registered themselves; the others take no room in it.
        index("client_registered", "client", &["created_at"])
            .and_where(Expr::col("origin").is_not_null())
            .to_owned(),
    ]
}
