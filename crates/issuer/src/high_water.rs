//! What this process knows of the past of its database, so that one that went back in time, by a restored backup or a
//! fail-over that lost commits, is noticed and brings nothing back.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use vouchsafe_keys::{KeyPolicy, KeyRecord, KeyState};
use vouchsafe_protocol::{Chain, Kid, Timestamp, random_token};
use vouchsafe_store::{Beat, Found, KeyChange, LogHeads, Mark};

use crate::{Error, Issuer};

/// How often a loss that goes on is told again.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// The entropy of a beat's nonce.
const NONCE_BYTES: usize = 16;

/// What is known of a database outside it: how far it had come, and which keys must never work again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HighWater {
    /// How far it had come; epoch 0 when nothing is known.
    pub mark: Mark,
    /// The last beat that was counted here.
    pub beat: Option<Beat>,
    /// Keys known to be compromised: never published, never trusted.
    pub denied: BTreeSet<Kid>,
    /// Keys that left `active`: they never sign again (K4).
    pub spent: BTreeSet<Kid>,
    /// The latest second in which anything may have been issued.
    pub seen_at: Timestamp,
}

impl Default for HighWater {
    fn default() -> Self {
        Self {
            mark: Mark::default(),
            beat: None,
            denied: BTreeSet::new(),
            spent: BTreeSet::new(),
            seen_at: Timestamp::from_unix(0),
        }
    }
}

/// How a database compares with what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has everything that is known of it.
    Current,
    /// Somebody began a new epoch on it: what it lost was accepted.
    NewEpoch,
    /// It lost something that is known of it.
    Behind,
}

impl HighWater {
    /// How a database compares that shows this to whoever asks for `beat`.
    #[must_use]
    pub fn judge(&self, found: &Found) -> Standing {
        if found.is_behind(&self.mark) {
            Standing::Behind
        } else if self.mark.epoch > 0 && found.mark.epoch > self.mark.epoch {
            Standing::NewEpoch
        } else {
            Standing::Current
        }
    }

    /// Takes in what another one knows; nothing that is known is forgotten.
    pub fn merge(&mut self, other: &Self) {
        self.mark = self.mark.furthest(other.mark);
        if let Some(beat) = &other.beat {
            self.remember_beat(beat);
        }
        self.denied.extend(other.denied.iter().cloned());
        self.spent.extend(other.spent.iter().cloned());
        self.seen_at = self.seen_at.max(other.seen_at);
    }

    /// Takes the later one of two beats.
    fn remember_beat(&mut self, beat: &Beat) {
        if self.beat.as_ref().is_none_or(|own| beat.is_later_than(own)) {
            self.beat = Some(beat.clone());
        }
    }

    /// The denied keys that the database takes for sound.
    pub(crate) fn forgotten_denials<'r>(
        &self,
        records: &'r [KeyRecord],
    ) -> impl Iterator<Item = &'r KeyRecord> {
        records
            .iter()
            .filter(|record| record.compromised_at.is_none() && self.denied.contains(&record.kid))
    }

    /// What ends the spent keys that the database would sign with, now or later.
    pub(crate) fn forgotten_ends(
        &self,
        records: &[KeyRecord],
        policy: &KeyPolicy,
        now: Timestamp,
    ) -> Vec<KeyChange> {
        let spent = records
            .iter()
            .filter(|record| self.spent.contains(&record.kid) && !self.denied.contains(&record.kid));
        let mut changes = Vec::new();
        for record in spent {
            let kid = &record.kid;
            match record.state(now, policy) {
                KeyState::Next { .. } => changes.extend([
                    KeyChange::Activate(kid.clone(), now),
                    KeyChange::Deactivate(kid.clone(), now),
                ]),
                KeyState::Active { .. } => changes.push(KeyChange::Deactivate(kid.clone(), now)),
                KeyState::VerifyOnly { .. } | KeyState::Retired | KeyState::Compromised { .. } => {}
            }
        }
        changes
    }
}

/// What makes a key compromised in the database.
pub(crate) fn denial(record: &KeyRecord, now: Timestamp) -> [KeyChange; 2] {
    [
        KeyChange::Compromise(record.kid.clone(), now),
        KeyChange::Destroy(record.kid.clone()),
    ]
}

/// The past as this process knows it.
pub(crate) struct Past {
    known: Mutex<Known>,
    /// The rules of key life, with every kid denied so far.
    policy: ArcSwap<KeyPolicy>,
    /// True from the moment that a loss was noticed until it was accepted.
    lost: AtomicBool,
    /// One beat at a time: each is judged by what the one before it saw.
    beating: tokio::sync::Mutex<()>,
}

struct Known {
    water: HighWater,
    /// When each key leaves or left `active`.
    ends: Vec<(Kid, Timestamp)>,
    /// When the loss was last told, on the monotonic clock.
    told: Option<Duration>,
}

impl Known {
    /// Notes the keys whose end has come.
    fn settle(&mut self, now: Timestamp) {
        let over = self.ends.iter().filter(|(_, end)| *end <= now);
        self.water.spent.extend(over.map(|(kid, _)| kid.clone()));
    }
}

impl Past {
    pub(crate) fn new(policy: &KeyPolicy) -> Self {
        let water = HighWater {
            denied: policy.denied_kids.clone(),
            ..HighWater::default()
        };
        Self {
            known: Mutex::new(Known {
                water,
                ends: Vec::new(),
                told: None,
            }),
            policy: ArcSwap::from_pointee(policy.clone()),
            lost: AtomicBool::new(false),
            beating: tokio::sync::Mutex::new(()),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    fn deny(&self, kids: &BTreeSet<Kid>) {
        if kids.is_subset(&self.policy.load().denied_kids) {
            return;
        }
        self.policy.rcu(|policy| {
            let mut policy = KeyPolicy::clone(policy);
            policy.denied_kids.extend(kids.iter().cloned());
            policy
        });
    }

    /// Takes in what a set of keys that came into use says of their ends.
    pub(crate) fn learn_keys(&self, records: &[KeyRecord], now: Timestamp) {
        let compromised = records.iter().filter(|record| record.compromised_at.is_some());
        let denied: BTreeSet<Kid> = compromised.map(|record| record.kid.clone()).collect();
        self.deny(&denied);
        let mut known = self.known();
        known.settle(now);
        known.water.denied.extend(denied);
        known.ends = records
            .iter()
            .filter_map(|record| {
                Some((
                    record.kid.clone(),
                    record.deactivates_at?.max(record.activates_at),
                ))
            })
            .collect();
        known.settle(now);
    }
}

impl Issuer {
    /// The rules of key life, with every kid denied so far.
    pub(crate) fn key_policy(&self) -> Arc<KeyPolicy> {
        self.past.policy.load_full()
    }

    /// Takes over what is known from before this process, and where the database stands now.
    pub fn remember(&self, before: &HighWater, found: &Found) -> Standing {
        let standing = before.judge(found);
        self.past.deny(&before.denied);
        let mut known = self.past.known();
        known.water.merge(before);
        if standing == Standing::Behind {
            self.past.lost.store(true, Ordering::Release);
        } else {
            known.water.mark = found.mark;
        }
        standing
    }

    /// What has to be kept outside the database.
    #[must_use]
    pub fn high_water(&self) -> HighWater {
        let now = self.now();
        let newest = Timestamp::from_unix(self.newest_iat.load(Ordering::Acquire));
        let mut known = self.past.known();
        known.settle(now);
        known.water.seen_at = known.water.seen_at.max(now).max(newest);
        known.water.clone()
    }

    /// True from the moment that the database was found behind what this process knows, until somebody accepted that.
    #[must_use]
    pub(crate) fn has_lost_its_past(&self) -> bool {
        self.past.is_lost()
    }

    /// True while nothing is missing from the database that this process, or a replica that said so, knows of it.
    #[must_use]
    pub fn has_its_past(&self) -> bool {
        !self.has_lost_its_past()
    }

    /// True while time and database can be trusted enough to forget by them: what is removed does not come back when a
    /// clock that was wrong, or a database that was the wrong one, is put right.
    #[must_use]
    pub fn may_forget(&self) -> bool {
        self.must_agree_on_time().is_ok() && self.has_its_past()
    }

    /// Refuses to decide anything by a database that lost something.
    ///
    /// # Errors
    /// [`Error::StateRollback`].
    pub(crate) fn must_have_its_past(&self) -> Result<(), Error> {
        if self.past.is_lost() {
            Err(Error::StateRollback)
        } else {
            Ok(())
        }
    }

    /// Notes that a log ended before what was read of it.
    pub(crate) fn lose_logs(&self, followed: LogHeads, found: LogHeads) {
        let with_heads = |mark: Mark, heads: LogHeads| Mark {
            revocation: heads.revocation,
            change: heads.change,
            ..mark
        };
        let mark = self.past.known().water.mark;
        // Kept outside, so that a restart notices it too.
        let known = mark.furthest(with_heads(mark, followed));
        if mark.epoch > 0 {
            self.past.known().water.mark = known;
        }
        self.lose(known, &with_heads(mark, found).into());
    }

    fn lose(&self, known: Mark, found: &Found) {
        self.past.lost.store(true, Ordering::Release);
        let now = self.machine.clock.monotonic();
        let mut state = self.past.known();
        let told = state
            .told
            .is_some_and(|told| now.saturating_sub(told) < TELL_EVERY);
        if !told {
            state.told = Some(now);
            tracing::error!(
                event = "state_rollback",
                ?known,
                found = ?found.mark,
                beat_missing = found.beat_missing,
                noticed_elsewhere = found.disowned
            );
        }
    }

    /// Counts one heartbeat, and holds the database against what this process knows of it. One that is behind gets no beat
    /// but a note, by which every other replica learns of it, and nothing is minted from it until its epoch has risen;
    /// then everything is read again.
    ///
    /// # Errors
    /// The store's; what is known stays as it was.
    pub async fn beat(&self) -> Result<Standing, Error> {
        let _one_at_a_time = self.past.beating.lock().await;
        let known = self.past.known().water.clone();
        let own = known.beat.as_ref();
        let (found, beat) = if self.past.is_lost() {
            (self.store.look(own).await?, None)
        } else {
            let nonce = random_token(self.entropy(), NONCE_BYTES);
            self.store.beat(&known.mark, own, &nonce, self.now()).await?
        };
        let found = if found.beat_missing && !self.past.is_lost() {
            // After a suspend the time told here may be old, and the beat with it older than its row is kept.
            self.measure_clock_surely().await?;
            self.store.look(own).await?
        } else {
            found
        };
        match known.judge(&found) {
            Standing::NewEpoch => {
                self.begin_epoch(found.mark).await?;
                self.remember_beat(beat.as_ref());
                Ok(Standing::NewEpoch)
            }
            // Others may have beaten until it looks like the one that was lost.
            Standing::Current if !self.past.is_lost() => {
                self.wrote();
                {
                    let mut state = self.past.known();
                    state.water.mark = state.water.mark.furthest(found.mark);
                }
                self.remember_beat(beat.as_ref());
                Ok(Standing::Current)
            }
            Standing::Current | Standing::Behind => {
                self.lose(known.mark, &found);
                self.disown(&found).await;
                Ok(Standing::Behind)
            }
        }
    }

    fn remember_beat(&self, beat: Option<&Beat>) {
        if let Some(beat) = beat {
            self.past.known().water.remember_beat(beat);
        }
    }

    /// Lets the other replicas know of a loss; whether that succeeds or not, it stands here.
    async fn disown(&self, found: &Found) {
        if found.disowned {
            return;
        }
        if let Err(error) = self.store.disown(found.mark.epoch).await {
            tracing::warn!(event = "beat_failed", error = %Chain(&error));
        }
    }

    /// Follows a database on which somebody began a new epoch: everything is read again, and the keys that must never
    /// work again are held against it.
    pub(crate) async fn begin_epoch(&self, mark: Mark) -> Result<(), Error> {
        *self.key_version.lock().unwrap_or_else(PoisonError::into_inner) = 0;
        self.follow_anew().await?;
        self.uphold_keys(Standing::NewEpoch).await?;
        let mut known = self.past.known();
        known.water.mark = mark;
        known.told = None;
        self.past.lost.store(false, Ordering::Release);
        tracing::warn!(event = "state_epoch_begun", epoch = mark.epoch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vouchsafe_keys::{KeyAlgorithm, Purpose};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn kid(name: &str) -> Kid {
        Kid::parse(name).unwrap()
    }

    fn known(epoch: i64, heartbeat: i64) -> HighWater {
        HighWater {
            mark: Mark {
                epoch,
                heartbeat,
                revocation: 5,
                change: 6,
            },
            ..HighWater::default()
        }
    }

    fn beat(epoch: i64, n: i64, nonce: &str) -> Beat {
        Beat {
            epoch,
            n,
            nonce: nonce.to_owned(),
            at: at(n),
        }
    }

    fn key(name: &str, activates_at: i64, deactivates_at: Option<i64>) -> KeyRecord {
        KeyRecord {
            kid: kid(name),
            algorithm: KeyAlgorithm::Es256,
            purpose: Purpose::Signing,
            public_jwk: None,
            sealed: None,
            published_at: at(0),
            activates_at: at(activates_at),
            deactivates_at: deactivates_at.map(at),
            compromised_at: None,
        }
    }

    #[test]
    fn f13_a_database_is_current_behind_or_of_a_new_epoch() {
        let here = known(2, 100);
        for (found, standing) in [
            (known(2, 100), Standing::Current),
            (known(2, 101), Standing::Current),
            (known(2, 99), Standing::Behind),
            (known(1, 900), Standing::Behind),
            (known(3, 1), Standing::NewEpoch),
        ] {
            assert_eq!(here.judge(&found.mark.into()), standing, "{found:?}");
        }
        // Whoever knows nothing has lost nothing.
        assert_eq!(HighWater::default().judge(&here.mark.into()), Standing::Current);
    }

    #[test]
    fn f10_a_missing_beat_or_the_word_of_another_replica_outweighs_higher_numbers() {
        let (here, further) = (known(2, 100), Found::from(known(2, 500).mark));
        let missing = Found {
            beat_missing: true,
            ..further
        };
        let disowned = Found {
            disowned: true,
            ..further
        };
        assert_eq!(here.judge(&further), Standing::Current);
        assert_eq!(here.judge(&missing), Standing::Behind);
        assert_eq!(here.judge(&disowned), Standing::Behind);
        assert_eq!(HighWater::default().judge(&disowned), Standing::Behind);
        let risen = Found {
            disowned: true,
            ..Found::from(known(3, 1).mark)
        };
        assert_eq!(here.judge(&risen), Standing::Behind, "it lost something again");
    }

    #[test]
    fn f10_the_later_beat_is_remembered() {
        let mut here = known(2, 100);
        for (told, kept) in [
            (beat(2, 100, "a"), "a"),
            (beat(2, 99, "b"), "a"),
            (beat(2, 100, "c"), "a"),
            (beat(2, 101, "d"), "d"),
            (beat(1, 900, "e"), "d"),
            (beat(3, 7, "f"), "f"),
        ] {
            here.merge(&HighWater {
                beat: Some(told),
                ..known(2, 100)
            });
            assert_eq!(here.beat.as_ref().unwrap().nonce, kept);
        }
        here.merge(&known(2, 100));
        assert!(here.beat.is_some());
    }

    #[test]
    fn f14_nothing_that_is_known_is_forgotten() {
        let mut one = HighWater {
            denied: BTreeSet::from([kid("a")]),
            spent: BTreeSet::from([kid("b")]),
            seen_at: at(50),
            ..known(2, 100)
        };
        let other = HighWater {
            denied: BTreeSet::from([kid("c")]),
            spent: BTreeSet::from([kid("b"), kid("d")]),
            seen_at: at(40),
            ..known(1, 500)
        };
        one.merge(&other);
        assert_eq!(one.mark, known(2, 100).mark);
        assert_eq!(one.denied, BTreeSet::from([kid("a"), kid("c")]));
        assert_eq!(one.spent, BTreeSet::from([kid("b"), kid("d")]));
        assert_eq!(one.seen_at, at(50));
        let mut back = other;
        back.merge(&one);
        assert_eq!(back, one);
    }

    #[test]
    fn k4_f14_spent_keys_end_and_denied_ones_are_named() {
        let known = HighWater {
            denied: BTreeSet::from([kid("leaked"), kid("gone")]),
            spent: BTreeSet::from([kid("leaked"), kid("active"), kid("next"), kid("over")]),
            ..known(2, 100)
        };
        let mut told = key("told", 0, None);
        told.compromised_at = Some(at(10));
        let records = [
            key("leaked", 0, None),
            told,
            key("active", 0, Some(900)),
            key("next", 900, None),
            key("over", 0, Some(50)),
            key("other", 0, None),
        ];
        let denied: Vec<&str> = known
            .forgotten_denials(&records)
            .map(|record| record.kid.as_str())
            .collect();
        assert_eq!(denied, ["leaked"]);
        let changes = known.forgotten_ends(&records, &KeyPolicy::default(), at(100));
        let said: Vec<String> = changes
            .iter()
            .map(|change| match change {
                KeyChange::Activate(kid, at) => format!("activate {kid} {}", at.as_unix()),
                KeyChange::Deactivate(kid, at) => format!("deactivate {kid} {}", at.as_unix()),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [
            "deactivate active 100",
            "activate next 100",
            "deactivate next 100",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn f14_a_key_is_remembered_from_its_end_on() {
        let past = Past::new(&KeyPolicy::default());
        let mut leaked = key("leaked", 0, None);
        leaked.compromised_at = Some(at(10));
        past.learn_keys(&[key("old", 0, Some(100)), key("new", 100, None), leaked], at(99));
        assert_eq!(past.known().water.spent, BTreeSet::new());
        assert_eq!(past.known().water.denied, BTreeSet::from([kid("leaked")]));
        assert!(past.policy.load().denied_kids.contains(&kid("leaked")));
        past.known().settle(at(100));
        assert_eq!(past.known().water.spent, BTreeSet::from([kid("old")]));
        // A database that forgot it changes nothing.
        past.learn_keys(&[key("old", 0, None), key("leaked", 0, None)], at(101));
        assert_eq!(past.known().water.spent, BTreeSet::from([kid("old")]));
        assert_eq!(past.known().water.denied, BTreeSet::from([kid("leaked")]));
    }
}
