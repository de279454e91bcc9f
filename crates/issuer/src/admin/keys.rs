//! Keys: list, rotate, revoke, rewrap.

use vouchsafe_keys::{
    KeyAlgorithm, KeyRecord, KeyState, MasterKey, Purpose, RevokeRefused, RotateRefused, Urgency,
    plan_revocation, plan_rotation,
};
use vouchsafe_protocol::{Kid, RevocationKind, Timestamp};
use vouchsafe_store::KeyChange;

use super::AdminError;
use crate::audit::{Event, Remark};
use crate::key_ring::{TRIES, WithSteps};
use crate::{Actor, Error, Issuer};

/// One key as an operator sees it.
#[derive(Clone, Debug)]
pub struct KeyView {
    /// Its id.
    pub kid: Kid,
    /// Its algorithm.
    pub algorithm: KeyAlgorithm,
    /// What it is for.
    pub purpose: Purpose,
    /// `next`, `active`, `verify_only`, `retired` or `compromised`.
    pub state: &'static str,
    /// Since when it is published.
    pub published_at: Timestamp,
    /// When its next step comes, and which: `active`, `verify_only` or `retired`.
    pub next_step: Option<(&'static str, Timestamp)>,
}

impl Issuer {
    /// Every key ever made, the ones in use first.
    ///
    /// # Errors
    /// [`AdminError::Failed`].
    pub async fn list_keys(&self) -> Result<Vec<KeyView>, AdminError> {
        let (records, _) = self.read_keys().await?;
        let mut views: Vec<KeyView> = records.iter().map(|record| self.view_key(record)).collect();
        let rank = |state| {
            ["active", "next", "verify_only", "compromised", "retired"]
                .iter()
                .position(|s| *s == state)
        };
        views.sort_by_key(|view| (view.purpose, view.algorithm, rank(view.state), view.published_at));
        Ok(views)
    }

    fn view_key(&self, record: &KeyRecord) -> KeyView {
        let policy = self.key_policy();
        let (state, next_step) = match record.state(self.now(), &policy) {
            KeyState::Next { activates_at } => ("next", Some(("active", activates_at))),
            KeyState::Active { deactivates_at, .. } => {
                ("active", deactivates_at.map(|at| ("verify_only", at)))
            }
            KeyState::VerifyOnly { until } => ("verify_only", until.map(|at| ("retired", at))),
            KeyState::Retired => ("retired", None),
            KeyState::Compromised { .. } => ("compromised", None),
        };
        KeyView {
            kid: record.kid.clone(),
            algorithm: record.algorithm,
            purpose: record.purpose,
            state,
            published_at: record.published_at,
            next_step,
        }
    }

    /// Brings the next key of each line forward: of the named algorithm, or of every signing algorithm. Says which
    /// keys now sign when.
    ///
    /// # Errors
    /// [`AdminError::Refused`] while a key set without the next key may be cached, unless forced; [`AdminError::Failed`].
    pub async fn rotate_keys(
        &self,
        lines: &[(KeyAlgorithm, Purpose)],
        urgency: Urgency,
        actor: &Actor,
    ) -> Result<usize, AdminError> {
        for _ in 1..TRIES {
            match self.try_rotate_keys(lines, urgency, actor).await {
                Err(AdminError::Changed { .. }) => {}
                done => return done,
            }
        }
        self.try_rotate_keys(lines, urgency, actor).await
    }

    async fn try_rotate_keys(
        &self,
        lines: &[(KeyAlgorithm, Purpose)],
        urgency: Urgency,
        actor: &Actor,
    ) -> Result<usize, AdminError> {
        let now = self.now();
        let policy = self.key_policy();
        let (records, version) = self.read_keys().await?;
        self.must_be_ours(&records)?;
        let mut steps = Vec::new();
        for (algorithm, purpose) in lines {
            let planned = plan_rotation(&records, *algorithm, *purpose, &policy, now, urgency);
            steps.extend(planned.map_err(|refused| match refused {
                RotateRefused::StillCached { until } => AdminError::Refused(format!(
                    "a key set without the next {algorithm} key may be cached for {} more seconds; --force overrides",
                    until.since(now).as_secs()
                )),
                RotateRefused::NotConfigured { .. } => AdminError::invalid(refused.to_string()),
            })?);
        }
        if steps.is_empty() {
            return Ok(0);
        }
        let forced = matches!(urgency, Urgency::Now { force: true });
        let audit = Remark::new(Event::KeysRotated, actor, now)
            .with("now", matches!(urgency, Urgency::Now { .. }))
            .with("forced", forced)
            .entry();
        self.commit_steps((records, version), &steps, WithSteps::default(), &audit)
            .await?;
        self.concluded(&audit).await?;
        Ok(steps.len())
    }

    /// Every line that rotates when none is named.
    #[must_use]
    pub fn signing_lines(&self) -> Vec<(KeyAlgorithm, Purpose)> {
        let algorithms = self.config.key_policy.algorithms.iter();
        algorithms
            .map(|algorithm| (KeyAlgorithm::from(*algorithm), Purpose::Signing))
            .collect()
    }

    /// Trusts a key no longer, from this instant: nothing it signed is accepted, and its successor signs at once.
    /// Says how many families ended with it.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Refused`], [`AdminError::Failed`].
    pub async fn revoke_key(&self, kid: &Kid, actor: &Actor) -> Result<u64, AdminError> {
        for _ in 1..TRIES {
            match self.try_revoke_key(kid, actor).await {
                Err(AdminError::Changed { .. }) => {}
                done => return done,
            }
        }
        self.try_revoke_key(kid, actor).await
    }

    async fn try_revoke_key(&self, kid: &Kid, actor: &Actor) -> Result<u64, AdminError> {
        let now = self.now();
        let (records, version) = self.read_keys().await?;
        let steps =
            plan_revocation(&records, kid, &self.key_policy(), now).map_err(|refused| match refused {
                RevokeRefused::NotFound { kid } => AdminError::not_found("key", kid),
                RevokeRefused::AlreadyRevoked { .. } => AdminError::Refused(refused.to_string()),
            })?;
        let purpose = records
            .iter()
            .find(|record| record.kid == *kid)
            .map(|record| record.purpose);
        let revocation = self.revocation(RevocationKind::Kid, kid.as_str(), now);
        let audit = Remark::new(Event::KeyRevoked, actor, now)
            .with("kid", kid.as_str())
            .entry();
        let with = WithSteps {
            revocation: Some(&revocation),
            ended_mac: (purpose == Some(Purpose::RefreshMac)).then_some(kid),
        };
        let ended = self
            .commit_steps((records, version), &steps, with, &audit)
            .await?;
        self.concluded(&audit).await?;
        Ok(ended)
    }

    /// Seals every private key under another master key. Afterwards only that one opens them.
    ///
    /// # Errors
    /// [`AdminError::Refused`] when the keys changed meanwhile; [`AdminError::Failed`].
    pub async fn rewrap_keys(&self, new: &MasterKey, actor: &Actor) -> Result<usize, AdminError> {
        for _ in 1..TRIES {
            match self.try_rewrap_keys(new, actor).await {
                Err(AdminError::Changed { .. }) => {}
                done => return done,
            }
        }
        self.try_rewrap_keys(new, actor).await
    }

    async fn try_rewrap_keys(&self, new: &MasterKey, actor: &Actor) -> Result<usize, AdminError> {
        let (records, version) = self.read_keys().await?;
        let mut changes = Vec::new();
        for record in records.iter().filter(|record| record.sealed.is_some()) {
            let sealed = vouchsafe_keys::rewrap(record, &self.master, new).map_err(Error::from)?;
            changes.push(KeyChange::Reseal(
                record.kid.clone(),
                sealed.nonce_and_ciphertext,
                sealed.master_id,
            ));
        }
        let audit = Remark::new(Event::KeysRewrapped, actor, self.now())
            .with("keys", changes.len())
            .with("master_key", new.id())
            .entry();
        self.store
            .change_keys(version, &changes, None, None, &audit)
            .await?;
        crate::audit::announce(&audit);
        Ok(changes.len())
    }
}
