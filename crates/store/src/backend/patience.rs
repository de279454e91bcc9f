//! How long an answer is waited for, and what is done again: nothing waits for ever, and nothing is done twice.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use sea_orm::{DbErr, RuntimeErr};

use crate::StoreError;
use vouchsafe_protocol::Chain;

/// How long a database may take to answer one statement. Longer than it lets a statement run itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(6);

/// How many broken connections one piece of work meets at most: after a restart of the database each of a pool is found
/// broken once.
pub(crate) const BROKEN: u32 = 10;

/// How often a transaction that another one stood in the way of is tried.
pub(crate) const TRIES: u32 = 4;

/// Waits for an answer, but not for ever: what a silent network hides is unknown, and said to be so.
pub(crate) async fn patient<T>(answer: impl Future<Output = Result<T, DbErr>>) -> Result<T, StoreError> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(unavailable("the database does not answer")),
    }
}

/// Runs a transaction again when another one stood in its way: nothing of the failed one is kept. Every write goes
/// through here, or leaves it to its caller to come again.
pub(crate) async fn retrying<T, F>(mut transaction: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        match transaction().await {
            Err(error) if error.is_busy() && tries < TRIES => {
                tracing::debug!(
                    event = "transaction_in_the_way",
                    error = %Chain(&error)
                );
                pause(tries).await;
            }
            outcome => return outcome,
        }
    }
}

/// Waits a little longer each time, and not as long as the next one.
pub(super) async fn pause(tries: u32) {
    // Seeded anew each time; nothing secret rests on it.
    let jitter = RandomState::new().hash_one(tries) % 20;
    tokio::time::sleep(Duration::from_millis(u64::from(tries) * 20 + jitter)).await;
}

pub(super) fn unavailable(what: &str) -> StoreError {
    StoreError::Unavailable(DbErr::Conn(RuntimeErr::Internal(what.to_owned())))
}
