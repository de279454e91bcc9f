//! Rollback: a database that lost something is taken as it is. What it may have brought back to life ends in the same
//! transaction that begins its new epoch, and what it forgot of keys is written down again.

use vouchsafe_keys::KeyRecord;
use vouchsafe_protocol::{RevocationKind, Timestamp};
use vouchsafe_store::{Found, KeyChange, Mark, NewRevocation, Rollback};

use super::AdminError;
use crate::audit::{Event, Remark, announce};
use crate::config::SKEW;
use crate::high_water::{HighWater, Standing, denial};
use crate::key_ring::TRIES;
use crate::upheld_keys::spent_of;
use crate::{Actor, Error, Issuer, LONGEST_ACCESS_TTL};

/// What the acceptance of a rollback came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedRollback {
    /// How many families were alive and are ended.
    pub families: u64,
    /// How many keys the database took for better than they are.
    pub keys: usize,
    /// How far the database had come.
    pub known: Mark,
    /// Where it stands now.
    pub mark: Mark,
}

impl Issuer {
    /// Accepts that the database lost what this process remembers of it: ends every family and every access token issued
    /// so far, compromises and ends again the keys that were, and begins a new epoch. None when the database has
    /// everything, or somebody else accepted the same loss first.
    ///
    /// # Errors
    /// [`AdminError::Changed`] when the keys do not come to rest; [`AdminError::Failed`]. Nothing is done then.
    pub async fn accept_rollback(&self, actor: &Actor) -> Result<Option<AcceptedRollback>, AdminError> {
        for _ in 1..TRIES {
            match self.try_accept_rollback(actor).await {
                Err(AdminError::Changed { .. }) => {}
                done => return done,
            }
        }
        self.try_accept_rollback(actor).await
    }

    async fn try_accept_rollback(&self, actor: &Actor) -> Result<Option<AcceptedRollback>, AdminError> {
        let (known, now) = (self.high_water(), self.now());
        let found = self.store.look(known.beat.as_ref()).await?;
        if known.judge(&found) != Standing::Behind {
            self.take_as_it_is(&known, &found).await?;
            return Ok(None);
        }
        let (records, version) = self.read_keys().await?;
        let denied: Vec<&KeyRecord> = known.forgotten_denials(&records).collect();
        let mut keys: Vec<KeyChange> = denied.iter().flat_map(|record| denial(record, now)).collect();
        let ends = known.forgotten_ends(&records, &self.key_policy(), now);
        let count = denied.len() + spent_of(&ends);
        keys.extend(ends);
        let mut audit = Remark::new(Event::RollbackAccepted, actor, now)
            .with("keys", count)
            .with("known_heartbeat", known.mark.heartbeat)
            .with("found_heartbeat", found.mark.heartbeat)
            .with("known_epoch", known.mark.epoch)
            .with("found_epoch", found.mark.epoch)
            .entry();
        let rollback = Rollback {
            known: known.mark,
            beat: known.beat.as_ref(),
            version,
            keys: &keys,
            revocation: &self.end_of_everything(&known, now),
            audit: &audit,
        };
        let Some(accepted) = self.store.accept_rollback(&rollback).await? else {
            let found = self.store.look(known.beat.as_ref()).await?;
            self.take_as_it_is(&known, &found).await?;
            return Ok(None);
        };
        audit
            .detail
            .insert("families".to_owned(), accepted.families.into());
        announce(&audit);
        self.begin_epoch(accepted.mark).await?;
        Ok(Some(AcceptedRollback {
            families: accepted.families,
            keys: count,
            known: known.mark,
            mark: accepted.mark,
        }))
    }

    /// Goes on with a database that nothing has to be accepted of.
    async fn take_as_it_is(&self, known: &HighWater, found: &Found) -> Result<(), Error> {
        if known.judge(found) == Standing::NewEpoch {
            self.begin_epoch(found.mark).await?;
        }
        Ok(())
    }

    /// The log entry that ends every access token issued so far, also by a machine whose clock was ahead.
    fn end_of_everything(&self, known: &HighWater, now: Timestamp) -> NewRevocation {
        let revocation = self.revocation(RevocationKind::All, "", now);
        // What lies further ahead is a clock that was wrong; by it nothing could be minted until that time has come.
        let latest = now.plus(SKEW);
        if known.seen_at > latest {
            tracing::warn!(
                event = "state_seen_ahead",
                seconds = known.seen_at.since(now).as_secs()
            );
        }
        let not_before = revocation.not_before.max(known.seen_at.min(latest));
        NewRevocation {
            not_before,
            expires: not_before.plus(LONGEST_ACCESS_TTL).plus(SKEW),
            ..revocation
        }
    }
}
