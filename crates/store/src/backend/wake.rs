//! How a process learns that another one appended to the logs: told by the database, with a poll behind it.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DatabaseConnection;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Database;
use super::postgres::CHANNEL;

/// The poll where nothing tells.
const POLL: Duration = Duration::from_millis(250);
/// The poll behind notifications.
const POLL_BEHIND: Duration = Duration::from_millis(500);
const RECONNECT: Duration = Duration::from_secs(1);

/// Waits for the next reason to look at the logs.
#[derive(Debug)]
pub struct Wake {
    told: Option<(Arc<Notify>, JoinHandle<()>)>,
}

impl Wake {
    /// Ends when somebody appended to the logs, and after half a second at the latest.
    pub async fn wait(&self) {
        match &self.told {
            Some((told, _)) => {
                // Elapsed or told: either way the logs are read.
                let _ = tokio::time::timeout(POLL_BEHIND, told.notified()).await;
            }
            None => tokio::time::sleep(POLL).await,
        }
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        if let Some((_, listener)) = &self.told {
            listener.abort();
        }
    }
}

impl Database {
    /// Begins to listen for appends to the logs.
    #[must_use]
    pub fn wake(&self) -> Wake {
        let told = match &self.pools.follow {
            follow if self.dialect.wake_up.is_some() => {
                let told = Arc::new(Notify::new());
                let listener = tokio::spawn(listen(follow.clone(), Arc::clone(&told)));
                Some((told, listener))
            }
            _ => None,
        };
        Wake { told }
    }
}

/// Listens for ever. Whatever was missed while the connection was away is made up for by one more look.
async fn listen(follow: DatabaseConnection, told: Arc<Notify>) {
    loop {
        if let Err(error) = hear(&follow, &told).await {
            tracing::warn!(event = "listen_failed", error = &error as &dyn std::error::Error);
        }
        told.notify_one();
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn hear(follow: &DatabaseConnection, told: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(follow.get_postgres_connection_pool()).await?;
    listener.listen(CHANNEL).await?;
    listener.eager_reconnect(false);
    told.notify_one();
    while listener.try_recv().await?.is_some() {
        told.notify_one();
    }
    Ok(())
}
