//! What was asked and answered: every request with its instants, kept in memory until the checker has read it.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// A refresh token by what tells it from every other of its family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenId {
    pub(crate) seq: i64,
    pub(crate) jti: Arc<str>,
}

/// What is done to a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Only its own client uses it, well behaved, until somebody revokes it.
    Honest,
    /// A thief comes with an old token.
    Stolen,
}

/// A family that was begun.
#[derive(Clone, Debug)]
pub(crate) struct FamilyNote {
    pub(crate) sid: String,
    pub(crate) class: Class,
    pub(crate) client_id: String,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// For a family, by name and password.
    SignIn,
    /// For the successor of this token.
    Refresh(TokenId),
    /// The same, by a thief, with a token that no honest client would send any more.
    Steal(TokenId),
    /// What the access token of this id is worth.
    IntrospectAccess(Arc<str>),
    /// What this refresh token is worth.
    IntrospectRefresh(TokenId),
    /// To end the family.
    RevokeFamily,
    /// To end the access token of this id.
    RevokeAccess(Arc<str>),
}

/// What came of it, as far as the caller knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Tokens; this is the refresh token among them.
    Granted(TokenId),
    /// The token lives.
    Active,
    /// The token is worth nothing.
    Inactive,
    /// It is revoked.
    Revoked,
    /// An error as RFC 6749 section 5.2 has it.
    Refused {
        status: u16,
        error: Box<str>,
        reason: Box<str>,
        retry_after: bool,
    },
    /// No answer; whether it was done is unknown.
    Silent(Silence),
    /// An answer that makes no sense.
    Absurd(Box<str>),
}

impl Outcome {
    /// True when the caller has to ask again.
    pub(crate) fn is_later(&self) -> bool {
        match self {
            Self::Silent(_) => true,
            Self::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Nobody took the connection.
    Unreachable,
    /// The connection broke.
    Broken,
    /// The caller lost patience.
    TimedOut,
    /// The caller was made to go away.
    Dropped,
}

/// One request. Instants count from the start of the run.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) family: Option<usize>,
    pub(crate) replica: usize,
    pub(crate) ask: Ask,
    pub(crate) outcome: Outcome,
    pub(crate) start: Duration,
    pub(crate) end: Duration,
    /// The same was asked before.
    pub(crate) retry: bool,
    /// The answer does not reach the client, though the history knows it.
    pub(crate) lost: bool,
}

/// The history of a run while it goes on.
#[derive(Default)]
pub(crate) struct History {
    families: Mutex<Vec<FamilyNote>>,
    events: Mutex<Vec<Event>>,
    faults: Mutex<Vec<String>>,
}

impl History {
    /// Takes up a family and gives its number.
    pub(crate) fn begin(&self, note: FamilyNote) -> usize {
        let mut families = lock(&self.families);
        families.push(note);
        families.len().saturating_sub(1)
    }

    /// Adds a request that has ended.
    pub(crate) fn note(&self, event: Event) {
        lock(&self.events).push(event);
    }

    /// Adds what is wrong and no request shows.
    pub(crate) fn fault(&self, text: String) {
        lock(&self.faults).push(text);
    }

    /// How many requests and families there are so far.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (lock(&self.events).len(), lock(&self.families).len())
    }

    /// Hands everything over.
    pub(crate) fn take(&self) -> Record {
        Record {
            families: std::mem::take(&mut *lock(&self.families)),
            events: std::mem::take(&mut *lock(&self.events)),
            faults: std::mem::take(&mut *lock(&self.faults)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is a list that is appended to.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The history of a run that is over.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) families: Vec<FamilyNote>,
    pub(crate) events: Vec<Event>,
    pub(crate) faults: Vec<String>,
}

impl Record {
    /// Writes one JSON object a line: families, then requests in the order in which they ended.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for (number, family) in self.families.iter().enumerate() {
            let class = match family.class {
                Class::Honest => "honest",
                Class::Stolen => "stolen",
            };
            let line =
                json!({"family": number, "sid": family.sid, "class": class, "client_id": family.client_id});
            writeln!(file, "{line}")?;
        }
        for (number, event) in self.events.iter().enumerate() {
            writeln!(file, "{}", event.line(number))?;
        }
        file.flush()
    }
}

impl Event {
    fn line(&self, number: usize) -> Value {
        let (ask, seq, jti) = match &self.ask {
            Ask::SignIn => ("sign_in", None, None),
            Ask::Refresh(token) => ("refresh", Some(token.seq), Some(&*token.jti)),
            Ask::Steal(token) => ("steal", Some(token.seq), Some(&*token.jti)),
            Ask::IntrospectAccess(jti) => ("introspect_access", None, Some(&**jti)),
            Ask::IntrospectRefresh(token) => ("introspect_refresh", Some(token.seq), Some(&*token.jti)),
            Ask::RevokeFamily => ("revoke_family", None, None),
            Ask::RevokeAccess(jti) => ("revoke_access", None, Some(&**jti)),
        };
        json!({
            "event": number,
            "start": self.start.as_secs_f64(),
            "end": self.end.as_secs_f64(),
            "replica": self.replica,
            "family": self.family,
            "ask": ask,
            "seq": seq,
            "jti": jti,
            "outcome": self.outcome.value(),
            "retry": self.retry,
            "lost": self.lost,
        })
    }
}

impl Outcome {
    fn value(&self) -> Value {
        match self {
            Self::Granted(token) => json!({"granted": token.seq, "jti": &*token.jti}),
            Self::Active => json!("active"),
            Self::Inactive => json!("inactive"),
            Self::Revoked => json!("revoked"),
            Self::Refused {
                status,
                error,
                reason,
                retry_after,
            } => {
                json!({"status": status, "error": &**error, "reason": &**reason, "retry_after": retry_after})
            }
            Self::Silent(silence) => json!({"silent": format!("{silence:?}")}),
            Self::Absurd(why) => json!({"absurd": &**why}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_written_line_by_line() {
        let history = History::default();
        let family = history.begin(FamilyNote {
            sid: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            class: Class::Honest,
            client_id: "web".to_owned(),
        });
        history.note(Event {
            family: Some(family),
            replica: 1,
            ask: Ask::Refresh(TokenId {
                seq: 4,
                jti: "four".into(),
            }),
            outcome: Outcome::Silent(Silence::Dropped),
            start: Duration::from_millis(1_500),
            end: Duration::from_secs(2),
            retry: true,
            lost: true,
        });
        assert_eq!(history.sizes(), (1, 1));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        history.take().write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["class"], "honest");
        assert_eq!(lines[1]["start"], 1.5);
        assert_eq!(lines[1]["seq"], 4);
        assert_eq!(lines[1]["outcome"]["silent"], "Dropped");
        assert_eq!(history.sizes(), (0, 0));
    }

    #[test]
    fn silence_and_503_are_asked_again() {
        let refused = |status| Outcome::Refused {
            status,
            error: "e".into(),
            reason: "r".into(),
            retry_after: true,
        };
        assert!(Outcome::Silent(Silence::TimedOut).is_later());
        assert!(refused(503).is_later());
        assert!(!refused(400).is_later());
        assert!(!Outcome::Inactive.is_later());
    }
}
