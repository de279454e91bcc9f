//! Refresh rotation, checked exhaustively within bounds: an honest client that loses answers, in one tab or in two, a
//! thief, somebody who revokes, two replicas that crash before and after the commit, time, and an older copy of the
//! row that is put back. The decision is the store's own, [`vouchsafe_store::decide`]; the guarded UPDATE is a model.
//!
//! | invariant | property here | beyond the model |
//! | --- | --- | --- |
//! | R1 one live head | of all tokens ever made the guard lets at most one through | `tests/flows/refresh_races.rs`: on a database |
//! | R2 unique successor | no two tokens were made for the same one | `tests/flows/refresh_model.rs` |
//! | R3 N first uses, one change | the line is as long as there were commits that made a token | `refresh_model.rs`: N in one batch |
//! | R4 idempotent retry | the previous token, in its window, gives the live one and changes nothing | `decision.rs`: other windows |
//! | R5 reuse kills the family | a replaced token outside its window ends it | `refresh.rs`: its access tokens end, too |
//! | R6 revocation is final | once ended or over, nothing is granted, not even by a request that came before | `revoke.rs`, `introspect.rs`: access tokens |
//! | R7 a crash leaves before or after | the row always tells one whole line | the fault tests, which kill processes |
//! | R8 honest runs are never revoked | without theft, and in time, the client's newest token is good for one | `decision.rs`: longer runs; `refresh_races.rs` |
//! | R9 a thief and a victim never both live on | a window apart, one at most gets on and the family ends | `decision.rs`: longer runs |
//! | R10 bounds never widen | | outside: `refresh.rs`, `r10_*` |
//! | R11 binding before any change | another client is told so, and nothing changes | `refresh.rs`: keys, and what is checked before the database |
//! | R12 rollback is noticed | a token that the restored row never knew is refused and ends nothing | the restore tests: revocations and keys that came back |
//! | R13 O(1) state, ancestors for life | whatever is older than the previous token is superseded or a reuse | `decision.rs`, `refresh.rs`: beyond sixteen; constant size |
//! | R14 fail closed | nobody holds a token that no commit made | the fault tests: 503 of each endpoint |
//!
//! `docs/model.md` says what is left out, and what each broken server is caught by.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a model that cannot go on fails where it is"
)]

mod bounds;
mod database;
mod properties;
mod server;
mod system;

use stateright::{Checker, HasDiscoveries, Model};

use bounds::{
    Bounds, CROWDED, FEW_RESTORED, FEW_TABS, FEW_THEFTS, RACING, RESTORED, RESTORED_AND_ROBBED, ROBBED,
};
use properties::{GUARD, R1, R2, R3, R4, R5, R6, R7, R8, R9, R11, R12, R13, R14};
use server::Code;
use system::System;

const THREADS: usize = 2;

/// Each broken server, within which bounds it is tried, and what catches it.
const BROKEN: &[(Code, Bounds, &[&str])] = &[
    (Code::ReadThenWrite, FEW_TABS, &[R2, R3, R6, R8]),
    (Code::SiblingSuccessors, FEW_TABS, &[R2, R3, R4, R8]),
    (Code::RevokeNotChecked, FEW_TABS, &[R6, GUARD]),
    (Code::EndNotChecked, FEW_TABS, &[R6, GUARD]),
    (Code::ClientNotChecked, FEW_TABS, &[R11, GUARD]),
    (Code::JtiNotChecked, FEW_RESTORED, &[R1, R12, GUARD]),
    (Code::GuardOnIdAlone, FEW_TABS, &[R1, R11, GUARD]),
    (Code::DecisionNotLocked, FEW_TABS, &[R6]),
    (Code::StampedOnArrival, FEW_TABS, &[R8]),
    (Code::HalfCommitted, FEW_TABS, &[R3, R7]),
    (Code::AnsweredBeforeCommit, FEW_TABS, &[R8, R14]),
    (Code::RetryForEver, FEW_THEFTS, &[R5, R9]),
    (Code::NoReuseDetection, FEW_THEFTS, &[R5, R9]),
    (Code::OnlyPreviousKnown, FEW_TABS, &[R5, R8, R13]),
];

/// Every state within the bounds is visited, and there are at least so many.
fn all_hold(bounds: Bounds, states: usize) {
    let model = System::new(Code::True, bounds);
    let checker = model.checker().threads(THREADS).spawn_bfs().join();
    checker.assert_properties();
    let visited = checker.unique_state_count();
    assert!(visited >= states, "only {visited} states in {bounds:?}");
}

/// The broken server is found out by everything that the table says.
fn is_caught(broken: Code) {
    let row = BROKEN.iter().find(|(code, ..)| *code == broken);
    let (code, bounds, by) = *row.unwrap();
    let checker = System::new(code, bounds)
        .checker()
        .threads(THREADS)
        .finish_when(HasDiscoveries::AllOf(by.iter().copied().collect()))
        .spawn_bfs()
        .join();
    let found = checker.discoveries();
    for name in by {
        assert!(found.contains_key(name), "{code:?} is not caught by `{name}`");
    }
}

mod model {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn r1_to_r14_hold_in_the_model() {
        all_hold(ROBBED, 50_000);
    }

    #[test]
    fn r1_to_r14_hold_in_the_model_for_two_tabs_that_race() {
        all_hold(RACING, 50_000);
    }

    #[test]
    fn r1_to_r14_hold_in_the_model_for_two_tabs_and_a_thief() {
        all_hold(CROWDED, 25_000);
    }

    #[test]
    fn r12_r8_an_older_row_put_back_is_noticed_and_ends_nothing() {
        all_hold(RESTORED, 40_000);
    }

    #[test]
    fn r12_an_older_row_put_back_is_noticed_beside_a_thief() {
        all_hold(RESTORED_AND_ROBBED, 25_000);
    }

    #[test]
    fn a_read_then_write_is_caught() {
        is_caught(Code::ReadThenWrite);
    }

    #[test]
    fn sibling_successors_are_caught() {
        is_caught(Code::SiblingSuccessors);
    }

    #[test]
    fn a_guard_without_revocation_is_caught() {
        is_caught(Code::RevokeNotChecked);
    }

    #[test]
    fn a_guard_without_expiry_is_caught() {
        is_caught(Code::EndNotChecked);
    }

    #[test]
    fn a_guard_without_the_client_is_caught() {
        is_caught(Code::ClientNotChecked);
    }

    #[test]
    fn a_guard_without_the_jti_is_caught() {
        is_caught(Code::JtiNotChecked);
    }

    #[test]
    fn a_guard_on_the_family_alone_is_caught() {
        is_caught(Code::GuardOnIdAlone);
    }

    #[test]
    fn a_decision_on_a_row_that_is_not_held_is_caught() {
        is_caught(Code::DecisionNotLocked);
    }

    #[test]
    fn a_time_taken_before_the_row_is_held_is_caught() {
        is_caught(Code::StampedOnArrival);
    }

    #[test]
    fn a_rotation_in_two_commits_is_caught() {
        is_caught(Code::HalfCommitted);
    }

    #[test]
    fn an_answer_before_the_commit_is_caught() {
        is_caught(Code::AnsweredBeforeCommit);
    }

    #[test]
    fn a_retry_without_a_window_is_caught() {
        is_caught(Code::RetryForEver);
    }

    #[test]
    fn a_reuse_that_ends_nothing_is_caught() {
        is_caught(Code::NoReuseDetection);
    }

    #[test]
    fn a_server_that_forgets_ancestors_is_caught() {
        is_caught(Code::OnlyPreviousKnown);
    }

    #[test]
    fn every_property_catches_some_broken_server() {
        let all: BTreeSet<&str> = properties::always()
            .iter()
            .map(|property| property.name)
            .collect();
        let useful: BTreeSet<&str> = BROKEN.iter().flat_map(|(.., by)| by.iter().copied()).collect();
        assert_eq!(all, useful);
    }
}
