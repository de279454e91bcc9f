//! Forgets in small batches what nothing can need any more, at a pace that leaves the database to others.

use std::sync::Arc;
use std::time::Duration;
use vouchsafe_protocol::Chain;

use tokio::sync::Mutex;
use vouchsafe_issuer::Issuer;

const EVERY: Duration = Duration::from_secs(60);
/// How often a backlog that stays is told of.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Removes one batch of each kind; at once again, but for a pause, while there is more.
pub(super) async fn tick(issuer: Arc<Issuer>, pace: Arc<Mutex<Pace>>) -> Duration {
    let mut pace = pace.lock().await;
    let begun = issuer.monotonic();
    let swept = match issuer.sweep(pace.batch).await {
        Ok(swept) => swept,
        Err(error) => {
            tracing::warn!(event = "sweep_failed", error = %Chain(&error));
            return EVERY;
        }
    };
    let now = issuer.monotonic();
    if swept.most() < u64::from(pace.batch) {
        *pace = Pace::default();
        return EVERY;
    }
    let since = *pace.behind_since.get_or_insert(now);
    if now.saturating_sub(since) >= TELL_EVERY {
        pace.behind_since = Some(now);
        tell(&issuer).await;
    }
    pace.after(now.saturating_sub(begun))
}

async fn tell(issuer: &Issuer) {
    if let Ok(backlog) = issuer.sweep_backlog().await {
        tracing::info!(event = "sweep_backlog", most_of_a_kind = backlog.most(), ?backlog);
    }
}

/// How many rows at a time. A batch keeps the writer of SQLite, so it is kept short where the disk is slow.
pub(super) struct Pace {
    batch: u32,
    /// Since when there is more than one batch, or when that was last told.
    behind_since: Option<Duration>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            batch: Self::FIRST,
            behind_since: None,
        }
    }
}

impl Pace {
    const FIRST: u32 = 100;
    const FEWEST: u32 = 20;
    const MOST: u32 = 500;
    const SHORT: Duration = Duration::from_millis(4);
    const LONG: Duration = Duration::from_millis(10);
    const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(2)];

    /// How long to pause after a full batch: six times what it took.
    fn after(&mut self, took: Duration) -> Duration {
        if took > Self::LONG {
            self.batch = (self.batch / 2).max(Self::FEWEST);
        } else if took < Self::SHORT {
            self.batch = (self.batch * 2).min(Self::MOST);
        }
        let [shortest, longest] = Self::PAUSES;
        (took * 6).clamp(shortest, longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f25_batches_follow_the_database_and_leave_it_most_of_its_time() {
        let millis = Duration::from_millis;
        let mut pace = Pace::default();
        let mut after = |took| {
            let pause = pace.after(millis(took));
            (pace.batch, pause)
        };
        assert_eq!(after(2), (200, millis(20)));
        assert_eq!(after(8), (200, millis(48)));
        assert_eq!(after(40), (100, millis(240)));
        assert_eq!(after(900), (50, millis(2000)));
        assert_eq!(after(900), (25, millis(2000)));
        assert_eq!(after(900), (20, millis(2000)));
    }
}
