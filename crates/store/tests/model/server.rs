//! What a server does about a presented token: the guarded UPDATE and the decision of the store, or one of several ways
//! to get them wrong.

use std::collections::HashMap;
use std::sync::RwLock;

use vouchsafe_store::{Decision, Presented, decide};

use crate::database::{Client, Db, End, Row, Token, WINDOW, instant, jti};

/// The true code, and those that look like it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Code {
    True,
    /// Reads the row and decides when the request arrives; writes later, without a guard.
    ReadThenWrite,
    /// Answers a retry with a token of its own.
    SiblingSuccessors,
    /// The guard lacks `revoked_at IS NULL`.
    RevokeNotChecked,
    /// The guard lacks the two expiries.
    EndNotChecked,
    /// The guard lacks the client.
    ClientNotChecked,
    /// The guard lacks the name of the token, and trusts its number.
    JtiNotChecked,
    /// The guard names the family and nothing of the token.
    GuardOnIdAlone,
    /// Decides on a row that it does not hold until the commit.
    DecisionNotLocked,
    /// Takes the time when the request arrives, not when it holds the row.
    StampedOnArrival,
    /// Writes the number in one commit and the name in the next.
    HalfCommitted,
    /// Answers before it commits.
    AnsweredBeforeCommit,
    /// Has no retry window.
    RetryForEver,
    /// Refuses a reuse and ends nothing.
    NoReuseDetection,
    /// Knows no token before the previous one.
    OnlyPreviousKnown,
}

/// [`Decision`] in a form that can be ordered and hashed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Verdict {
    Rotate,
    Retry,
    Superseded,
    Reuse,
    Rollback,
    ClientMismatch,
    Ended,
    Expired,
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Rotate => Self::Rotate,
            Decision::Retry => Self::Retry,
            Decision::Superseded => Self::Superseded,
            Decision::Reuse => Self::Reuse,
            Decision::Rollback => Self::Rollback,
            Decision::ClientMismatch => Self::ClientMismatch,
            Decision::Ended(_) => Self::Ended,
            Decision::Expired => Self::Expired,
        }
    }
}

/// One use of a token at a tick.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Job {
    pub(crate) client: Client,
    pub(crate) token: Token,
    pub(crate) at: u8,
}

impl Job {
    pub(crate) fn own(token: Token, at: u8) -> Self {
        Self {
            client: Client::Own,
            token,
            at,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    pub(crate) granted: Option<Token>,
}

/// What a broken server took from the row before it held it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Seen {
    verdict: Verdict,
    head: Token,
}

/// What a broken server brings along from the arrival of a request; the true one brings nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Read {
    pub(crate) at: u8,
    pub(crate) seen: Option<Seen>,
}

pub(crate) struct Server {
    code: Code,
    /// Answers of [`decide`], which is pure: the same few rows are asked about in many states.
    decided: RwLock<HashMap<(Row, Job), Verdict>>,
}

impl Server {
    pub(crate) fn new(code: Code) -> Self {
        Self {
            code,
            decided: RwLock::default(),
        }
    }

    /// The WHERE clause of the rotation.
    pub(crate) fn guard(&self, row: &Row, job: Job) -> bool {
        let lacks = |code| self.code == code;
        let by_name = row.current == job.token.jti || lacks(Code::JtiNotChecked);
        let by_client = job.client == Client::Own || lacks(Code::ClientNotChecked);
        let by_token = row.seq == job.token.seq && by_name && by_client;
        (by_token || lacks(Code::GuardOnIdAlone))
            && (row.ended.is_none() || lacks(Code::RevokeNotChecked))
            && (!row.is_over(job.at) || lacks(Code::EndNotChecked))
    }

    /// What the store decides.
    pub(crate) fn decision(&self, row: &Row, job: Job) -> Verdict {
        let question = (*row, job);
        if let Some(verdict) = self.decided.read().unwrap().get(&question) {
            return *verdict;
        }
        let (client_id, name) = (job.client.id(), jti(job.token.jti));
        let presented = Presented {
            client_id: &client_id,
            seq: i64::from(job.token.seq),
            jti: &name,
        };
        let verdict = Verdict::from(decide(&row.family(), presented, instant(job.at), WINDOW));
        self.decided.write().unwrap().insert(question, verdict);
        verdict
    }

    /// What this server makes of the decision.
    fn judge(&self, row: &Row, job: Job) -> Verdict {
        let is_previous = row.seq == job.token.seq + 1;
        match (self.code, self.decision(row, job)) {
            (Code::RetryForEver, Verdict::Reuse) if is_previous => Verdict::Retry,
            (Code::NoReuseDetection, Verdict::Reuse) => Verdict::Superseded,
            (Code::OnlyPreviousKnown, Verdict::Reuse | Verdict::Superseded) if !is_previous => {
                Verdict::Rollback
            }
            (_, verdict) => verdict,
        }
    }

    fn see(&self, row: &Row, job: Job) -> Seen {
        Seen {
            verdict: self.judge(row, job),
            head: row.head(),
        }
    }

    /// What is read when a request arrives.
    pub(crate) fn arrival(&self, row: &Row, job: Job) -> Option<Read> {
        let read = |seen| Some(Read { at: job.at, seen });
        match self.code {
            Code::ReadThenWrite => read(Some(self.see(row, job))),
            Code::DecisionNotLocked if !self.guard(row, job) => read(Some(self.see(row, job))),
            Code::StampedOnArrival => read(None),
            _ => None,
        }
    }

    /// A whole transaction, from the lock of the row to the commit.
    pub(crate) fn execute(&self, db: &Db, job: Job, seen: Option<Seen>) -> (Answer, Db) {
        match seen {
            Some(seen) if seen.verdict == Verdict::Rotate => advance(db, job, job.token),
            Some(seen) => self.conclude(db, job, seen),
            None if self.guard(&db.row, job) => advance(db, job, db.row.head()),
            None => self.conclude(db, job, self.see(&db.row, job)),
        }
    }

    /// A transaction that moves no line on.
    fn conclude(&self, db: &Db, job: Job, seen: Seen) -> (Answer, Db) {
        let mut after = *db;
        let granted = match seen.verdict {
            Verdict::Retry if self.code == Code::SiblingSuccessors => {
                let sibling = after.history.add(seen.head.seq, Some(job.token.jti));
                after.row.current = sibling.jti;
                Some(sibling)
            }
            Verdict::Retry => Some(seen.head),
            Verdict::Reuse => {
                after.row.ended = after.row.ended.or(Some(End::Reused));
                None
            }
            _ => None,
        };
        let verdict = seen.verdict;
        (Answer { verdict, granted }, after)
    }

    /// What is left of a transaction whose process dies before the commit: nothing, and no answer.
    pub(crate) fn torn(&self, db: &Db, job: Job, seen: Option<Seen>) -> (Option<Answer>, Db) {
        let (answer, whole) = self.execute(db, job, seen);
        let mut left = *db;
        match (self.code, answer.verdict) {
            (Code::HalfCommitted, Verdict::Rotate) => {
                left.row = whole.row;
                left.row.current = db.row.current;
                (None, left)
            }
            (Code::AnsweredBeforeCommit, Verdict::Rotate) => {
                let granted = Some(left.history.add(job.token.seq + 1, None));
                (Some(Answer { granted, ..answer }), left)
            }
            _ => (None, left),
        }
    }
}

/// The rotation, when `replaced` is what the writer holds to be the live token.
fn advance(db: &Db, job: Job, replaced: Token) -> (Answer, Db) {
    let mut after = *db;
    let successor = after.history.add(replaced.seq + 1, Some(job.token.jti));
    after.row = db.row.rotated(replaced, successor, job.at);
    let answer = Answer {
        verdict: Verdict::Rotate,
        granted: Some(successor),
    };
    (answer, after)
}
