//! Everyone who touches the family, and every step that one of them may take next.

use stateright::{Model, Property};

use crate::bounds::{Bounds, Fault};
use crate::database::{Db, End, Row, Token};
use crate::properties;
use crate::server::{Answer, Code, Job, Read, Seen, Server, Verdict};

/// Requests that are worked on at the same time: one at each replica.
const REPLICAS: usize = 2;
const LAST_TICK: u8 = 3;

/// A request at a replica, which waits for the row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Request {
    pub(crate) token: Token,
    read: Option<Read>,
}

/// A tab of the honest client. The tabs share one storage, and none asks twice at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Tab {
    Idle,
    Asking(Request),
    /// The answer to a request with this token is under way.
    Answered(Token, Answer),
    /// It knows that it got no answer to this token, and will ask again with it.
    Unanswered(Token),
    /// It was told to sign in again.
    Closed,
}

impl Tab {
    /// The token that it may yet present, or get an answer to.
    fn token(self) -> Option<Token> {
        match self {
            Self::Asking(Request { token, .. }) | Self::Answered(token, _) | Self::Unanswered(token) => {
                Some(token)
            }
            Self::Idle | Self::Closed => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Thief {
    /// One bit for each token that he has, by name.
    held: u8,
    uses: u8,
    asking: Option<Request>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Backup {
    None,
    Taken(Row),
    Restored,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    pub(crate) now: u8,
    pub(crate) db: Db,
    /// The newest token in the storage of the honest client.
    pub(crate) newest: Token,
    /// In order: which tab is which does not matter.
    pub(crate) tabs: [Tab; 2],
    pub(crate) thief: Thief,
    /// One bit for each fault that may still happen.
    pub(crate) faults: u8,
    /// A revocation may still come.
    revocable: bool,
    pub(crate) backup: Backup,
    /// A token was stolen, or the honest client came outside its window: nobody promises it anything more.
    pub(crate) excused: bool,
    /// A token was granted by a commit after that of the end.
    pub(crate) granted_after_end: bool,
}

impl State {
    pub(crate) fn is_restored(&self) -> bool {
        self.backup == Backup::Restored
    }

    /// The tokens in the hands of the thief.
    pub(crate) fn stolen(&self) -> impl Iterator<Item = Token> {
        let all = self.db.history.all().map(|(token, _)| token);
        all.filter(move |token| self.thief.held & (1_u8 << token.jti) != 0)
    }

    pub(crate) fn is_asking(&self) -> bool {
        self.tabs.iter().any(|tab| matches!(tab, Tab::Asking(_))) || self.thief.asking.is_some()
    }

    fn has_free_replica(&self) -> bool {
        let tabs = self.tabs.iter().filter(|tab| matches!(tab, Tab::Asking(_)));
        tabs.count() + usize::from(self.thief.asking.is_some()) < REPLICAS
    }

    fn may_meet(&self, fault: Fault) -> bool {
        self.faults & fault as u8 != 0
    }

    /// True when the honest client holds or presents a token that was replaced more than a window ago.
    fn is_late(&self) -> bool {
        let held = self.tabs.iter().filter_map(|tab| tab.token());
        held.chain([self.newest]).any(|token| {
            let replaced = self.db.row.replaced_at(token.seq);
            replaced.is_some_and(|at| self.now > at + 1)
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// A tab asks with the newest token, or again with the one that it got no answer to.
    Ask(usize),
    /// A replica holds the row, works on the request of a tab and commits.
    Commit(usize),
    Meet(usize, Fault),
    /// A tab takes its answer.
    Take(usize),
    /// The thief copies the newest token of the client.
    Steal,
    /// The thief presents a token, by its name.
    Abuse(u8),
    CommitForThief,
    Revoke,
    Tick,
    BackUp,
    Restore,
}

pub(crate) struct System {
    pub(crate) server: Server,
    pub(crate) bounds: Bounds,
}

impl System {
    pub(crate) fn new(code: Code, bounds: Bounds) -> Self {
        Self {
            server: Server::new(code),
            bounds,
        }
    }

    fn request(&self, state: &State, token: Token) -> Request {
        let job = Job::own(token, state.now);
        Request {
            token,
            read: self.server.arrival(&state.db.row, job),
        }
    }

    fn commit(&self, state: &mut State, request: Request) -> Answer {
        let was_ended = state.db.row.ended.is_some();
        let (job, seen) = brought(state, request);
        let (answer, db) = self.server.execute(&state.db, job, seen);
        state.db = db;
        state.granted_after_end |= was_ended && answer.granted.is_some();
        answer
    }

    fn ask(&self, state: &State, tab: Tab) -> Tab {
        let token = tab.token().unwrap_or(state.newest);
        Tab::Asking(self.request(state, token))
    }

    fn answer(&self, state: &mut State, tab: Tab) -> Option<Tab> {
        let Tab::Asking(request) = tab else {
            return None;
        };
        let answer = self.commit(state, request);
        Some(Tab::Answered(request.token, answer))
    }

    /// What a fault makes of the request or the answer of a tab; none when it changes nothing.
    fn meet(&self, state: &mut State, tab: Tab, fault: Fault) -> Option<Tab> {
        state.faults &= !(fault as u8);
        let request = match (tab, fault) {
            (Tab::Answered(token, _), Fault::AnswerLost) => return Some(Tab::Unanswered(token)),
            (Tab::Asking(request), _) => request,
            _ => return None,
        };
        let token = request.token;
        match fault {
            Fault::CrashBeforeCommit => {
                let (job, seen) = brought(state, request);
                let (answer, db) = self.server.torn(&state.db, job, seen);
                state.db = db;
                Some(answer.map_or(Tab::Unanswered(token), |answer| Tab::Answered(token, answer)))
            }
            Fault::CrashAfterCommit => {
                self.commit(state, request);
                Some(Tab::Unanswered(token))
            }
            Fault::RepeatAfterCommit => {
                let before = state.db;
                self.commit(state, request);
                (state.db != before).then(|| Tab::Asking(self.request(state, token)))
            }
            Fault::AnswerLost => None,
        }
    }

    fn actions_of_tab(&self, state: &State, nth: usize, actions: &mut Vec<Action>) {
        let faults: &[Fault] = match state.tabs[nth] {
            Tab::Idle | Tab::Unanswered(_) => {
                if state.has_free_replica() {
                    actions.push(Action::Ask(nth));
                }
                &[]
            }
            Tab::Asking(_) => {
                actions.push(Action::Commit(nth));
                &[
                    Fault::CrashBeforeCommit,
                    Fault::CrashAfterCommit,
                    Fault::RepeatAfterCommit,
                ]
            }
            Tab::Answered(..) => {
                actions.push(Action::Take(nth));
                &[Fault::AnswerLost]
            }
            Tab::Closed => &[],
        };
        let possible = faults.iter().filter(|fault| state.may_meet(**fault));
        actions.extend(possible.map(|fault| Action::Meet(nth, *fault)));
    }

    fn actions_of_thief(&self, state: &State, actions: &mut Vec<Action>) {
        let thief = &state.thief;
        if self.bounds.thefts > 0 && thief.held == 0 && state.db.row.ended.is_none() {
            actions.push(Action::Steal);
        }
        if thief.asking.is_some() {
            actions.push(Action::CommitForThief);
        } else if thief.uses > 0 && state.has_free_replica() {
            actions.extend(state.stolen().map(|token| Action::Abuse(token.jti)));
        }
    }

    fn actions_of_the_world(&self, state: &State, actions: &mut Vec<Action>) {
        if state.revocable {
            actions.push(Action::Revoke);
        }
        // An end is final at any time, so time after it shows nothing new.
        if state.now < LAST_TICK && state.db.row.ended.is_none() {
            actions.push(Action::Tick);
        }
        match state.backup {
            Backup::None if self.bounds.restore => actions.push(Action::BackUp),
            Backup::Taken(row) if row != state.db.row => actions.push(Action::Restore),
            _ => {}
        }
    }
}

/// What the transaction of a request goes by; the true server takes the time when it holds the row.
fn brought(state: &State, request: Request) -> (Job, Option<Seen>) {
    let at = request.read.map_or(state.now, |read| read.at);
    (
        Job::own(request.token, at),
        request.read.and_then(|read| read.seen),
    )
}

/// A tab takes its answer: it keeps a token that is newer than the one in the storage.
fn take(state: &mut State, tab: Tab) -> Option<Tab> {
    let Tab::Answered(_, answer) = tab else {
        return None;
    };
    if let Some(token) = answer.granted.filter(|token| token.seq > state.newest.seq) {
        state.newest = token;
    }
    let goes_on = answer.granted.is_some() || answer.verdict == Verdict::Superseded;
    Some(if goes_on { Tab::Idle } else { Tab::Closed })
}

impl Model for System {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let db = Db::newborn();
        let second = if self.bounds.tabs > 1 {
            Tab::Idle
        } else {
            Tab::Closed
        };
        vec![State {
            now: 0,
            db,
            newest: db.row.head(),
            tabs: [Tab::Idle, second],
            thief: Thief {
                held: 0,
                uses: self.bounds.thefts,
                asking: None,
            },
            faults: self.bounds.faults.iter().fold(0, |all, fault| all | *fault as u8),
            revocable: self.bounds.revoker,
            backup: Backup::None,
            excused: false,
            granted_after_end: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for nth in 0..state.tabs.len() {
            self.actions_of_tab(state, nth, actions);
        }
        self.actions_of_thief(state, actions);
        self.actions_of_the_world(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Ask(nth) => state.tabs[nth] = self.ask(last, last.tabs[nth]),
            Action::Commit(nth) => state.tabs[nth] = self.answer(&mut state, last.tabs[nth])?,
            Action::Meet(nth, fault) => state.tabs[nth] = self.meet(&mut state, last.tabs[nth], fault)?,
            Action::Take(nth) => state.tabs[nth] = take(&mut state, last.tabs[nth])?,
            Action::Steal => {
                state.thief.held = 1_u8 << state.newest.jti;
                state.excused = true;
            }
            Action::Abuse(jti) => {
                state.thief.uses -= 1;
                state.thief.asking = Some(self.request(&state, state.db.history.token(jti)));
            }
            Action::CommitForThief => {
                let request = state.thief.asking.take()?;
                let granted = self.commit(&mut state, request).granted;
                state.thief.held |= granted.map_or(0, |token| 1_u8 << token.jti);
            }
            Action::Revoke => {
                state.revocable = false;
                state.db.row.ended = state.db.row.ended.or(Some(End::Revoked));
            }
            Action::Tick => {
                state.now += 1;
                state.excused |= state.is_late();
            }
            Action::BackUp => state.backup = Backup::Taken(state.db.row),
            Action::Restore => {
                let Backup::Taken(row) = state.backup else {
                    return None;
                };
                state.db.row = row;
                state.backup = Backup::Restored;
            }
        }
        // What fails after the end changes nothing any more.
        if state.db.row.ended.is_some() {
            state.faults = 0;
        }
        state.tabs.sort_unstable();
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        let rotations = self.bounds.rotations;
        state.db.row.seq <= rotations && state.db.history.count() <= usize::from(rotations) + 2
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = properties::always();
        all.extend(properties::sometimes(&self.bounds));
        all
    }
}
