//! The ring of keys in use: loaded from the store, advanced by the clock, changed by one guarded commit.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use vouchsafe_keys::{GeneratedKey, Jwks, KeyRecord, KeyRing, Step};
use vouchsafe_protocol::Chain;
use vouchsafe_protocol::failpoint::reach;
use vouchsafe_protocol::{Kid, Timestamp};
use vouchsafe_store::{AuditEntry, KeyChange, NewRevocation, StoreError};

use crate::audit::{Event, Remark, announce};
use crate::{Actor, Error, Issuer, key_rows};

/// Another replica may win a few times; more often means that something is wrong.
pub(crate) const TRIES: usize = 5;

/// What is committed together with steps of a plan.
#[derive(Default)]
pub(crate) struct WithSteps<'a> {
    /// The log entry that ends what a compromised key signed.
    pub(crate) revocation: Option<&'a NewRevocation>,
    /// The refresh MAC key whose families end.
    pub(crate) ended_mac: Option<&'a Kid>,
}

impl Issuer {
    /// The JWKS as it stands now: bytes already built, no store.
    #[must_use]
    pub fn jwks(&self) -> Jwks {
        self.keys.load().jwks(self.now())
    }

    /// True when every configured algorithm has a key that may sign now.
    #[must_use]
    pub fn can_sign(&self) -> bool {
        let (ring, now) = (self.keys.load(), self.now());
        self.config
            .key_policy
            .algorithms
            .iter()
            .all(|algorithm| ring.signer(*algorithm, now).is_some())
    }

    /// Reads every key, and the version that guards a change of them.
    pub(crate) async fn read_keys(&self) -> Result<(Vec<KeyRecord>, i64), Error> {
        let (rows, version) = self.store.keys().await?;
        let records = rows.into_iter().map(key_rows::record).collect::<Result<_, _>>()?;
        Ok((records, version))
    }

    /// Takes the keys of the store into use, each of which the master key must open.
    pub(crate) async fn open_keys(&self) -> Result<(), Error> {
        let (records, version) = self.read_keys().await?;
        let ring = KeyRing::open(&records, &self.master, &self.key_policy(), self.now())?;
        self.put_in_use(ring, version, &records);
        Ok(())
    }

    /// Takes the keys of the store into use, going on with those that are open already: a key that this master key
    /// does not open (it was sealed under another meanwhile) is published and verifies, but does not sign here.
    pub(crate) async fn reload_keys(&self) -> Result<(), Error> {
        let (records, version) = self.read_keys().await?;
        let before = self.keys.load_full();
        let (ring, unopened) = before.follow(&records, &self.master, &self.key_policy(), self.now())?;
        for error in &unopened {
            tracing::error!(event = "key_unreadable", error = %Chain(error));
        }
        self.put_in_use(ring, version, &records);
        Ok(())
    }

    /// A slower reader never puts an older set of keys back into use.
    fn put_in_use(&self, ring: KeyRing, version: i64, records: &[KeyRecord]) {
        let mut newest = self.key_version.lock().unwrap_or_else(PoisonError::into_inner);
        if version >= *newest {
            *newest = version;
            self.keys.store(Arc::new(ring));
            self.keys_read.store(self.now().as_unix(), Ordering::Release);
            self.past.learn_keys(records, self.now());
            let due = vouchsafe_keys::next_due(records, &self.key_policy(), self.now());
            self.keys_due
                .store(due.map_or(i64::MAX, Timestamp::as_unix), Ordering::Release);
        }
    }

    /// True when the clock asks something of the keys, or stepped back behind what was read of them.
    #[must_use]
    pub fn keys_are_due(&self) -> bool {
        let now = self.now().as_unix();
        self.keys_due.load(Ordering::Acquire) <= now || now < self.keys_read.load(Ordering::Acquire)
    }

    /// Does what the clock asks of the keys: makes the next one, erases what retired. What it asks next, and
    /// when, follows from the keys that are then in use: [`Issuer::keys_are_due`]. A process that may not forget only
    /// reads them.
    ///
    /// # Errors
    /// The store's and the keys'; whatever was committed holds.
    pub async fn advance_keys(&self) -> Result<(), Error> {
        for _ in 0..TRIES {
            let now = self.now();
            let (records, version) = self.read_keys().await?;
            self.must_be_ours(&records)?;
            let steps = vouchsafe_keys::plan(&records, &self.key_policy(), now);
            if steps.is_empty() || !self.may_forget() {
                return self.reload_keys().await;
            }
            let audit = Remark::new(Event::KeysAdvanced, &Actor::System, now)
                .with("steps", steps.len())
                .entry();
            match self
                .commit_steps((records, version), &steps, WithSteps::default(), &audit)
                .await
            {
                Ok(_) => announce(&audit),
                Err(Error::Store(StoreError::Stale { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Internal("the set of keys does not come to rest"))
    }

    /// Makes the keys that the steps ask for and commits everything at once, if the set of keys is still the one that
    /// was read; the loser's new keys are dropped. Says how many families ended.
    pub(crate) async fn commit_steps(
        &self,
        (mut records, version): (Vec<KeyRecord>, i64),
        steps: &[Step],
        with: WithSteps<'_>,
        audit: &AuditEntry,
    ) -> Result<u64, Error> {
        let mut changes = Vec::with_capacity(steps.len());
        for step in steps {
            let generated = self.generate_for(step).await?;
            let kid = generated.as_ref().map(|key| key.kid.clone());
            vouchsafe_keys::apply(&mut records, step, generated)
                .map_err(|_| Error::Internal("a key plan misfits"))?;
            changes.push(match step {
                Step::Generate { .. } => {
                    let made = records.iter().find(|record| Some(&record.kid) == kid.as_ref());
                    KeyChange::Insert(key_rows::row(
                        made.ok_or(Error::Internal("a new key is missing"))?,
                    ))
                }
                Step::SetActivation { kid, at } => KeyChange::Activate(kid.clone(), *at),
                Step::SetDeactivation { kid, at } => KeyChange::Deactivate(kid.clone(), *at),
                Step::SetCompromised { kid, at } => KeyChange::Compromise(kid.clone(), *at),
                Step::Destroy { kid } => KeyChange::Destroy(kid.clone()),
            });
        }
        reach("keys.generated");
        let ended = self
            .store
            .change_keys(version, &changes, with.revocation, with.ended_mac, audit)
            .await?;
        self.follow().await?;
        Ok(ended)
    }

    /// A process whose master key was replaced makes no key that the next start could not open.
    pub(crate) fn must_be_ours(&self, records: &[KeyRecord]) -> Result<(), Error> {
        let master = self.master.id();
        let mut sealed = records.iter().filter_map(|record| record.sealed.as_ref());
        match sealed.find(|sealed| sealed.master_id != master) {
            Some(_) => Err(Error::OtherMasterKey),
            None => Ok(()),
        }
    }

    async fn generate_for(&self, step: &Step) -> Result<Option<GeneratedKey>, Error> {
        let Step::Generate {
            algorithm, purpose, ..
        } = *step
        else {
            return Ok(None);
        };
        let master = Arc::clone(&self.master);
        // RSA takes up to a tenth of a second, too long for the runtime's threads.
        let made =
            tokio::task::spawn_blocking(move || vouchsafe_keys::generate(algorithm, purpose, &master)).await;
        Ok(Some(made.map_err(|_| {
            Error::Internal("the making of a key was cut off")
        })??))
    }
}
