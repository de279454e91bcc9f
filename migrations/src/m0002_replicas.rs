//! Many replicas on one database: the counters they share, and the indexes that forgetting in batches needs.

use sea_orm_migration::prelude::*;

use crate::columns::{Text, big, index, key, number_key, table, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// `keys` is locked by whoever changes the set of keys; `heartbeat` grows as long as anybody works here; `epoch` counts
/// the times that an older copy was accepted; `lost` is the last epoch of which a replica noticed that something is
/// missing; `schema_floor` is the number of the newest change that a binary must know.
const COUNTERS: [(&str, i64); 5] = [
    ("keys", 0),
    ("heartbeat", 0),
    ("epoch", 1),
    ("lost", 0),
    ("schema_floor", 1),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let words = Text::of(manager).await?;
        let counter = table("counter", [key("name"), big("n")]);
        manager.create_table(counter.statement(words)).await?;
        // Which replica's beat a number of `heartbeat` was.
        let beat = table("beat", [number_key("n"), text("nonce"), big("at")]);
        manager.create_table(beat.statement(words)).await?;
        for (name, n) in COUNTERS {
            let row = Query::insert()
                .into_table("counter")
                .columns(["name", "n"])
                .values_panic([name.into(), n.into()])
                .to_owned();
            manager.execute(row).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }
}

/// What sweeping searches by and had no index. A family is swept at its absolute end, ended or not, so neither
/// `revoked_at` nor `idle_expires_at` needs one; and every rotation moves the latter: on PostgreSQL a row whose indexed
/// columns stay as they are is renewed within its page, without a touch to any index.
fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        index("beat_age", "beat", &["at"]),
        // Few secrets have an end; the others take no room in it.
        index("client_secret_end", "client_secret", &["expires_at"])
            .and_where(Expr::col("expires_at").is_not_null())
            .to_owned(),
        index("change_log_age", "change_log", &["at"]),
        // The newest change of a kind, which sweeping leaves in place.
        index("change_log_kind", "change_log", &["kind", "n"]),
    ]
}
