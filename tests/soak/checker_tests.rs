//! Small histories in which one thing is wrong, each of which must be found.

use super::*;
use crate::history::{FamilyNote, Silence};

/// A history of one family, written a request a line.
struct Told(Record);

fn honest() -> Told {
    of(Class::Honest)
}

fn of(class: Class) -> Told {
    let family = FamilyNote {
        sid: "family".to_owned(),
        class,
        client_id: "native".to_owned(),
    };
    Told(Record {
        families: vec![family],
        ..Record::default()
    })
    .then(0, 0, Ask::SignIn, granted(0))
}

fn token(seq: i64) -> TokenId {
    TokenId {
        seq,
        jti: format!("r{seq}").into(),
    }
}

fn refresh(seq: i64) -> Ask {
    Ask::Refresh(token(seq))
}

fn granted(seq: i64) -> Outcome {
    Outcome::Granted(token(seq))
}

fn refused(status: u16, error: &str, reason: &str) -> Outcome {
    Outcome::Refused {
        status,
        error: error.into(),
        reason: reason.into(),
        retry_after: status == 503,
    }
}

fn invalid(reason: &str) -> Outcome {
    refused(400, "invalid_grant", reason)
}

fn access(jti: &str) -> Ask {
    Ask::IntrospectAccess(jti.into())
}

impl Told {
    /// A request that began at so many milliseconds and took 100.
    fn then(mut self, start: u64, replica: usize, ask: Ask, outcome: Outcome) -> Self {
        let start = Duration::from_millis(start);
        self.0.events.push(Event {
            family: Some(0),
            replica,
            ask,
            outcome,
            start,
            end: start + Duration::from_millis(100),
            retry: false,
            lost: false,
        });
        self
    }

    fn breaks_nothing(&self) {
        let found = check(&self.0);
        assert!(found.is_empty(), "{found:?}");
    }

    fn breaks(&self, rule: &str) {
        let found = check(&self.0);
        assert!(
            found.iter().any(|violation| violation.rule == rule),
            "{rule}: {found:?}"
        );
    }
}

#[test]
fn r1_r4_r8_what_honest_clients_do_breaks_nothing() {
    honest()
        .then(100, 0, refresh(0), Outcome::Silent(Silence::Dropped))
        .then(
            200,
            1,
            refresh(0),
            refused(503, "temporarily_unavailable", "busy"),
        )
        .then(300, 1, refresh(0), granted(1))
        .then(310, 2, refresh(0), granted(1))
        .then(500, 1, access("a"), Outcome::Active)
        .then(600, 0, refresh(1), granted(2))
        .then(800, 0, refresh(0), invalid("superseded"))
        .then(900, 0, Ask::RevokeAccess("a".into()), Outcome::Revoked)
        .then(1_000, 0, access("a"), Outcome::Inactive)
        .then(1_100, 1, access("a"), Outcome::Active)
        .then(1_200, 1, Ask::RevokeFamily, Outcome::Silent(Silence::Broken))
        .then(1_210, 1, refresh(2), granted(3))
        .then(1_300, 2, Ask::RevokeFamily, Outcome::Revoked)
        .then(1_350, 2, refresh(3), granted(4))
        .then(1_400, 2, access("b"), Outcome::Inactive)
        .then(2_300, 1, access("b"), Outcome::Active)
        .then(2_400, 1, refresh(4), invalid("revoked"))
        .breaks_nothing();
}

#[test]
fn r2_two_tokens_of_one_number_are_a_fork() {
    let sibling = Outcome::Granted(TokenId {
        seq: 1,
        jti: "another".into(),
    });
    honest()
        .then(100, 0, refresh(0), granted(1))
        .then(100, 1, refresh(0), sibling)
        .breaks("no family forks");
}

#[test]
fn r1_a_token_behind_a_used_successor_brings_nothing() {
    let told = honest()
        .then(100, 0, refresh(0), granted(1))
        .then(300, 0, refresh(1), granted(2));
    told.then(500, 1, refresh(0), granted(1))
        .breaks("no family forks");
    // At once with the use of its successor it still may have been in time.
    honest()
        .then(100, 0, refresh(0), granted(1))
        .then(300, 0, refresh(1), granted(2))
        .then(350, 1, refresh(0), granted(1))
        .breaks_nothing();
}

#[test]
fn a_family_moves_by_one() {
    honest()
        .then(100, 0, refresh(0), granted(2))
        .breaks("a family moves by one");
}

#[test]
fn r8_an_honest_client_is_not_signed_out() {
    let lost = "no family is lost to an honest client";
    for reason in ["reused", "revoked", "expired", "unknown_token", "state_rollback"] {
        honest().then(100, 0, refresh(0), invalid(reason)).breaks(lost);
    }
    honest()
        .then(
            100,
            0,
            refresh(0),
            refused(401, "invalid_client", "bad_credentials"),
        )
        .breaks(lost);
    // Nobody has used a later token.
    honest()
        .then(100, 0, refresh(0), invalid("superseded"))
        .breaks(lost);
    // A revocation makes it `revoked`, and not before it was asked for.
    honest()
        .then(100, 0, refresh(0), invalid("revoked"))
        .then(300, 0, Ask::RevokeFamily, Outcome::Revoked)
        .breaks(lost);
    honest()
        .then(100, 0, Ask::RevokeFamily, Outcome::Revoked)
        .then(300, 0, refresh(0), invalid("reused"))
        .breaks(lost);
}

#[test]
fn r6_t47_nothing_of_a_revoked_family_is_accepted() {
    let dead = "what is revoked is dead";
    let revoked = || honest().then(100, 0, Ask::RevokeFamily, Outcome::Revoked);
    revoked().then(200, 1, refresh(0), granted(1)).breaks(dead);
    revoked()
        .then(200, 1, Ask::IntrospectRefresh(token(0)), Outcome::Active)
        .breaks(dead);
    revoked().then(200, 0, access("a"), Outcome::Active).breaks(dead);
    revoked()
        .then(1_200, 1, access("a"), Outcome::Active)
        .breaks(dead);
    revoked()
        .then(1_199, 1, access("a"), Outcome::Active)
        .breaks_nothing();
    revoked().then(199, 0, refresh(0), granted(1)).breaks_nothing();
}

#[test]
fn i04_a_revoked_access_token_is_dead_and_its_family_is_not() {
    let revoked = || honest().then(100, 0, Ask::RevokeAccess("a".into()), Outcome::Revoked);
    revoked()
        .then(200, 0, access("a"), Outcome::Active)
        .breaks("what is revoked is dead");
    revoked()
        .then(1_200, 1, access("a"), Outcome::Active)
        .breaks("what is revoked is dead");
    revoked()
        .then(200, 0, access("b"), Outcome::Inactive)
        .breaks("a living token is known everywhere");
    revoked().then(200, 0, refresh(0), granted(1)).breaks_nothing();
}

#[test]
fn r5_a_theft_ends_the_family() {
    let theft = "a theft ends the family";
    let stolen = || {
        of(Class::Stolen)
            .then(100, 0, refresh(0), granted(1))
            .then(300, 0, refresh(1), granted(2))
    };
    let steal = || Ask::Steal(token(0));
    stolen().then(500, 1, steal(), granted(1)).breaks(theft);
    stolen()
        .then(500, 1, steal(), invalid("superseded"))
        .breaks(theft);
    let ended = || stolen().then(500, 1, steal(), invalid("reused"));
    ended()
        .then(700, 0, refresh(2), invalid("reused"))
        .breaks_nothing();
    ended()
        .then(700, 0, refresh(2), granted(3))
        .breaks("what is revoked is dead");
    ended()
        .then(1_500, 1, access("a"), Outcome::Active)
        .breaks_nothing();
    ended()
        .then(1_600, 1, access("a"), Outcome::Active)
        .breaks("what is revoked is dead");
}

#[test]
fn f7_every_failure_is_a_503_that_says_when_to_come_back() {
    let rule = "no error but 503 with Retry-After";
    honest()
        .then(100, 0, refresh(0), refused(500, "server_error", "internal"))
        .breaks(rule);
    let silent_503 = Outcome::Refused {
        status: 503,
        error: "temporarily_unavailable".into(),
        reason: "busy".into(),
        retry_after: false,
    };
    honest().then(100, 0, refresh(0), silent_503).breaks(rule);
    honest()
        .then(100, 0, Ask::SignIn, refused(400, "invalid_grant", "bad_password"))
        .breaks("a right request is not refused");
    honest()
        .then(100, 0, refresh(0), Outcome::Absurd("no kid".into()))
        .breaks("answers make sense");
}

#[test]
fn what_no_request_shows_is_a_violation_too() {
    let mut told = honest();
    told.0.faults.push("replica 1 does not run".to_owned());
    told.breaks("nothing fails that must not");
}
