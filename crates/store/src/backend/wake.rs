//! How a process learns that another one appended to the logs: told by the database, with a poll behind it.

use std::sync::Arc;
use std::time::Duration;
use vouchsafe_protocol::Chain;

use sea_orm::DatabaseConnection;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Database;

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
    pub(crate) fn wake(&self) -> Wake {
        let told = self.dialect.channel.map(|channel| {
            let told = Arc::new(Notify::new());
            let listener = listen(self.follower().clone(), channel, Arc::clone(&told));
            (told, tokio::spawn(listener))
        });
        Wake { told }
    }
}

/// Listens for ever. Whatever was missed while the connection was away is made up for by one more look.
async fn listen(follow: DatabaseConnection, channel: &str, told: Arc<Notify>) {
    loop {
        if let Err(error) = hear(&follow, channel, &told).await {
            tracing::warn!(event = "listen_failed", error = %Chain(&error));
        }
        told.notify_one();
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn hear(follow: &DatabaseConnection, channel: &str, told: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(follow.get_postgres_connection_pool()).await?;
    listener.listen(channel).await?;
    listener.eager_reconnect(false);
    told.notify_one();
    while listener.try_recv().await?.is_some() {
        told.notify_one();
    }
    Ok(())
}
