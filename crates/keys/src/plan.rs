//! Decides, from records and time alone, what must change so that the rules of rotation hold: a
//! successor is always known, exactly one key signs, and the clock alone makes the switch.

use vouchsafe_protocol::{Kid, Timestamp};

use crate::error::ApplyError;
use crate::generate::GeneratedKey;
use crate::policy::KeyPolicy;
use crate::record::{KeyAlgorithm, KeyRecord, KeyState, Purpose};

/// One change. All steps of one plan are committed together, against the records they were made
/// from; whoever loses that race drops its new keys and plans again (K12).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Make a key and remember it with these times.
    Generate {
        /// What it signs by.
        algorithm: KeyAlgorithm,
        /// What it is for.
        purpose: Purpose,
        /// [`KeyRecord::published_at`].
        published_at: Timestamp,
        /// [`KeyRecord::activates_at`].
        activates_at: Timestamp,
        /// [`KeyRecord::deactivates_at`].
        deactivates_at: Option<Timestamp>,
    },
    /// A key that never signed begins at another time.
    SetActivation {
        /// The key.
        kid: Kid,
        /// When it begins to sign.
        at: Timestamp,
    },
    /// A key that signs ends when its successor begins, one without private bytes before it signs
    /// again. A store must refuse this for a key whose former end has passed at commit, since it
    /// would sign again (K4).
    SetDeactivation {
        /// The key.
        kid: Kid,
        /// The first moment at which it does not sign.
        at: Timestamp,
    },
    /// A key is never trusted again.
    SetCompromised {
        /// The key.
        kid: Kid,
        /// Since when.
        at: Timestamp,
    },
    /// Erase the private bytes of a retired or compromised key; its row and public half stay.
    Destroy {
        /// The key.
        kid: Kid,
    },
}

/// The keys that succeed one another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub(crate) algorithm: KeyAlgorithm,
    pub(crate) purpose: Purpose,
}

impl Line {
    pub(crate) fn of(record: &KeyRecord) -> Self {
        Self {
            algorithm: record.algorithm,
            purpose: record.purpose,
        }
    }

    pub(crate) fn is_wanted(self, policy: &KeyPolicy) -> bool {
        policy.wants(self.algorithm, self.purpose)
    }

    fn mac(purpose: Purpose) -> Self {
        Self {
            algorithm: KeyAlgorithm::Hs256,
            purpose,
        }
    }

    /// A key of this line made now.
    fn generate(self, now: Timestamp, activates_at: Timestamp) -> Step {
        Step::Generate {
            algorithm: self.algorithm,
            purpose: self.purpose,
            published_at: now,
            activates_at,
            deactivates_at: None,
        }
    }

    /// A new key that takes over from `kid` at `at`.
    pub(crate) fn succeed(self, kid: &Kid, now: Timestamp, at: Timestamp) -> Vec<Step> {
        vec![
            self.generate(now, at),
            Step::SetDeactivation { kid: kid.clone(), at },
        ]
    }
}

/// The keys of a line that sign or will sign, in the order in which they do. Those whose private
/// bytes are gone cannot, whatever their state.
pub(crate) struct Live<'a> {
    pub(crate) active: Vec<&'a KeyRecord>,
    pub(crate) next: Vec<&'a KeyRecord>,
}

impl<'a> Live<'a> {
    pub(crate) fn of(records: &'a [KeyRecord], line: Line, policy: &KeyPolicy, now: Timestamp) -> Self {
        let (mut active, mut next) = (Vec::new(), Vec::new());
        let of_line = records.iter().filter(|record| Line::of(record) == line);
        for record in of_line.filter(|record| record.sealed.is_some()) {
            match record.state(now, policy) {
                KeyState::Active { .. } => active.push(record),
                KeyState::Next { .. } => next.push(record),
                KeyState::VerifyOnly { .. } | KeyState::Retired | KeyState::Compromised { .. } => {}
            }
        }
        active.sort_by_key(|record| succession(record));
        next.sort_by_key(|record| succession(record));
        Self { active, next }
    }
}

/// The order in which keys take over from each other; never a tie, so that all replicas agree.
pub(crate) fn succession(record: &KeyRecord) -> (Timestamp, Timestamp, Kid) {
    (record.activates_at, record.published_at, record.kid.clone())
}

/// The end of the chain so far.
struct Link<'a> {
    kid: &'a Kid,
    activates_at: Timestamp,
    deactivates_at: Option<Timestamp>,
}

impl<'a> Link<'a> {
    fn of(record: &'a KeyRecord) -> Self {
        Self {
            kid: &record.kid,
            activates_at: record.activates_at,
            deactivates_at: record.deactivates_at,
        }
    }
}

/// What must change so that K1 to K8 hold from `now` on. Empty when nothing must; planning again
/// after applying the steps gives nothing. Healing is included: whatever mixture of keys a crash
/// or a restore left behind, one signs afterwards.
pub fn plan(records: &[KeyRecord], policy: &KeyPolicy, now: Timestamp) -> Vec<Step> {
    lines(records, policy)
        .into_iter()
        .flat_map(|line| plan_line(records, line, policy, now))
        .collect()
}

/// The next moment at which [`plan`] may have something to do: `now` itself when it has already,
/// `None` when only a change of the records can give it work.
pub fn next_due(records: &[KeyRecord], policy: &KeyPolicy, now: Timestamp) -> Option<Timestamp> {
    if !plan(records, policy, now).is_empty() {
        return Some(now);
    }
    records
        .iter()
        .filter(|record| record.state(now, policy).verifies())
        .flat_map(|record| {
            [
                Some(record.activates_at),
                record.deactivates_at,
                record.retired_from(policy),
                rotation_due(record, policy),
            ]
        })
        .flatten()
        .filter(|due| *due > now)
        .min()
}

/// When a key without a successor has signed long enough.
fn rotation_due(record: &KeyRecord, policy: &KeyPolicy) -> Option<Timestamp> {
    match record.purpose {
        Purpose::Signing | Purpose::RefreshMac => Some(record.activates_at.plus(policy.rotate_every)),
        Purpose::SecretHash => None,
    }
}

/// Brings `records` to where a store has them after committing `step`.
///
/// # Errors
/// When the step was planned for other records, or a `Generate` comes without its key. The records
/// are unchanged then.
pub fn apply(
    records: &mut Vec<KeyRecord>,
    step: &Step,
    generated: Option<GeneratedKey>,
) -> Result<(), ApplyError> {
    match step {
        Step::Generate {
            algorithm,
            purpose,
            published_at,
            activates_at,
            deactivates_at,
        } => {
            let key = generated.ok_or(ApplyError::MissingKey)?;
            if records.iter().any(|record| record.kid == key.kid) {
                return Err(ApplyError::KidTaken(key.kid));
            }
            records.push(KeyRecord {
                kid: key.kid,
                algorithm: *algorithm,
                purpose: *purpose,
                public_jwk: key.public_jwk,
                sealed: Some(key.sealed),
                published_at: *published_at,
                activates_at: *activates_at,
                deactivates_at: *deactivates_at,
                compromised_at: None,
            });
        }
        Step::SetActivation { kid, at } => find(records, kid)?.activates_at = *at,
        Step::SetDeactivation { kid, at } => find(records, kid)?.deactivates_at = Some(*at),
        Step::SetCompromised { kid, at } => {
            // The first moment counts: it is never un-compromised nor moved.
            find(records, kid)?.compromised_at.get_or_insert(*at);
        }
        Step::Destroy { kid } => find(records, kid)?.sealed = None,
    }
    Ok(())
}

fn find<'a>(records: &'a mut [KeyRecord], kid: &Kid) -> Result<&'a mut KeyRecord, ApplyError> {
    records
        .iter_mut()
        .find(|record| record.kid == *kid)
        .ok_or_else(|| ApplyError::NotFound(kid.clone()))
}

/// The lines that the policy wants, then those that are only left over.
fn lines(records: &[KeyRecord], policy: &KeyPolicy) -> Vec<Line> {
    let signing = policy.algorithms.iter().map(|algorithm| Line {
        algorithm: KeyAlgorithm::from(*algorithm),
        purpose: Purpose::Signing,
    });
    let macs = [Purpose::RefreshMac, Purpose::SecretHash].map(Line::mac);
    let mut lines = Vec::new();
    for line in signing.chain(macs).chain(records.iter().map(Line::of)) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// [`plan`] for one line.
pub(crate) fn plan_line(records: &[KeyRecord], line: Line, policy: &KeyPolicy, now: Timestamp) -> Vec<Step> {
    let mut steps = clean_up(records, line, policy, now);
    let Live { active, next } = Live::of(records, line, policy, now);

    let (mut last, rest) = match (active.split_last(), next.split_first()) {
        (Some((current, superseded)), _) => {
            // Two at once can only come from outside; the younger one stays.
            steps.extend(superseded.iter().map(|record| Step::SetDeactivation {
                kid: record.kid.clone(),
                at: now,
            }));
            (Link::of(current), next.as_slice())
        }
        (None, Some((first, rest))) => {
            steps.push(Step::SetActivation {
                kid: first.kid.clone(),
                at: now,
            });
            let link = Link {
                activates_at: now,
                ..Link::of(first)
            };
            (link, rest)
        }
        (None, None) => {
            steps.extend(first_keys(line, policy, now));
            return steps;
        }
    };

    for successor in rest {
        if last.deactivates_at != Some(successor.activates_at) {
            steps.push(Step::SetDeactivation {
                kid: last.kid.clone(),
                at: successor.activates_at,
            });
        }
        last = Link::of(successor);
    }
    // A last one whose end is set already has lost its successor.
    if rest.is_empty() || last.deactivates_at.is_some() {
        steps.extend(successor_of(&last, line, policy, now));
    }
    steps
}

/// Writes denied kids down as compromised, erases what may be erased (K7), and ends what was erased
/// too soon.
fn clean_up(records: &[KeyRecord], line: Line, policy: &KeyPolicy, now: Timestamp) -> Vec<Step> {
    let mut steps = Vec::new();
    for record in records.iter().filter(|record| Line::of(record) == line) {
        let kid = &record.kid;
        let state = record.state(now, policy);
        if matches!(state, KeyState::Compromised { .. }) && record.compromised_at.is_none() {
            steps.push(Step::SetCompromised {
                kid: kid.clone(),
                at: now,
            });
        }
        if !state.verifies() && record.sealed.is_some() {
            steps.push(Step::Destroy { kid: kid.clone() });
        }
        if let Some(at) = early_end(record, policy, now) {
            steps.push(Step::SetDeactivation { kid: kid.clone(), at });
        }
    }
    steps
}

/// When a key ends that was erased by a clock that ran ahead and has returned: now, or when it would
/// begin. Until it retires it verifies what it may have signed, and it never signs again (K4).
fn early_end(record: &KeyRecord, policy: &KeyPolicy, now: Timestamp) -> Option<Timestamp> {
    if record.sealed.is_some() || !record.state(now, policy).verifies() {
        return None;
    }
    let at = now.max(record.activates_at);
    let is_later = record.deactivates_at.is_none_or(|end| at < end);
    is_later.then_some(at)
}

/// A line without any live key gets one at once: until then nothing is signed, so that no JWKS that
/// misses it can do harm (the exception of K1).
fn first_keys(line: Line, policy: &KeyPolicy, now: Timestamp) -> Vec<Step> {
    if !line.is_wanted(policy) {
        return Vec::new();
    }
    if line.purpose != Purpose::Signing {
        return vec![line.generate(now, now)];
    }
    let switch = now.plus(policy.rotate_every);
    let first = Step::Generate {
        algorithm: line.algorithm,
        purpose: line.purpose,
        published_at: now,
        activates_at: now,
        deactivates_at: Some(switch),
    };
    vec![first, line.generate(now, switch)]
}

/// What follows the last key of the chain.
fn successor_of(last: &Link<'_>, line: Line, policy: &KeyPolicy, now: Timestamp) -> Vec<Step> {
    let due = last.activates_at.plus(policy.rotate_every);
    // It was meant to end, and what should follow it is gone.
    let orphaned = last.deactivates_at.is_some();
    if !line.is_wanted(policy) {
        // An algorithm taken out of the configuration signs for its term and gets no successor;
        // sooner, two replicas with different configurations would undo each other's work.
        if orphaned || due > now {
            return Vec::new();
        }
        return vec![Step::SetDeactivation {
            kid: last.kid.clone(),
            at: now,
        }];
    }
    match line.purpose {
        Purpose::Signing => {
            let at = due.max(now.plus(policy.publish_ahead));
            line.succeed(last.kid, now, at)
        }
        Purpose::RefreshMac if orphaned || due <= now => {
            line.succeed(last.kid, now, now.plus(policy.now_delay))
        }
        Purpose::SecretHash if orphaned => line.succeed(last.kid, now, now.plus(policy.now_delay)),
        Purpose::RefreshMac | Purpose::SecretHash => Vec::new(),
    }
}

#[cfg(test)]
mod tests {

    use std::time::Duration;

    use vouchsafe_protocol::SigningAlgorithm;

    use super::*;
    use crate::seal::SealedKey;

    const DAY: i64 = 24 * 60 * 60;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    /// Runs the plan of `now` with keys named k0, k1, .. and says what it was.
    fn carry_out(records: &mut Vec<KeyRecord>, policy: &KeyPolicy, now: i64) -> Vec<String> {
        let mut said = Vec::new();
        for step in plan(records, policy, at(now)) {
            let kid = Kid::parse(&format!("k{}", records.len())).unwrap();
            let sealed = SealedKey {
                master_id: String::new(),
                nonce_and_ciphertext: Vec::new(),
            };
            let fresh = GeneratedKey {
                kid,
                public_jwk: None,
                sealed,
            };
            said.push(match &step {
                Step::Generate {
                    algorithm,
                    purpose,
                    activates_at,
                    deactivates_at,
                    ..
                } => format!(
                    "{} {algorithm} {purpose} {}..{:?}",
                    fresh.kid,
                    activates_at.as_unix(),
                    deactivates_at.map(Timestamp::as_unix)
                ),
                Step::SetActivation { kid, at } => format!("{kid} from {}", at.as_unix()),
                Step::SetDeactivation { kid, at } => format!("{kid} to {}", at.as_unix()),
                Step::SetCompromised { kid, at } => format!("{kid} bad {}", at.as_unix()),
                Step::Destroy { kid } => format!("{kid} erased"),
            });
            apply(records, &step, Some(fresh)).unwrap();
        }
        let again = plan(records, policy, at(now));
        assert!(again.is_empty(), "planning twice at {now}: {again:?}");
        said
    }

    #[test]
    fn one_line_lives_by_the_clock() {
        let policy = KeyPolicy::default();
        let mut records = Vec::new();
        assert_eq!(
            carry_out(&mut records, &policy, 0),
            [
                "k0 ES256 signing 0..Some(2592000)",
                "k1 ES256 signing 2592000..None",
                "k2 HS256 refresh_mac 0..None",
                "k3 HS256 secret_hash 0..None",
            ]
        );
        assert_eq!(next_due(&records, &policy, at(0)), Some(at(30 * DAY)));
        assert_eq!(carry_out(&mut records, &policy, 30 * DAY - 1), [""; 0]);
        assert_eq!(
            carry_out(&mut records, &policy, 30 * DAY),
            [
                "k4 ES256 signing 5184000..None",
                "k1 to 5184000",
                "k5 HS256 refresh_mac 2592005..None",
                "k2 to 2592005",
            ]
        );
        assert_eq!(carry_out(&mut records, &policy, 37 * DAY), ["k0 erased"]);
    }

    #[test]
    fn a_server_that_slept_keeps_the_publication_margin() {
        let policy = KeyPolicy::default();
        let mut records = Vec::new();
        carry_out(&mut records, &policy, 0);
        let woken = 200 * DAY;
        assert_eq!(
            carry_out(&mut records, &policy, woken),
            [
                "k0 erased".to_owned(),
                format!("k4 ES256 signing {}..None", woken + DAY),
                format!("k1 to {}", woken + DAY),
                format!("k5 HS256 refresh_mac {}..None", woken + 5),
                format!("k2 to {}", woken + 5),
            ]
        );
    }

    #[test]
    fn k3_two_active_keys_are_reduced_to_the_younger() {
        let policy = KeyPolicy::default();
        let mut records = Vec::new();
        carry_out(&mut records, &policy, 0);
        for record in &mut records {
            if record.kid.as_str() == "k0" {
                record.deactivates_at = None;
            }
        }
        let steps = carry_out(&mut records, &policy, 31 * DAY);
        assert!(steps.contains(&format!("k0 to {}", 31 * DAY)), "{steps:?}");
    }

    #[test]
    fn a_next_key_takes_over_when_the_active_one_is_gone() {
        let policy = KeyPolicy::default();
        let mut records = Vec::new();
        carry_out(&mut records, &policy, 0);
        let kid = Kid::parse("k0").unwrap();
        apply(&mut records, &Step::SetCompromised { kid, at: at(50) }, None).unwrap();
        assert_eq!(
            carry_out(&mut records, &policy, 60),
            [
                "k0 erased".to_owned(),
                "k1 from 60".to_owned(),
                format!("k4 ES256 signing {}..None", 60 + 30 * DAY),
                format!("k1 to {}", 60 + 30 * DAY),
            ]
        );
    }

    #[test]
    fn f14_a_denied_key_is_written_down_erased_and_replaced() {
        let mut policy = KeyPolicy::default();
        let mut records = Vec::new();
        carry_out(&mut records, &policy, 0);
        policy.denied_kids.insert(Kid::parse("k0").unwrap());
        let steps = carry_out(&mut records, &policy, 60);
        assert_eq!(steps.first().unwrap(), "k0 bad 60");
        assert!(steps.contains(&"k0 erased".to_owned()));
        assert!(steps.contains(&"k1 from 60".to_owned()));
    }

    #[test]
    fn k4_a_key_erased_by_a_clock_that_ran_ahead_gives_way_to_the_next() {
        let policy = KeyPolicy::default();
        let mut records = Vec::new();
        carry_out(&mut records, &policy, 0);
        let ahead = carry_out(&mut records, &policy, 200 * DAY);
        assert!(ahead.contains(&"k0 erased".to_owned()), "{ahead:?}");
        assert_eq!(
            carry_out(&mut records, &policy, 10 * DAY),
            [format!("k0 to {}", 10 * DAY), format!("k1 from {}", 10 * DAY)]
        );
    }

    #[test]
    fn k3_lines_whose_keys_were_all_erased_get_new_ones_at_once() {
        let policy = KeyPolicy::default();
        let mut records = Vec::new();
        carry_out(&mut records, &policy, 0);
        for record in &mut records {
            record.sealed = None;
        }
        assert_eq!(
            next_due(&records, &policy, at(60)),
            Some(at(60)),
            "what is erased does not count"
        );
        assert_eq!(
            carry_out(&mut records, &policy, 60),
            [
                "k0 to 60".to_owned(),
                // It never begins, and verifies until it retires.
                format!("k1 to {}", 30 * DAY),
                format!("k4 ES256 signing 60..Some({})", 60 + 30 * DAY),
                format!("k5 ES256 signing {}..None", 60 + 30 * DAY),
                "k2 to 60".to_owned(),
                "k6 HS256 refresh_mac 60..None".to_owned(),
                "k3 to 60".to_owned(),
                "k7 HS256 secret_hash 60..None".to_owned(),
            ]
        );
        for moment in [60, 30 * DAY, 31 * DAY] {
            for line in lines(&records, &policy) {
                let signs = |record: &&KeyRecord| record.is_active(at(moment), &policy);
                let of_line = |record: &&KeyRecord| Line::of(record) == line;
                let mut active = records.iter().filter(of_line).filter(signs);
                assert!(active.next().is_some_and(|record| record.sealed.is_some()));
                assert!(active.next().is_none(), "two at {moment}");
            }
        }
    }

    #[test]
    fn an_erased_successor_is_replaced_by_one_that_is_published_first() {
        let policy = KeyPolicy::default();
        let mut records = Vec::new();
        carry_out(&mut records, &policy, 0);
        let kid = Kid::parse("k1").unwrap();
        apply(&mut records, &Step::Destroy { kid }, None).unwrap();
        let now = 30 * DAY - 10;
        assert_eq!(
            carry_out(&mut records, &policy, now).get(..3).unwrap(),
            [
                format!("k1 to {}", 30 * DAY),
                format!("k4 ES256 signing {}..None", now + DAY),
                format!("k0 to {}", now + DAY),
            ]
        );
    }

    #[test]
    fn an_algorithm_taken_out_of_the_configuration_ends_by_itself() {
        let mut policy = KeyPolicy::default();
        policy.algorithms.push(SigningAlgorithm::EdDsa);
        let mut records = Vec::new();
        carry_out(&mut records, &policy, 0);
        policy.algorithms.pop();
        assert_eq!(carry_out(&mut records, &policy, 1), [""; 0]);
        carry_out(&mut records, &policy, 31 * DAY);
        let ended = carry_out(&mut records, &policy, 60 * DAY);
        assert!(ended.contains(&format!("k3 to {}", 60 * DAY)), "{ended:?}");
        carry_out(&mut records, &policy, 70 * DAY);
        let ed = |record: &&KeyRecord| record.algorithm == KeyAlgorithm::EdDsa;
        assert_eq!(records.iter().filter(ed).count(), 2);
        assert!(records.iter().filter(ed).all(|key| key.sealed.is_none()));
    }

    #[test]
    fn k8_a_kid_is_never_taken_twice() {
        let mut records = Vec::new();
        carry_out(&mut records, &KeyPolicy::default(), 0);
        let line = Line::mac(Purpose::RefreshMac);
        let again = GeneratedKey {
            kid: Kid::parse("k0").unwrap(),
            public_jwk: None,
            sealed: SealedKey {
                master_id: String::new(),
                nonce_and_ciphertext: Vec::new(),
            },
        };
        let kid = again.kid.clone();
        let step = line.generate(at(1), at(1));
        let refused = apply(&mut records, &step, Some(again));
        assert_eq!(refused, Err(ApplyError::KidTaken(kid)));
        assert_eq!(apply(&mut records, &step, None), Err(ApplyError::MissingKey));
        let kid = Kid::parse("nobody").unwrap();
        let step = Step::Destroy { kid: kid.clone() };
        assert_eq!(apply(&mut records, &step, None), Err(ApplyError::NotFound(kid)));
        assert_eq!(records.len(), 4);
    }

    #[test]
    fn durations_at_the_edge_do_not_overflow() {
        let policy = KeyPolicy {
            rotate_every: Duration::MAX,
            ..KeyPolicy::default()
        };
        let mut records = Vec::new();
        carry_out(&mut records, &policy, 0);
        assert_eq!(next_due(&records, &policy, at(0)), Some(at(i64::MAX)));
    }
}
