//! What is to hold in every state, and what is to be seen in some.

use stateright::Property;

use crate::bounds::Bounds;
use crate::database::{ABSOLUTE_END, Client, Db, End, Token};
use crate::server::{Answer, Job, Verdict};
use crate::system::{State, System, Tab};

pub(crate) const R1: &str = "R1 one live head";
pub(crate) const R2: &str = "R2 unique successor";
pub(crate) const R3: &str = "R3 many first uses, one change";
pub(crate) const R4: &str = "R4 idempotent retry";
pub(crate) const R5: &str = "R5 reuse ends the family";
pub(crate) const R6: &str = "R6 an end is final";
pub(crate) const R7: &str = "R7 a crash leaves before or after";
pub(crate) const R8: &str = "R8 honest runs are never revoked";
pub(crate) const R9: &str = "R9 thief and victim never both live on";
pub(crate) const R11: &str = "R11 binding comes before any change";
pub(crate) const R12: &str = "R12 a lost line is noticed and ends nothing";
pub(crate) const R13: &str = "R13 ancestors are recognised";
pub(crate) const R14: &str = "R14 nothing is granted without a commit";
pub(crate) const GUARD: &str = "the guard and the decision agree";

type Condition = fn(&System, &State) -> bool;

fn invariant(name: &'static str, condition: Condition) -> Property<System> {
    Property::always(name, condition)
}

fn example(name: &'static str, condition: Condition) -> Property<System> {
    Property::sometimes(name, condition)
}

pub(crate) fn always() -> Vec<Property<System>> {
    vec![
        invariant(R1, one_live_head),
        invariant(R2, unique_successor),
        invariant(R3, one_change),
        invariant(R4, idempotent_retry),
        invariant(R5, reuse_ends),
        invariant(R6, end_is_final),
        invariant(R7, row_is_whole),
        invariant(R8, honest_lives_on),
        invariant(R9, only_one_lives_on),
        invariant(R11, binding_first),
        invariant(R12, lost_line_is_noticed),
        invariant(R13, ancestors_are_known),
        invariant(R14, every_hand_holds_commits),
        invariant(GUARD, guard_and_decision_agree),
    ]
}

/// What the search must come across within these bounds, so that nothing above holds for want of a case.
pub(crate) fn sometimes(bounds: &Bounds) -> Vec<Property<System>> {
    let mut seen = vec![
        example("a first use is answered", |_, state| told(state, Verdict::Rotate)),
        example("a retry is answered", |_, state| told(state, Verdict::Retry)),
        example("a reuse is told", |_, state| told(state, Verdict::Reuse)),
        example("the idle end is met", |_, state| told(state, Verdict::Expired)),
        example("every rotation is made", |system, state| {
            state.db.row.seq == system.bounds.rotations
        }),
        example("every fault strikes", |_, state| {
            state.faults == 0 && state.db.row.ended.is_none()
        }),
    ];
    // It takes two hands that are behind, or one that asks twice.
    if bounds.tabs > 1 || bounds.thefts > 1 {
        seen.push(example("an older token is superseded", |_, state| {
            told(state, Verdict::Superseded)
        }));
    }
    if bounds.revoker {
        seen.extend([
            example("a revocation comes before a request", |_, state| {
                state.db.row.ended == Some(End::Revoked) && state.is_asking()
            }),
            example("a revocation comes between commit and answer", |_, state| {
                state.db.row.ended == Some(End::Revoked) && told(state, Verdict::Rotate)
            }),
            example("the end is told", |_, state| told(state, Verdict::Ended)),
        ]);
    }
    if bounds.thefts > 0 {
        seen.extend([
            example("the thief is granted a token", |_, state| {
                state.stolen().count() > 1
            }),
            example("a theft ends the family", |_, state| {
                state.db.row.ended == Some(End::Reused) && state.stolen().count() > 0
            }),
        ]);
    }
    if bounds.restore {
        seen.extend([
            example("a rollback is told", |_, state| told(state, Verdict::Rollback)),
            example("another line grows", |_, state| {
                state.is_restored() && has_two_lines(state)
            }),
        ]);
    }
    seen
}

/// True when an answer to a tab is under way that says so.
fn told(state: &State, verdict: Verdict) -> bool {
    let tells = |tab: &Tab| matches!(tab, Tab::Answered(_, answer) if answer.verdict == verdict);
    state.tabs.iter().any(tells)
}

/// True when two tokens of one number were made, which only a database that lost the first of them does.
fn has_two_lines(state: &State) -> bool {
    let mut numbers: Vec<u8> = state.db.history.committed().map(|token| token.seq).collect();
    let all = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len() < all
}

/// What would become of a token that its client presents now, alone.
fn present(system: &System, state: &State, token: Token) -> (Answer, Db) {
    system.server.execute(&state.db, Job::own(token, state.now), None)
}

/// True when presenting the token has this verdict and changes nothing.
fn is_refused(system: &System, state: &State, token: Token, verdict: Verdict) -> bool {
    let (answer, after) = present(system, state, token);
    answer.verdict == verdict && answer.granted.is_none() && after == state.db
}

/// The replaced tokens of a living family, and whether each is inside its window.
fn ancestors(state: &State) -> Vec<(Token, bool)> {
    let row = &state.db.row;
    if !row.is_alive(state.now) {
        return Vec::new();
    }
    let line = state.db.history.line_to(row.current);
    let replaced = line.into_iter().filter(|token| token.seq < row.seq);
    let known = replaced.filter_map(|token| Some((token, row.replaced_at(token.seq)?)));
    known.map(|(token, at)| (token, state.now <= at + 1)).collect()
}

/// Of all tokens ever made, at most one would move the line.
fn one_live_head(system: &System, state: &State) -> bool {
    let moves = |token: &Token| system.server.guard(&state.db.row, Job::own(*token, state.now));
    state.db.history.committed().filter(moves).count() <= 1
}

/// No two tokens were made for the same one.
fn unique_successor(_: &System, state: &State) -> bool {
    let mut parents: Vec<u8> = state.db.history.all().filter_map(|(_, parent)| parent).collect();
    let all = parents.len();
    parents.sort_unstable();
    parents.dedup();
    state.is_restored() || parents.len() == all
}

/// The line is as long as there were changes.
fn one_change(_: &System, state: &State) -> bool {
    let made = state.db.history.committed().count();
    state.is_restored() || made == usize::from(state.db.row.seq) + 1
}

/// The previous token, inside its window, is answered with the live one, and nothing changes.
fn idempotent_retry(system: &System, state: &State) -> bool {
    let row = &state.db.row;
    ancestors(state).into_iter().all(|(token, is_inside)| {
        let (answer, after) = present(system, state, token);
        let is_retry = is_inside && token.seq + 1 == row.seq;
        !is_retry || (answer.granted == Some(row.head()) && after == state.db)
    })
}

/// A replaced token outside its window ends the family, however old it is.
fn reuse_ends(system: &System, state: &State) -> bool {
    ancestors(state).into_iter().all(|(token, is_inside)| {
        let (answer, after) = present(system, state, token);
        let ends = answer.verdict == Verdict::Reuse && after.row.ended == Some(End::Reused);
        is_inside || (ends && answer.granted.is_none())
    })
}

/// A family that was ended, or is past its end, grants nothing and changes no more; nor did it since its end.
fn end_is_final(system: &System, state: &State) -> bool {
    let is_alive = state.db.row.is_alive(state.now);
    let is_dead = |token| {
        let (answer, after) = present(system, state, token);
        answer.granted.is_none() && after == state.db
    };
    !state.granted_after_end && (is_alive || state.db.history.committed().all(is_dead))
}

/// The row tells one line, from the first token to the live one.
fn row_is_whole(_: &System, state: &State) -> bool {
    let row = &state.db.row;
    let line = state.db.history.line_to(row.current);
    let numbers = line.iter().map(|token| token.seq);
    numbers.eq(0..=row.seq)
        && row.previous == state.db.history.parent(row.current)
        && row.replaced_all_before_the_head()
}

/// Without a theft, a client that asks again in time is never told of a reuse, and what it holds is always good for a
/// token. A database that lost a line may refuse it, but not end the family.
fn honest_lives_on(system: &System, state: &State) -> bool {
    if state.excused {
        return true;
    }
    let row = &state.db.row;
    let is_good = |token| present(system, state, token).0.granted.is_some();
    let is_served = || {
        let is_blamed = told(state, Verdict::Reuse) || told(state, Verdict::Rollback);
        !is_blamed && (!row.is_alive(state.now) || is_good(state.newest))
    };
    row.ended != Some(End::Reused) && (state.is_restored() || is_served())
}

/// When thief and victim both use what they have, further apart than the window, at most one gets on and the family
/// ends, whoever comes first.
fn only_one_lives_on(system: &System, state: &State) -> bool {
    if state.is_restored() || state.db.row.ended.is_some() {
        return true;
    }
    let mut db = state.db;
    db.row.idle_end = ABSOLUTE_END;
    let ends = |first, second| {
        let (one, after) = system.server.execute(&db, Job::own(first, state.now + 2), None);
        let (two, after) = system
            .server
            .execute(&after, Job::own(second, state.now + 4), None);
        after.row.ended.is_some() && (one.granted.is_none() || two.granted.is_none())
    };
    let newest = state.newest;
    state
        .stolen()
        .all(|stolen| ends(stolen, newest) && ends(newest, stolen))
}

/// Another client learns nothing and changes nothing, whatever the state of the family.
fn binding_first(system: &System, state: &State) -> bool {
    state.db.history.committed().all(|token| {
        let job = Job {
            client: Client::Rival,
            token,
            at: state.now,
        };
        let (answer, after) = system.server.execute(&state.db, job, None);
        answer.verdict == Verdict::ClientMismatch && answer.granted.is_none() && after == state.db
    })
}

/// A token that the restored row never knew is refused as such, as far back as the row has names.
fn lost_line_is_noticed(system: &System, state: &State) -> bool {
    let row = &state.db.row;
    if !state.is_restored() || !row.is_alive(state.now) {
        return true;
    }
    let line = state.db.history.line_to(row.current);
    let is_lost = |token: &Token| !line.contains(token) && row.seq < token.seq + 2;
    let mut lost = state.db.history.committed().filter(is_lost);
    lost.all(|token| is_refused(system, state, token, Verdict::Rollback))
}

/// Whatever is older than the previous token, inside its window, is told from a theft; what is outside is R5.
fn ancestors_are_known(system: &System, state: &State) -> bool {
    ancestors(state).into_iter().all(|(token, is_inside)| {
        let is_older = token.seq + 1 < state.db.row.seq;
        !(is_older && is_inside) || is_refused(system, state, token, Verdict::Superseded)
    })
}

/// Nobody holds a token that no commit made.
fn every_hand_holds_commits(_: &System, state: &State) -> bool {
    let is_committed = |held: Token| state.db.history.committed().any(|token| token == held);
    is_committed(state.newest) && state.stolen().all(is_committed)
}

/// The statement moves the line exactly when the decision says so: it does not matter which of them is asked first.
fn guard_and_decision_agree(system: &System, state: &State) -> bool {
    let row = &state.db.row;
    let mut uses = state.db.history.all().flat_map(|(token, _)| {
        [Client::Own, Client::Rival].map(|client| Job {
            client,
            token,
            at: state.now,
        })
    });
    uses.all(|job| {
        let says_rotate = system.server.decision(row, job) == Verdict::Rotate;
        system.server.guard(row, job) == says_rotate
    })
}
