//! Forgets in small batches what nothing can need any more, at a pace that leaves the database to others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vouchsafe_issuer::Issuer;

const EVERY: Duration = Duration::from_secs(60);
/// How often a backlog that stays is told of.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Sweeps until `shutdown` turns true.
pub(super) fn run(issuer: &Arc<Issuer>, shutdown: &watch::Receiver<bool>) {
    let (issuer, mut shutdown) = (Arc::clone(issuer), shutdown.clone());
    tokio::spawn(async move {
        let mut pace = Pace::default();
        let mut told = issuer.monotonic();
        loop {
            let round = super::supervised("sweep", sweep(Arc::clone(&issuer), pace.batch)).await;
            let pause = pace.after(round.unwrap_or_default());
            if pause == EVERY {
                told = issuer.monotonic();
            } else if issuer.monotonic().saturating_sub(told) >= TELL_EVERY {
                told = issuer.monotonic();
                tell(&issuer).await;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = shutdown.wait_for(|down| *down) => return,
            }
        }
    });
}

/// What one round came to.
#[derive(Clone, Copy, Default)]
struct Round {
    /// The most rows that it removed of one kind.
    most: u64,
    took: Duration,
}

async fn sweep(issuer: Arc<Issuer>, batch: u32) -> Round {
    let begun = issuer.monotonic();
    let most = match issuer.sweep(batch).await {
        Ok(swept) => swept.most(),
        Err(error) => {
            tracing::warn!(event = "sweep_failed", error = &error as &dyn std::error::Error);
            0
        }
    };
    let took = issuer.monotonic().saturating_sub(begun);
    Round { most, took }
}

async fn tell(issuer: &Issuer) {
    if let Ok(backlog) = issuer.sweep_backlog().await {
        tracing::info!(event = "sweep_backlog", rows_of_a_kind = backlog.most(), ?backlog);
    }
}

/// How many rows at a time. A batch keeps the writer of SQLite, so it is kept short where the disk is slow.
struct Pace {
    batch: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { batch: Self::FIRST }
    }
}

impl Pace {
    const FIRST: u32 = 100;
    const FEWEST: u32 = 20;
    const MOST: u32 = 1000;
    const SHORT: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_millis(15);
    const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(2)];

    /// How long to pause after a round: until the next one, or, while there is more, four times what it took.
    fn after(&mut self, round: Round) -> Duration {
        if round.most < u64::from(self.batch) {
            self.batch = Self::FIRST;
            return EVERY;
        }
        if round.took > Self::LONG {
            self.batch = (self.batch / 2).max(Self::FEWEST);
        } else if round.took < Self::SHORT {
            self.batch = (self.batch * 2).min(Self::MOST);
        }
        let [shortest, longest] = Self::PAUSES;
        (round.took * 4).clamp(shortest, longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f25_batches_follow_the_database_and_leave_it_most_of_its_time() {
        let millis = Duration::from_millis;
        let mut pace = Pace::default();
        let mut after = |most, took| {
            let pause = pace.after(Round {
                most,
                took: millis(took),
            });
            (pace.batch, pause)
        };
        assert_eq!(after(100, 2), (200, millis(20)));
        assert_eq!(after(200, 8), (200, millis(32)));
        assert_eq!(after(200, 40), (100, millis(160)));
        assert_eq!(after(100, 900), (50, millis(2000)));
        assert_eq!(after(50, 900), (25, millis(2000)));
        assert_eq!(after(25, 900), (20, millis(2000)));
        assert_eq!(after(19, 1), (Pace::FIRST, EVERY));
    }
}
