//! The rules of rotation, K1 to K8, under random histories of sleeping, planning, rotating and
//! revoking, observed at every moment at which a state changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseResult;
use vouchsafe_keys::{
    GeneratedKey, KeyAlgorithm, KeyPolicy, KeyRecord, KeyState, Purpose, RevokeRefused, RotateRefused,
    SealedKey, Step, Urgency, apply, next_due, plan, plan_revocation, plan_rotation,
};
use vouchsafe_protocol::{Kid, SigningAlgorithm, Timestamp};

type Line = (KeyAlgorithm, Purpose);

const LINES: [Line; 4] = [
    (KeyAlgorithm::Es256, Purpose::Signing),
    (KeyAlgorithm::EdDsa, Purpose::Signing),
    (KeyAlgorithm::Hs256, Purpose::RefreshMac),
    (KeyAlgorithm::Hs256, Purpose::SecretHash),
];

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
enum Event {
    Wait(u64),
    Plan,
    Rotate { line: Line, urgency: Urgency },
    Revoke(Index),
}

fn event() -> impl Strategy<Value = Event> {
    let wait = prop_oneof![
        4 => 0..20_u64,
        4 => 20..2_000_u64,
        3 => 2_000..200_000_u64,
        2 => 200_000..10_000_000_u64,
    ];
    let urgency = prop_oneof![
        Just(Urgency::Planned),
        Just(Urgency::Now { force: false }),
        Just(Urgency::Now { force: true }),
    ];
    let line = proptest::sample::select(LINES.to_vec());
    prop_oneof![
        6 => wait.prop_map(Event::Wait),
        4 => Just(Event::Plan),
        3 => (line, urgency).prop_map(|(line, urgency)| Event::Rotate { line, urgency }),
        2 => any::<Index>().prop_map(Event::Revoke),
    ]
}

fn history() -> impl Strategy<Value = Vec<Event>> {
    vec(event(), 1..40)
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Who asked for a change; decides which margin of K1 counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Plan,
    Rotation(Urgency),
    Revocation,
}

struct World {
    policy: KeyPolicy,
    records: Vec<KeyRecord>,
    now: Timestamp,
    made: usize,
    /// An issuer's first keys, forced ones, and those that had to replace a revoked key: the
    /// exceptions of K1.
    excused: BTreeSet<Kid>,
    /// Rotated to by `Now` without force: they owe the caches' margin only.
    hastened: BTreeSet<Kid>,
    /// Erased while neither retired nor compromised.
    wrongly_erased: Vec<Kid>,
}

impl World {
    fn new() -> Self {
        let policy = KeyPolicy {
            algorithms: vec![SigningAlgorithm::Es256, SigningAlgorithm::EdDsa],
            ..KeyPolicy::default()
        };
        Self {
            policy,
            records: Vec::new(),
            now: Timestamp::from_unix(1_790_000_000),
            made: 0,
            excused: BTreeSet::new(),
            hastened: BTreeSet::new(),
            wrongly_erased: Vec::new(),
        }
    }

    fn state(&self, record: &KeyRecord) -> KeyState {
        record.state(self.now, &self.policy)
    }

    fn is_active(&self, record: &KeyRecord) -> bool {
        matches!(self.state(record), KeyState::Active { .. })
    }

    fn line(&self, line: Line) -> impl Iterator<Item = &KeyRecord> {
        let of_line = move |record: &&KeyRecord| (record.algorithm, record.purpose) == line;
        self.records.iter().filter(of_line)
    }

    fn active_signing(&self) -> impl Iterator<Item = &KeyRecord> {
        let signing = |record: &&KeyRecord| record.purpose == Purpose::Signing;
        self.records
            .iter()
            .filter(signing)
            .filter(move |record| self.is_active(record))
    }

    /// The kids in a JWKS made now.
    fn shown(&self) -> BTreeSet<Kid> {
        self.records
            .iter()
            .filter(|record| record.purpose == Purpose::Signing && self.state(record).verifies())
            .map(|record| record.kid.clone())
            .collect()
    }

    fn cached_for(&self) -> Duration {
        self.policy.jwks_max_age + self.policy.cache_margin
    }

    /// Every moment up to `seconds` from now at which a state changes, and the second before it.
    fn moments(&self, seconds: u64) -> BTreeSet<Timestamp> {
        let end = self.now.plus(Duration::from_secs(seconds));
        let changes = self.records.iter().flat_map(|record| {
            [
                Some(record.activates_at),
                record.deactivates_at,
                record.retired_from(&self.policy),
            ]
        });
        changes
            .flatten()
            .flat_map(|change| [change.minus(SECOND), change])
            .chain([end])
            .filter(|moment| (self.now..=end).contains(moment))
            .collect()
    }

    fn excuse(&mut self, step: &Step, fresh: &Kid, cause: Cause) {
        let margin = self.policy.publish_ahead;
        let forced = cause == Cause::Rotation(Urgency::Now { force: true });
        match step {
            Step::Generate {
                algorithm,
                purpose,
                published_at,
                activates_at,
                ..
            } if *activates_at < published_at.plus(margin) => {
                let has_live = self.line((*algorithm, *purpose)).any(|record| {
                    matches!(
                        self.state(record),
                        KeyState::Active { .. } | KeyState::Next { .. }
                    )
                });
                if forced || !has_live {
                    self.excused.insert(fresh.clone());
                }
            }
            Step::SetActivation { kid, .. } => {
                let orphaned = self
                    .records
                    .iter()
                    .filter(|record| record.kid == *kid)
                    .any(|record| {
                        let line = (record.algorithm, record.purpose);
                        !self.line(line).any(|other| self.is_active(other))
                    });
                if forced || orphaned {
                    self.excused.insert(kid.clone());
                } else if cause == Cause::Rotation(Urgency::Now { force: false }) {
                    self.hastened.insert(kid.clone());
                }
            }
            _ => {}
        }
    }

    fn commit(&mut self, steps: &[Step], cause: Cause) -> TestCaseResult {
        for step in steps {
            let fresh = Kid::parse(&format!("k{}", self.made)).map_err(fail)?;
            self.excuse(step, &fresh, cause);
            let generated = match step {
                Step::Generate { .. } => {
                    self.made += 1;
                    Some(GeneratedKey {
                        kid: fresh,
                        public_jwk: None,
                        sealed: SealedKey {
                            master_id: "0".repeat(16),
                            nonce_and_ciphertext: vec![0; 60],
                        },
                    })
                }
                _ => None,
            };
            if let Step::Destroy { kid } = step {
                let erased = self.records.iter().find(|record| record.kid == *kid);
                if erased.is_some_and(|record| self.state(record).verifies()) {
                    self.wrongly_erased.push(kid.clone());
                }
            }
            apply(&mut self.records, step, generated).map_err(fail)?;
        }
        Ok(())
    }

    /// The steps that an event asks for, and why.
    fn steps(&self, event: &Event) -> Result<(Vec<Step>, Cause), TestCaseError> {
        match event {
            Event::Wait(_) => Ok((Vec::new(), Cause::Plan)),
            Event::Plan => Ok((plan(&self.records, &self.policy, self.now), Cause::Plan)),
            Event::Rotate { line, urgency } => {
                let (algorithm, purpose) = *line;
                let cause = Cause::Rotation(*urgency);
                match plan_rotation(
                    &self.records,
                    algorithm,
                    purpose,
                    &self.policy,
                    self.now,
                    *urgency,
                ) {
                    Ok(steps) => Ok((steps, cause)),
                    Err(RotateRefused::StillCached { until }) => {
                        let unforced = *urgency == Urgency::Now { force: false };
                        prop_assert!(unforced && until > self.now, "refused until {until:?}");
                        Ok((Vec::new(), cause))
                    }
                    Err(refused) => Err(fail(refused)),
                }
            }
            Event::Revoke(index) => {
                let victim = index.get(&self.records);
                match plan_revocation(&self.records, &victim.kid, &self.policy, self.now) {
                    Ok(steps) => Ok((steps, Cause::Revocation)),
                    Err(RevokeRefused::AlreadyRevoked { .. }) => Ok((Vec::new(), Cause::Revocation)),
                    Err(refused) => Err(fail(refused)),
                }
            }
        }
    }
}

fn fail(error: impl Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

/// Lives through `events` and looks at the world whenever something may have changed.
fn run(events: &[Event], mut check: impl FnMut(&World) -> TestCaseResult) -> Result<World, TestCaseError> {
    let mut world = World::new();
    let (steps, cause) = world.steps(&Event::Plan)?;
    world.commit(&steps, cause)?;
    check(&world)?;
    for event in events {
        if let Event::Wait(seconds) = event {
            for moment in world.moments(*seconds) {
                world.now = moment;
                check(&world)?;
            }
        }
        let (steps, cause) = world.steps(event)?;
        world.commit(&steps, cause)?;
        check(&world)?;
    }
    Ok(world)
}

/// Exactly one key of each line signs, now and at every later change that is known now, and it has
/// the private bytes for it.
fn one_active_each(world: &World) -> TestCaseResult {
    for line in LINES {
        let changes = world
            .line(line)
            .flat_map(|record| [Some(record.activates_at), record.deactivates_at])
            .flatten()
            .filter(|change| *change > world.now);
        for moment in changes.chain([world.now]) {
            let is_active = |record: &&KeyRecord| {
                let state = record.state(moment, &world.policy);
                matches!(state, KeyState::Active { .. })
            };
            let active: Vec<&KeyRecord> = world.line(line).filter(is_active).collect();
            prop_assert_eq!(active.len(), 1, "{:?} at {:?}", line, moment);
            let able = active.iter().all(|record| record.sealed.is_some());
            prop_assert!(able, "{:?} at {:?} cannot sign", line, moment);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn k1_nothing_is_signed_by_a_key_published_less_than_the_margin_ago(events in history()) {
        run(&events, |world| {
            for record in world.active_signing() {
                let margin = if world.excused.contains(&record.kid) {
                    Duration::ZERO
                } else if world.hastened.contains(&record.kid) {
                    world.cached_for()
                } else {
                    world.policy.publish_ahead
                };
                prop_assert!(
                    record.published_at.plus(margin) <= record.activates_at,
                    "{record:?} owes {margin:?}"
                );
            }
            Ok(())
        })?;
    }

    #[test]
    fn k2_every_kid_resolves_until_its_last_token_ended(events in history()) {
        let mut last_token: BTreeMap<Kid, Timestamp> = BTreeMap::new();
        run(&events, |world| {
            for record in world.active_signing() {
                let expires = world.now.plus(world.policy.max_access_ttl);
                last_token.insert(record.kid.clone(), expires);
            }
            for record in &world.records {
                let accepted_until = last_token.get(&record.kid).map(|at| at.plus(world.policy.skew));
                let state = world.state(record);
                prop_assert!(
                    accepted_until.is_none_or(|until| until < world.now)
                        || state.verifies()
                        || matches!(state, KeyState::Compromised { .. }),
                    "{:?} at {:?}", record, world.now
                );
            }
            Ok(())
        })?;
    }

    #[test]
    fn k3_one_key_is_active_per_algorithm_and_purpose(events in history()) {
        run(&events, one_active_each)?;
    }

    #[test]
    fn k4_a_key_that_left_active_never_signs_again(events in history()) {
        let mut signed: BTreeSet<Kid> = BTreeSet::new();
        let mut left: BTreeSet<Kid> = BTreeSet::new();
        let mut lost: BTreeSet<Kid> = BTreeSet::new();
        run(&events, |world| {
            for record in &world.records {
                let kid = record.kid.clone();
                let compromised = matches!(world.state(record), KeyState::Compromised { .. });
                prop_assert!(compromised || !lost.contains(&kid), "{:?} returned", kid);
                if compromised {
                    lost.insert(kid.clone());
                }
                if world.is_active(record) {
                    prop_assert!(!left.contains(&kid), "{:?} signs again", kid);
                    prop_assert!(record.sealed.is_some(), "{:?} has no private half", kid);
                    signed.insert(kid);
                } else if signed.contains(&kid) {
                    left.insert(kid);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn k4_keys_erased_by_a_clock_that_ran_ahead_are_replaced_when_it_returns(
        events in history(),
        jumps in vec(0..400_u64, 1..4),
    ) {
        let mut world = run(&events, |_| Ok(()))?;
        let returned = world.now;
        for days in jumps {
            world.now = world.now.plus(Duration::from_secs(days * 24 * 60 * 60));
            let (steps, cause) = world.steps(&Event::Plan)?;
            world.commit(&steps, cause)?;
        }
        let kids = |world: &World| -> BTreeSet<Kid> {
            let erased = world.records.iter().filter(|record| record.sealed.is_none());
            erased.map(|record| record.kid.clone()).collect()
        };
        let erased = kids(&world);

        world.now = returned;
        let (steps, cause) = world.steps(&Event::Plan)?;
        world.commit(&steps, cause)?;
        one_active_each(&world)?;
        prop_assert!(kids(&world).is_superset(&erased), "an erased key is back");
        prop_assert!(plan(&world.records, &world.policy, world.now).is_empty(), "planned twice");
    }

    #[test]
    fn k5_any_jwks_holds_what_may_sign_until_it_is_stale(events in history()) {
        let mut cached: Vec<(Timestamp, BTreeSet<Kid>)> = Vec::new();
        run(&events, |world| {
            cached.retain(|(made, _)| world.now <= made.plus(world.cached_for()));
            for record in world.active_signing() {
                let known = cached.iter().all(|(_, kids)| kids.contains(&record.kid));
                prop_assert!(
                    known || world.excused.contains(&record.kid),
                    "a cached JWKS lacks {:?} at {:?}", record, world.now
                );
            }
            cached.push((world.now, world.shown()));
            Ok(())
        })?;
    }

    #[test]
    fn k7_only_retired_and_compromised_keys_are_erased(events in history()) {
        let mut rows = 0;
        let mut world = run(&events, |world| {
            prop_assert!(world.wrongly_erased.is_empty(), "{:?}", world.wrongly_erased);
            prop_assert!(rows <= world.records.len(), "a row is gone");
            rows = world.records.len();
            Ok(())
        })?;
        let (steps, cause) = world.steps(&Event::Plan)?;
        world.commit(&steps, cause)?;
        for record in &world.records {
            prop_assert_eq!(record.sealed.is_some(), world.state(record).verifies());
        }
    }

    #[test]
    fn k8_every_key_has_a_row_and_a_kid_of_its_own(events in history()) {
        let world = run(&events, |_| Ok(()))?;
        let kids: BTreeSet<&Kid> = world.records.iter().map(|record| &record.kid).collect();
        prop_assert_eq!(kids.len(), world.made);
        prop_assert_eq!(world.records.len(), world.made);
    }

    #[test]
    fn planning_twice_changes_nothing_and_the_next_time_is_never_late(events in history()) {
        let mut world = run(&events, |_| Ok(()))?;
        let (steps, cause) = world.steps(&Event::Plan)?;
        world.commit(&steps, cause)?;
        prop_assert!(plan(&world.records, &world.policy, world.now).is_empty(), "planned twice");
        let due = next_due(&world.records, &world.policy, world.now);
        let quiet = due.map_or(world.now.plus(Duration::from_secs(1 << 40)), |due| due.minus(SECOND));
        prop_assert!(quiet >= world.now);
        prop_assert!(plan(&world.records, &world.policy, quiet).is_empty(), "{due:?} is late");
    }

    #[test]
    fn f5_whatever_was_cut_short_the_next_plan_heals(
        events in history(),
        last in event(),
        cut in any::<Index>(),
    ) {
        let mut world = run(&events, |_| Ok(()))?;
        let (steps, cause) = world.steps(&last)?;
        let kept = cut.index(steps.len() + 1);
        world.commit(steps.get(..kept).unwrap_or(&steps), cause)?;
        let (steps, cause) = world.steps(&Event::Plan)?;
        world.commit(&steps, cause)?;
        one_active_each(&world)?;
    }
}
