//! What people ask of keys: rotate sooner than planned, or trust a key no longer.

use vouchsafe_protocol::{Kid, Timestamp};

use crate::error::{RevokeRefused, RotateRefused};
use crate::plan::{Line, Live, Step, plan_line};
use crate::policy::KeyPolicy;
use crate::record::{KeyAlgorithm, KeyRecord, KeyState, Purpose};

/// How soon a rotation is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Urgency {
    /// As soon as the next key has been published for the full margin.
    Planned,
    /// After [`KeyPolicy::now_delay`], on all replicas at once.
    Now {
        /// Also while a JWKS without the next key may be cached (K1); tokens may then be refused
        /// by resource servers until they fetch again.
        force: bool,
    },
}

/// The steps that make the line's next key sign sooner, and publish the key after it; none when it is planned as
/// soon already.
///
/// # Errors
/// [`RotateRefused::NotConfigured`] when the policy has no such line, and
/// [`RotateRefused::StillCached`] as K1 and K5 ask.
pub fn plan_rotation(
    records: &[KeyRecord],
    algorithm: KeyAlgorithm,
    purpose: Purpose,
    policy: &KeyPolicy,
    now: Timestamp,
    urgency: Urgency,
) -> Result<Vec<Step>, RotateRefused> {
    let line = Line { algorithm, purpose };
    if !line.is_wanted(policy) {
        return Err(RotateRefused::NotConfigured { algorithm, purpose });
    }
    let live = Live::of(records, line, policy, now);
    let Some(current) = live.active.last() else {
        return Ok(plan_line(records, line, policy, now));
    };
    let next = live.next.first();

    let soonest = now.plus(policy.now_delay);
    let at = match purpose {
        Purpose::Signing => {
            let published_at = next.map_or(now, |next| next.published_at);
            match urgency {
                Urgency::Planned => soonest.max(published_at.plus(policy.publish_ahead)),
                Urgency::Now { force } => {
                    let until = published_at.plus(policy.cached_for());
                    if until > now && !force {
                        return Err(RotateRefused::StillCached { until });
                    }
                    soonest
                }
            }
        }
        // Nobody else reads what these make, so nothing has to be published first.
        Purpose::RefreshMac | Purpose::SecretHash => soonest,
    };

    Ok(match next {
        None => line.succeed(&current.kid, now, at),
        Some(next) if at < next.activates_at => {
            let mut steps = vec![
                Step::SetActivation {
                    kid: next.kid.clone(),
                    at,
                },
                Step::SetDeactivation {
                    kid: current.kid.clone(),
                    at,
                },
            ];
            // The key after it is published in the same commit, so that there is a next one at every moment.
            if live.next.len() == 1 {
                steps.extend(line.succeed(&next.kid, now, at.plus(policy.rotate_every)));
            }
            steps
        }
        Some(_) => Vec::new(),
    })
}

/// The steps that end all trust in `kid` and keep its line signing: its next key takes over at
/// once, and a new next one is made. They belong into one commit.
///
/// # Errors
/// [`RevokeRefused::NotFound`] and [`RevokeRefused::AlreadyRevoked`].
pub fn plan_revocation(
    records: &[KeyRecord],
    kid: &Kid,
    policy: &KeyPolicy,
    now: Timestamp,
) -> Result<Vec<Step>, RevokeRefused> {
    let found = records.iter().find(|record| record.kid == *kid);
    let record = found.ok_or_else(|| RevokeRefused::NotFound { kid: kid.clone() })?;
    if let KeyState::Compromised { at } = record.state(now, policy) {
        let kid = kid.clone();
        return Err(RevokeRefused::AlreadyRevoked { kid, at });
    }

    let mut after = records.to_vec();
    for other in after.iter_mut().filter(|other| other.kid == *kid) {
        other.compromised_at = Some(now);
    }
    let mut steps = vec![Step::SetCompromised {
        kid: kid.clone(),
        at: now,
    }];
    steps.extend(plan_line(&after, Line::of(record), policy, now));
    Ok(steps)
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::seal::SealedKey;

    const DAY: i64 = 24 * 60 * 60;
    const ES256: KeyAlgorithm = KeyAlgorithm::Es256;
    const HS256: KeyAlgorithm = KeyAlgorithm::Hs256;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn kid(name: &str) -> Kid {
        Kid::parse(name).unwrap()
    }

    fn record(
        name: &str,
        purpose: Purpose,
        published_at: i64,
        activates_at: i64,
        deactivates_at: Option<i64>,
    ) -> KeyRecord {
        KeyRecord {
            kid: kid(name),
            algorithm: if purpose == Purpose::Signing { ES256 } else { HS256 },
            purpose,
            public_jwk: None,
            sealed: Some(SealedKey {
                master_id: String::new(),
                nonce_and_ciphertext: Vec::new(),
            }),
            published_at: at(published_at),
            activates_at: at(activates_at),
            deactivates_at: deactivates_at.map(at),
            compromised_at: None,
        }
    }

    /// An active key since 0 and a next one published at 1000, planned for day 30.
    fn pair() -> Vec<KeyRecord> {
        vec![
            record("old", Purpose::Signing, 0, 0, Some(30 * DAY)),
            record("new", Purpose::Signing, 1000, 30 * DAY, None),
        ]
    }

    fn rotate(now: i64, urgency: Urgency) -> Result<Vec<Step>, RotateRefused> {
        let policy = KeyPolicy::default();
        plan_rotation(&pair(), ES256, Purpose::Signing, &policy, at(now), urgency)
    }

    /// The switch of a rotation asked for at `now`, and the key after the next.
    fn switch(now: i64, seconds: i64) -> Vec<Step> {
        vec![
            Step::SetActivation {
                kid: kid("new"),
                at: at(seconds),
            },
            Step::SetDeactivation {
                kid: kid("old"),
                at: at(seconds),
            },
            Step::Generate {
                algorithm: ES256,
                purpose: Purpose::Signing,
                published_at: at(now),
                activates_at: at(seconds + 30 * DAY),
                deactivates_at: None,
            },
            Step::SetDeactivation {
                kid: kid("new"),
                at: at(seconds + 30 * DAY),
            },
        ]
    }

    #[test]
    fn k1_a_planned_rotation_waits_for_the_margin() {
        let cases = [
            (2000, switch(2000, 1000 + DAY)),
            (1000 + DAY - 4, switch(1000 + DAY - 4, 1001 + DAY)),
            (5 * DAY, switch(5 * DAY, 5 * DAY + 5)),
            (30 * DAY - 5, Vec::new()),
        ];
        for (now, steps) in cases {
            assert_eq!(rotate(now, Urgency::Planned), Ok(steps), "at {now}");
        }
    }

    #[test]
    fn k5_a_rotation_now_is_refused_while_caches_may_lack_the_key() {
        let now = Urgency::Now { force: false };
        let until = at(1900);
        assert_eq!(rotate(1899, now), Err(RotateRefused::StillCached { until }));
        assert_eq!(rotate(1900, now), Ok(switch(1900, 1905)));
        assert_eq!(rotate(1001, Urgency::Now { force: true }), Ok(switch(1001, 1006)));
    }

    #[test]
    fn k11_a_line_that_is_not_configured_cannot_be_rotated() {
        let policy = KeyPolicy::default();
        for (algorithm, purpose) in [
            (KeyAlgorithm::Rs256, Purpose::Signing),
            (HS256, Purpose::Signing),
            (ES256, Purpose::RefreshMac),
        ] {
            let refused = plan_rotation(
                &pair(),
                algorithm,
                purpose,
                &policy,
                at(5000),
                Urgency::Now { force: true },
            );
            let expected = RotateRefused::NotConfigured { algorithm, purpose };
            assert_eq!(refused, Err(expected));
        }
    }

    #[test]
    fn mac_keys_rotate_without_publication() {
        let policy = KeyPolicy::default();
        for purpose in [Purpose::RefreshMac, Purpose::SecretHash] {
            let records = [record("mac", purpose, 0, 0, None)];
            let steps = plan_rotation(&records, HS256, purpose, &policy, at(50), Urgency::Planned);
            let expected = vec![
                Step::Generate {
                    algorithm: HS256,
                    purpose,
                    published_at: at(50),
                    activates_at: at(55),
                    deactivates_at: None,
                },
                Step::SetDeactivation {
                    kid: kid("mac"),
                    at: at(55),
                },
            ];
            assert_eq!(steps, Ok(expected));
        }
    }

    #[test]
    fn revoking_the_active_key_hands_over_at_once() {
        let policy = KeyPolicy::default();
        let steps = plan_revocation(&pair(), &kid("old"), &policy, at(1500)).unwrap();
        let expected = [
            Step::SetCompromised {
                kid: kid("old"),
                at: at(1500),
            },
            Step::Destroy { kid: kid("old") },
            Step::SetActivation {
                kid: kid("new"),
                at: at(1500),
            },
            Step::Generate {
                algorithm: ES256,
                purpose: Purpose::Signing,
                published_at: at(1500),
                activates_at: at(1500 + 30 * DAY),
                deactivates_at: None,
            },
            Step::SetDeactivation {
                kid: kid("new"),
                at: at(1500 + 30 * DAY),
            },
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn revoking_the_next_key_lets_the_active_one_go_on() {
        let policy = KeyPolicy::default();
        let now = 30 * DAY - 10;
        let steps = plan_revocation(&pair(), &kid("new"), &policy, at(now)).unwrap();
        let expected = [
            Step::SetCompromised {
                kid: kid("new"),
                at: at(now),
            },
            Step::Destroy { kid: kid("new") },
            Step::Generate {
                algorithm: ES256,
                purpose: Purpose::Signing,
                published_at: at(now),
                activates_at: at(now + DAY),
                deactivates_at: None,
            },
            Step::SetDeactivation {
                kid: kid("old"),
                at: at(now + DAY),
            },
        ];
        assert_eq!(steps, expected);
    }

    /// The pair, after the private bytes of `erased` were destroyed.
    fn pair_without(erased: &[&str]) -> Vec<KeyRecord> {
        let mut records = pair();
        for record in &mut records {
            if erased.contains(&record.kid.as_str()) {
                record.sealed = None;
            }
        }
        records
    }

    fn fresh(now: i64, activates_at: i64, deactivates_at: Option<i64>) -> Step {
        Step::Generate {
            algorithm: ES256,
            purpose: Purpose::Signing,
            published_at: at(now),
            activates_at: at(activates_at),
            deactivates_at: deactivates_at.map(at),
        }
    }

    fn end(name: &str, seconds: i64) -> Step {
        Step::SetDeactivation {
            kid: kid(name),
            at: at(seconds),
        }
    }

    #[test]
    fn k4_a_rotation_never_turns_to_an_erased_key() {
        let policy = KeyPolicy::default();
        let now = 5 * DAY;
        let rotate = |erased: &[&str], urgency| {
            let records = pair_without(erased);
            plan_rotation(&records, ES256, Purpose::Signing, &policy, at(now), urgency)
        };
        assert_eq!(
            rotate(&["new"], Urgency::Planned),
            Ok(vec![fresh(now, now + DAY, None), end("old", now + DAY)])
        );
        let until = at(now + 900);
        assert_eq!(
            rotate(&["new"], Urgency::Now { force: false }),
            Err(RotateRefused::StillCached { until })
        );
        assert_eq!(
            rotate(&["old", "new"], Urgency::Planned),
            Ok(vec![
                end("old", now),
                end("new", 30 * DAY),
                fresh(now, now, Some(now + 30 * DAY)),
                fresh(now, now + 30 * DAY, None),
            ])
        );
        let steps = rotate(&["old"], Urgency::Planned).unwrap();
        let begin = Step::SetActivation {
            kid: kid("new"),
            at: at(now),
        };
        assert_eq!(steps.get(..2), Some([end("old", now), begin].as_slice()));
    }

    #[test]
    fn k4_a_revocation_never_turns_to_an_erased_key() {
        let policy = KeyPolicy::default();
        let steps = plan_revocation(&pair_without(&["new"]), &kid("old"), &policy, at(1500));
        let compromised = Step::SetCompromised {
            kid: kid("old"),
            at: at(1500),
        };
        let expected = vec![
            compromised.clone(),
            Step::Destroy { kid: kid("old") },
            end("new", 30 * DAY),
            fresh(1500, 1500, Some(1500 + 30 * DAY)),
            fresh(1500, 1500 + 30 * DAY, None),
        ];
        assert_eq!(steps, Ok(expected));

        // An erased key can be revoked like any other; there is nothing left to erase.
        let steps = plan_revocation(&pair_without(&["old"]), &kid("old"), &policy, at(1500)).unwrap();
        assert_eq!(steps.first(), Some(&compromised));
        assert!(!steps.iter().any(|step| matches!(step, Step::Destroy { .. })));
        assert!(!steps.contains(&end("old", 1500)));
    }

    #[test]
    fn k4_a_key_is_revoked_once() {
        let policy = KeyPolicy::default();
        let mut records = pair();
        if let Some(old) = records.first_mut() {
            old.compromised_at = Some(at(7));
        }
        let again = plan_revocation(&records, &kid("old"), &policy, at(9));
        let expected = RevokeRefused::AlreadyRevoked {
            kid: kid("old"),
            at: at(7),
        };
        assert_eq!(again, Err(expected));
        let unknown = plan_revocation(&records, &kid("x"), &policy, at(9));
        assert_eq!(unknown, Err(RevokeRefused::NotFound { kid: kid("x") }));
    }
}
