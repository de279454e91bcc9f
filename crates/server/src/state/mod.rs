//! What is kept outside the database, in `state.dir`: how far the database had come, and the keys that must never work
//! again. A database that went back in time, by a restored backup or a fail-over that lost commits, is noticed by it.

mod file;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use vouchsafe_issuer::{AcceptedRollback, Actor, Found, HighWater, Issuer, Mark, Standing, Store};
use vouchsafe_protocol::{Chain, Timestamp};

use crate::app::StartError;
use crate::config::Config;
use file::{StateFile, StateFileError};

/// A failure that goes on is told once in so many beats.
const TELL_EVERY: u64 = 60;
/// A beat waits so long for its write; the next ones go by while it still runs.
const LONGEST_WRITE: Duration = Duration::from_secs(2);

/// What becomes of a database that lost what is known of it.
#[derive(Clone, Debug)]
pub enum OnRollback {
    /// Nothing is opened.
    Refuse,
    /// It is taken as it is, and what it may have brought back ends, by the order of somebody.
    Accept(Actor),
}

/// A database that lost what is known of it, as people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regression {
    file: PathBuf,
    known: Mark,
    found: Found,
    /// How many families are alive in it; none when that could not be counted.
    families: Option<u64>,
}

impl fmt::Display for Regression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |mark: &Mark| {
            format!(
                "epoch {}, heartbeat {}, revocation {}, change {}",
                mark.epoch, mark.heartbeat, mark.revocation, mark.change
            )
        };
        let families = self
            .families
            .map_or_else(|| "all".to_owned(), |families| format!("all {families}"));
        let how = match self.found {
            Found { disowned: true, .. } => ", and a server noticed that something is missing in it",
            Found {
                beat_missing: true, ..
            } => ", and not the last beat of this server",
            _ => "",
        };
        write!(
            f,
            "the database went back in time: {} knows {}; the database has {}{how}. Tokens and keys that were ended \
             since would work again. Point database.url at the current database, or accept the loss with `vouchsafe \
             serve --accept-rollback`: it ends {families} live sessions and every access token issued so far",
            self.file.display(),
            said(&self.known),
            said(&self.found.mark),
        )
    }
}

/// Keeps the file, where `state.dir` says that there is one.
#[derive(Debug)]
pub(crate) struct Outside {
    file: Option<StateFile>,
    failures: AtomicU64,
    /// Held while a beat is written down, also after nobody waits for that any more.
    writing: Arc<Mutex<()>>,
}

impl Outside {
    pub(crate) fn of(config: &Config) -> Self {
        let dir = config.state.dir.as_deref();
        Self {
            file: dir.map(|dir| StateFile::new(dir, &config.issuer)),
            failures: AtomicU64::new(0),
            writing: Arc::default(),
        }
    }

    /// Where it is kept, if anywhere.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.file.as_ref().map(StateFile::path)
    }

    /// What is known; none without a folder or a file.
    pub(crate) fn read(&self) -> Result<Option<HighWater>, StateFileError> {
        self.file.as_ref().map_or(Ok(None), StateFile::read)
    }

    /// Adds what is known now.
    pub(crate) fn write(&self, known: &HighWater) -> Result<(), StateFileError> {
        self.file.as_ref().map_or(Ok(()), |file| file.write(known))
    }

    /// What a server begins with; makes the folder.
    pub(crate) fn begin(&self) -> Result<Option<HighWater>, StartError> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let known = file.make_folder().and_then(|()| file.read());
        known.map_err(|error| {
            let advice = "mend it, or remove it if the database is surely the current one";
            StartError::Refused(format!("{error}; {advice}"))
        })
    }

    /// Keeps what is known now, and never stops for it: what fails, or takes too long, is told.
    pub(crate) async fn keep(self: Arc<Self>, known: HighWater) {
        if self.file.is_none() {
            return;
        }
        let Ok(turn) = Arc::clone(&self.writing).try_lock_owned() else {
            self.tell("the write before still runs");
            return;
        };
        let outside = Arc::clone(&self);
        let writing = tokio::task::spawn_blocking(move || {
            let written = outside.write(&known);
            drop(turn);
            written
        });
        match timeout(LONGEST_WRITE, writing).await {
            Ok(Ok(Ok(()))) => self.failures.store(0, Ordering::Relaxed),
            Ok(Ok(Err(error))) => self.tell(&Chain(&error).to_string()),
            Ok(Err(_)) => self.tell("the write was cut off"),
            Err(_) => self.tell("the write takes too long"),
        }
    }

    fn tell(&self, error: &str) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        if failures.is_multiple_of(TELL_EVERY) {
            tracing::error!(event = "state_file_failed", error);
        }
    }

    /// Says where a database stands, tells once when a rollback would go unnoticed, and refuses one that lost what is
    /// known of it, or of which another server said so, unless that is to be accepted.
    pub(crate) async fn compare(
        &self,
        known: Option<&HighWater>,
        store: &Store,
        now: Timestamp,
        on_rollback: &OnRollback,
    ) -> Result<Found, StartError> {
        let found = store.look(known.and_then(|known| known.beat.as_ref())).await?;
        if known.is_none() {
            match (&self.file, found.mark.heartbeat) {
                (None, _) => tracing::warn!(event = "state_dir_unset"),
                (Some(file), 1..) => {
                    tracing::warn!(event = "state_file_missing", file = %file.path().display())
                }
                // A database that no server ever ran on has no past that could be missing.
                _ => {}
            }
        }
        let nothing = HighWater::default();
        let known = known.unwrap_or(&nothing);
        match (known.judge(&found), on_rollback) {
            (Standing::Behind, OnRollback::Refuse) => Err(StartError::Rollback(Regression {
                file: self.path().unwrap_or_else(|| PathBuf::from("this server")),
                known: known.mark,
                found,
                families: store.living_families(now).await.ok(),
            })),
            _ => Ok(found),
        }
    }
}

/// What comparing a database with the file says to people.
#[derive(Debug)]
pub(crate) enum Examined {
    /// It has everything that is known.
    Whole(String),
    /// Nothing is known.
    Unknown(String),
    /// It lost something.
    Lost(String),
    /// It could not be compared.
    Failed(String),
}

impl Outside {
    /// Compares a database with the file, for people.
    pub(crate) async fn examine(&self, store: &Store) -> Examined {
        let Some(file) = &self.file else {
            return Examined::Unknown("state.dir is not set".to_owned());
        };
        let path = file.path();
        let path = path.display();
        let known = match file.read() {
            Ok(known) => known,
            Err(error) => return Examined::Failed(error.to_string()),
        };
        let beat = known.as_ref().and_then(|known| known.beat.as_ref());
        let found = store.look(beat).await;
        match (found, known) {
            (Ok(found), _) if found.disowned => {
                Examined::Lost("a server noticed that the database lost something".to_owned())
            }
            (Ok(found), Some(known)) if known.judge(&found) == Standing::Behind => {
                Examined::Lost(format!("the database lost what {path} knows of it"))
            }
            (Ok(_), None) => Examined::Unknown(format!("there is no {path}")),
            (Ok(_), Some(_)) => Examined::Whole(format!("the database has everything that {path} knows")),
            (Err(error), _) => Examined::Failed(error.to_string()),
        }
    }
}

/// Brings an opened issuer and what is known of its database together; says what accepting a loss came to.
pub(crate) async fn reconcile(
    issuer: &Issuer,
    known: &HighWater,
    found: Found,
    on_rollback: &OnRollback,
) -> Result<Option<AcceptedRollback>, StartError> {
    match (issuer.remember(known, &found), on_rollback) {
        (Standing::Behind, OnRollback::Accept(actor)) => Ok(issuer.accept_rollback(actor).await?),
        (standing, _) => {
            issuer.uphold_keys(standing).await?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f13_a_regression_says_what_is_known_and_what_accepting_it_ends() {
        let mark = |heartbeat| Mark {
            epoch: 1,
            heartbeat,
            revocation: 3,
            change: 4,
        };
        let told = Regression {
            file: PathBuf::from("/var/lib/vouchsafe/state.json"),
            known: mark(500),
            found: mark(400).into(),
            families: Some(17),
        };
        let disowned = Regression {
            known: mark(400),
            found: Found {
                disowned: true,
                ..told.found
            },
            ..told.clone()
        };
        assert!(disowned.to_string().contains("a server noticed"), "{disowned}");
        let told = told.to_string();
        for part in [
            "/var/lib/vouchsafe/state.json knows epoch 1, heartbeat 500, revocation 3, change 4;",
            "the database has epoch 1, heartbeat 400,",
            "`vouchsafe serve --accept-rollback`: it ends all 17 live sessions and every access token",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }
}
