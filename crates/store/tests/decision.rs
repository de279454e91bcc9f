//! The decision about a presented refresh token: its table cell by cell, and its properties under random histories of
//! honest clients that lose answers, of parallel tabs and of thieves.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use vouchsafe_protocol::{ClientId, FamilyId, Jti, Kid, ScopeSet, Subject, Timestamp};
use vouchsafe_store::{Decision, Ended, Family, Presented, Recent, RevokeReason, decide};

const BIRTH: i64 = 1_790_000_000;
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// The default of public clients, and the one of clients that authenticate.
const WINDOWS: [u64; 3] = [0, 30, 24 * 3600];

const REASONS: [RevokeReason; 10] = [
    RevokeReason::Revoked,
    RevokeReason::Reused,
    RevokeReason::Operator,
    RevokeReason::UserLocked,
    RevokeReason::UserDeleted,
    RevokeReason::PasswordChanged,
    RevokeReason::ClientDisabled,
    RevokeReason::ClientDeleted,
    RevokeReason::MacKeyRevoked,
    RevokeReason::Rollback,
];

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Any number makes a name; no token of a family has one of these below zero.
fn jti(n: i64) -> Jti {
    Jti::parse(&format!("{n:022}")).unwrap()
}

fn client(id: &str) -> ClientId {
    ClientId::parse(id).unwrap()
}

fn newborn() -> Family {
    Family {
        id: FamilyId::parse(&"f".repeat(22)).unwrap(),
        client_id: client("app"),
        subject: Subject::parse(&format!("usr_{}", "s".repeat(22))).unwrap(),
        scope: ScopeSet::empty(),
        audience: Vec::new(),
        auth_time: at(BIRTH),
        acr: None,
        amr: Vec::new(),
        refreshable: true,
        seq: 0,
        current_jti: jti(0),
        previous_jti: None,
        mac_kid: Kid::parse("k1").unwrap(),
        rotated_at: at(BIRTH),
        recent: Recent::default(),
        created_at: at(BIRTH),
        idle_expires_at: at(BIRTH).plus(YEAR),
        absolute_expires_at: at(BIRTH).plus(YEAR),
        ended: None,
        session_id: None,
        claims: None,
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Token {
    seq: i64,
    jti: Jti,
}

/// A family in memory that nothing but the decision moves, as the store does it.
struct World {
    family: Family,
    now: Timestamp,
    window: Duration,
}

impl World {
    fn new(window: Duration) -> Self {
        Self {
            family: newborn(),
            now: at(BIRTH),
            window,
        }
    }

    fn live(&self) -> Token {
        Token {
            seq: self.family.seq,
            jti: self.family.current_jti.clone(),
        }
    }

    fn judge(&self, token: &Token) -> Decision {
        let presented = Presented {
            client_id: &self.family.client_id,
            seq: token.seq,
            jti: &token.jti,
        };
        decide(&self.family, presented, self.now, self.window)
    }

    /// Presents a token; gives the one that is handed out for it.
    fn present(&mut self, token: &Token) -> (Decision, Option<Token>) {
        let decision = self.judge(token);
        let family = &mut self.family;
        match decision {
            Decision::Rotate => {
                family.recent = family.recent.after(family.seq, self.now);
                family.seq += 1;
                let replaced = std::mem::replace(&mut family.current_jti, jti(family.seq));
                family.previous_jti = Some(replaced);
                family.rotated_at = self.now;
            }
            Decision::Reuse => {
                family.ended = Some(Ended {
                    at: self.now,
                    reason: RevokeReason::Reused,
                });
            }
            _ => {}
        }
        let granted = matches!(decision, Decision::Rotate | Decision::Retry);
        (decision, granted.then(|| self.live()))
    }
}

/// A family after some rotations, and everything that is to be known of each of its tokens.
struct Line {
    family: Family,
    /// Name, and when it was replaced, by number.
    tokens: Vec<(Jti, Option<Timestamp>)>,
}

impl Line {
    fn new(rotations: i64, gap: i64) -> Self {
        let mut world = World::new(Duration::ZERO);
        let mut tokens = Vec::new();
        for n in 0..rotations {
            world.now = at(BIRTH + 100 + n * gap);
            let live = world.live();
            assert_eq!(world.present(&live).0, Decision::Rotate);
            tokens.push((live.jti, Some(world.now)));
        }
        tokens.push((world.live().jti, None));
        Self {
            family: world.family,
            tokens,
        }
    }

    fn token(&self, seq: i64) -> Option<&(Jti, Option<Timestamp>)> {
        usize::try_from(seq).ok().and_then(|seq| self.tokens.get(seq))
    }

    /// The token of that number, and another one that says it has that number.
    fn candidates(&self, seq: i64) -> Vec<Token> {
        let own = self.token(seq).map(|(jti, _)| jti.clone());
        let names = own.into_iter().chain([jti(-1)]);
        names.map(|jti| Token { seq, jti }).collect()
    }

    /// The position in the line, as the table of the design has it.
    fn expected(&self, token: &Token, now: Timestamp, window: Duration) -> Decision {
        let Some((name, replaced)) = self.token(token.seq) else {
            return Decision::Rollback;
        };
        let is_own = *name == token.jti;
        let inside = replaced.is_some_and(|replaced| now.since(replaced) <= window);
        match self.family.seq - token.seq {
            0 if is_own => Decision::Rotate,
            1 if is_own && inside => Decision::Retry,
            1 if is_own => Decision::Reuse,
            0 | 1 => Decision::Rollback,
            2..=16 if inside => Decision::Superseded,
            _ => Decision::Reuse,
        }
    }

    /// The last second of the window of each token whose place in the line is special, and the seconds around it.
    fn moments(&self, window: Duration) -> Vec<Timestamp> {
        let second = seconds(1);
        let mut moments = vec![self.family.rotated_at, self.family.rotated_at.plus(YEAR / 2)];
        for back in [1, 2, 15, 16, 17] {
            let replaced = self.token(self.family.seq - back).and_then(|token| token.1);
            let end = replaced.map(|replaced| replaced.plus(window));
            moments.extend(
                end.into_iter()
                    .flat_map(|end| [end.minus(second), end, end.plus(second)]),
            );
        }
        moments.retain(|moment| *moment >= self.family.rotated_at);
        moments
    }
}

#[test]
fn r4_r5_r12_r13_every_position_in_the_line_is_decided_as_the_table_says() {
    let mut seen = BTreeMap::new();
    for (rotations, gap) in (0..=20).flat_map(|rotations| [0, 1, 29, 4000].map(|gap| (rotations, gap))) {
        let line = Line::new(rotations, gap);
        for window in WINDOWS.map(seconds) {
            for now in line.moments(window) {
                for token in (0..=rotations + 2).flat_map(|seq| line.candidates(seq)) {
                    let world = World {
                        family: line.family.clone(),
                        now,
                        window,
                    };
                    let decision = world.judge(&token);
                    assert_eq!(
                        decision,
                        line.expected(&token, now, window),
                        "{token:?} of {rotations} at {now:?}"
                    );
                    *seen.entry(format!("{decision:?}")).or_insert(0) += 1;
                }
            }
        }
    }
    // No row of the table went without a case.
    let rows: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(rows, ["Retry", "Reuse", "Rollback", "Rotate", "Superseded"]);
}

#[test]
fn r6_r11_binding_comes_before_the_end_and_the_end_before_the_position() {
    // Seconds left until the idle and until the absolute end.
    let ends = [
        (1, 9, false),
        (0, 9, true),
        (-1, 9, true),
        (9, 1, false),
        (9, 0, true),
        (9, -9, true),
    ];
    let reasons = REASONS.map(Some).into_iter().chain([None]);
    let (own, other) = (client("app"), client("rival"));
    for (rotations, reason) in [0, 1, 3, 20]
        .into_iter()
        .flat_map(|n| reasons.clone().map(move |reason| (n, reason)))
    {
        let line = Line::new(rotations, 10);
        for ((idle, absolute, is_over), later) in
            ends.into_iter().flat_map(|end| [0, 31].map(|later| (end, later)))
        {
            let now = line.family.rotated_at.plus(seconds(later));
            let family = Family {
                idle_expires_at: at(now.as_unix() + idle),
                absolute_expires_at: at(now.as_unix() + absolute),
                ended: reason.map(|reason| Ended { at: now, reason }),
                ..line.family.clone()
            };
            for token in (0..=rotations + 1).flat_map(|seq| line.candidates(seq)) {
                let judge = |client_id| {
                    let presented = Presented {
                        client_id,
                        seq: token.seq,
                        jti: &token.jti,
                    };
                    decide(&family, presented, now, seconds(30))
                };
                assert_eq!(judge(&other), Decision::ClientMismatch);
                let expected = match reason {
                    Some(reason) => Decision::Ended(reason),
                    None if is_over => Decision::Expired,
                    None => line.expected(&token, now, seconds(30)),
                };
                assert_eq!(judge(&own), expected, "{token:?} of {rotations}");
            }
        }
    }
}

#[test]
fn f18_a_clock_that_went_back_closes_no_window() {
    let line = Line::new(3, 100);
    let world = World {
        now: at(BIRTH),
        window: Duration::ZERO,
        family: line.family.clone(),
    };
    let decisions: Vec<Decision> = (0..=3).map(|seq| world.judge(&line.candidates(seq)[0])).collect();
    assert_eq!(
        decisions,
        [
            Decision::Superseded,
            Decision::Superseded,
            Decision::Retry,
            Decision::Rotate
        ]
    );
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Answered,
    /// The family moved, and nobody learned of it.
    AnswerLost,
    /// It never arrived.
    RequestLost,
}

/// One tab refreshes after some time.
#[derive(Clone, Debug)]
struct Step {
    tab: usize,
    wait: u64,
    fate: Fate,
}

fn window() -> impl Strategy<Value = Duration> {
    proptest::sample::select(WINDOWS.map(seconds).to_vec())
}

fn wait() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0_u64), 4 => 0..40_u64, 2 => 0..4000_u64, 1 => 0..200_000_u64]
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        3 => Just(Fate::Answered),
        2 => Just(Fate::AnswerLost),
        1 => Just(Fate::RequestLost),
    ];
    (0..4_usize, wait(), fate).prop_map(|(tab, wait, fate)| Step { tab, wait, fate })
}

/// Tabs of one application over one storage, all of them honest: each asks with the newest token that any of them
/// got, and asks again with the same one, inside its window, until it is answered.
struct Tabs {
    world: World,
    newest: Token,
    /// What each tab waits for an answer to.
    asking: BTreeMap<usize, Token>,
    /// When a token first arrived, by number.
    arrived: BTreeMap<i64, Timestamp>,
    /// Every token handed out, by number.
    issued: BTreeMap<i64, Jti>,
}

impl Tabs {
    fn new(window: Duration) -> Self {
        let world = World::new(window);
        let newest = world.live();
        Self {
            issued: BTreeMap::from([(newest.seq, newest.jti.clone())]),
            newest,
            world,
            asking: BTreeMap::new(),
            arrived: BTreeMap::new(),
        }
    }

    fn may_be_asked_again(&self, token: &Token) -> bool {
        let arrived = self.arrived.get(&token.seq);
        // More than the last sixteen are not told from the oldest; no tab sleeps that long inside its window.
        self.newest.seq - token.seq < 16
            && arrived.is_none_or(|arrived| self.world.now.since(*arrived) <= self.world.window)
    }

    fn take(&mut self, step: &Step) -> TestCaseResult {
        let later = self.world.now.plus(seconds(step.wait));
        // Whoever lost an answer asks again before the window closes.
        let limit = self.arrived.get(&self.newest.seq);
        self.world.now = limit.map_or(later, |arrived| later.min(arrived.plus(self.world.window)));
        let waiting = self.asking.remove(&step.tab);
        let token = waiting
            .filter(|token| self.may_be_asked_again(token))
            .unwrap_or_else(|| self.newest.clone());
        if step.fate == Fate::RequestLost {
            self.asking.insert(step.tab, token);
            return Ok(());
        }
        self.arrived.entry(token.seq).or_insert(self.world.now);
        let (decision, answer) = self.world.present(&token);
        prop_assert!(
            matches!(
                decision,
                Decision::Rotate | Decision::Retry | Decision::Superseded
            ),
            "{:?} for {:?} of {}",
            decision,
            token,
            self.world.family.seq
        );
        if let Some(answer) = &answer {
            prop_assert_eq!(answer.seq, token.seq + 1);
            let known = self
                .issued
                .entry(answer.seq)
                .or_insert_with(|| answer.jti.clone());
            prop_assert!(answer.jti == *known, "R2: {:?} beside {:?}", answer, known);
        }
        if step.fate == Fate::AnswerLost {
            self.asking.insert(step.tab, token);
        } else if let Some(answer) = answer.filter(|answer| answer.seq > self.newest.seq) {
            self.newest = answer;
        }
        Ok(())
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn r2_r8_honest_tabs_are_never_signed_out(window in window(), steps in vec(step(), 1..120)) {
        let mut tabs = Tabs::new(window);
        for step in &steps {
            tabs.take(step)?;
        }
        tabs.take(&Step { tab: 9, wait: 0, fate: Fate::Answered })?;
        prop_assert_eq!(tabs.world.family.ended, None);
        prop_assert_eq!(&tabs.newest, &tabs.world.live());
    }

    #[test]
    fn r1_r13_of_all_tokens_ever_made_one_is_live_and_the_rest_are_known(
        waits in vec(wait(), 0..60), window in window(), rest in wait(),
    ) {
        let mut world = World::new(window);
        let mut made = vec![world.live()];
        for wait in &waits {
            world.now = world.now.plus(seconds(*wait));
            let (decision, next) = world.present(&world.live());
            prop_assert_eq!(decision, Decision::Rotate);
            made.extend(next);
        }
        world.now = world.now.plus(seconds(rest));
        let live: Vec<&Token> = made.iter().filter(|token| world.judge(token) == Decision::Rotate).collect();
        let newest = world.live();
        prop_assert_eq!(live, vec![&newest]);
        let retried = made.iter().filter(|token| world.judge(token) == Decision::Retry).count();
        prop_assert!(retried <= 1);
        world.now = world.now.plus(window).plus(seconds(1));
        for old in made.iter().rev().skip(1) {
            prop_assert_eq!(world.judge(old), Decision::Reuse, "{:?}", old);
        }
        // What is kept of them does not grow.
        let full = Line::new(16, 1).family.recent;
        let (kept, most) = (format!("{:?}", world.family.recent), format!("{full:?}"));
        prop_assert!(kept.len() <= most.len());
    }

    #[test]
    fn r4_a_retry_is_the_same_however_often_and_changes_nothing(
        window in window(), waits in vec(wait(), 1..30),
    ) {
        let mut world = World::new(window);
        let first = world.live();
        let (_, successor) = world.present(&first);
        let (before, end) = (world.family.clone(), world.now.plus(window));
        for wait in &waits {
            world.now = world.now.plus(seconds(*wait)).min(end);
            prop_assert_eq!(world.present(&first), (Decision::Retry, successor.clone()));
        }
        prop_assert_eq!(&world.family, &before);
        world.now = end.plus(seconds(1));
        prop_assert_eq!(world.present(&first), (Decision::Reuse, None));
    }

    #[test]
    fn r5_r6_r9_a_thief_and_a_victim_never_both_live_on(
        window in window(),
        honest in 0..40_i64,
        moves in vec((any::<bool>(), wait()), 0..60),
    ) {
        let mut world = World::new(window);
        for _ in 0..honest {
            world.now = world.now.plus(seconds(300));
            let live = world.live();
            world.present(&live);
        }
        // Both hold the same token, and each goes on with what it is given.
        let mut held = [world.live(), world.live()];
        let mut ended = false;
        let apart = window.as_secs() + 1;
        let last = [(true, apart), (false, apart), (true, apart), (false, apart)];
        let mut granted_last = [false, false];
        for (is_thief, wait) in moves.into_iter().chain(last) {
            world.now = world.now.plus(seconds(wait));
            let who = usize::from(is_thief);
            let (decision, given) = world.present(&held[who]);
            prop_assert!(!ended || decision == Decision::Ended(RevokeReason::Reused), "R6: {:?}", decision);
            ended |= decision == Decision::Reuse;
            granted_last[who] = given.is_some();
            if let Some(given) = given {
                held[who] = given;
            }
        }
        prop_assert!(ended);
        prop_assert_eq!(granted_last, [false, false]);
    }

    #[test]
    fn r12_a_lost_line_is_noticed_as_far_back_as_names_are_kept(
        kept in 0..30_i64, lost in 1..30_i64, anew in 0..30_i64, window in window(),
    ) {
        // The database forgets the last `lost` rotations; then another line grows from there.
        let mut world = World::new(window);
        let mut forgotten = Vec::new();
        let mut backup = world.family.clone();
        for n in 0..kept + lost {
            if n == kept {
                backup = world.family.clone();
            }
            let live = world.live();
            let (_, next) = world.present(&live);
            if n >= kept {
                forgotten.extend(next);
            }
        }
        world.family = backup;
        for n in 0..anew {
            let live = world.live();
            world.present(&live);
            world.family.current_jti = jti(1000 + n);
        }
        for token in &forgotten {
            let behind = world.family.seq - token.seq;
            let decision = world.judge(token);
            if behind < 2 {
                prop_assert_eq!(decision, Decision::Rollback, "{:?}", token);
            } else {
                // Further back only numbers are kept; inside the window that is no reason to end anything.
                let expected = if behind <= 16 { Decision::Superseded } else { Decision::Reuse };
                prop_assert_eq!(decision, expected, "{:?}", token);
            }
        }
    }
}
