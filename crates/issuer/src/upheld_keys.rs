//! Keys that must never work again, written down anew in a database that does not know it: the denied ones, and in a new
//! epoch those that had left `active` (K4).

use vouchsafe_keys::{KeyRecord, Purpose};
use vouchsafe_protocol::{RevocationKind, Timestamp};
use vouchsafe_store::{KeyChange, StoreError};

use crate::audit::{Event, Remark, announce};
use crate::high_water::{Standing, denial};
use crate::key_ring::TRIES;
use crate::{Actor, Error, Issuer};

impl Issuer {
    /// Writes down in the database what it does not know of the keys that must never work again: the denied ones, and in
    /// a new epoch those that had left `active`.
    ///
    /// # Errors
    /// The store's.
    pub async fn uphold_keys(&self, standing: Standing) -> Result<(), Error> {
        let mut lost_races = 0;
        loop {
            match self.uphold_one(standing == Standing::NewEpoch).await {
                Ok(false) => return Ok(()),
                Ok(true) => {}
                Err(Error::Store(StoreError::Stale { .. })) if lost_races < TRIES => lost_races += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// One change of the keys; false when there is none to make.
    async fn uphold_one(&self, ends_too: bool) -> Result<bool, Error> {
        let (records, version) = self.read_keys().await?;
        let (known, now) = (self.high_water(), self.now());
        let denied = known.forgotten_denials(&records).next();
        if let Some(record) = denied {
            self.write_denial(record, version, now).await?;
            return Ok(true);
        }
        let changes = if ends_too {
            known.forgotten_ends(&records, &self.key_policy(), now)
        } else {
            Vec::new()
        };
        if changes.is_empty() {
            return Ok(false);
        }
        let audit = Remark::new(Event::KeysAdvanced, &Actor::System, now)
            .with("spent", spent_of(&changes))
            .entry();
        self.store
            .change_keys(version, &changes, None, None, &audit)
            .await?;
        announce(&audit);
        self.follow().await?;
        Ok(true)
    }

    async fn write_denial(&self, record: &KeyRecord, version: i64, now: Timestamp) -> Result<(), Error> {
        let kid = &record.kid;
        let audit = Remark::new(Event::KeyRevoked, &Actor::System, now)
            .with("kid", kid.as_str())
            .with("denied", true)
            .entry();
        let revocation = self.revocation(RevocationKind::Kid, kid.as_str(), now);
        let mac = (record.purpose == Purpose::RefreshMac).then_some(kid);
        self.store
            .change_keys(version, &denial(record, now), Some(&revocation), mac, &audit)
            .await?;
        announce(&audit);
        self.follow().await
    }
}

/// How many keys these changes end.
pub(crate) fn spent_of(changes: &[KeyChange]) -> usize {
    let ends = |change: &&KeyChange| matches!(change, KeyChange::Deactivate(..));
    changes.iter().filter(ends).count()
}
