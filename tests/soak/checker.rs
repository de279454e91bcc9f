//! Reads a whole history and says what in it must not have happened. It knows nothing of the server but its promises.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::history::{Ask, Class, Event, Outcome, Record, TokenId};

/// What every replica but the one that answered may take to learn of an end.
const NOTICE: Duration = Duration::from_secs(1);

/// Something that must not have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The promise that was broken.
    pub(crate) rule: &'static str,
    pub(crate) family: Option<usize>,
    /// The number of the request that shows it.
    pub(crate) event: Option<usize>,
    pub(crate) text: String,
}

/// Finds every violation in a history.
pub(crate) fn check(record: &Record) -> Vec<Violation> {
    let fault = |text: &String| Violation {
        rule: "nothing fails that must not",
        family: None,
        event: None,
        text: text.clone(),
    };
    let mut found: Vec<Violation> = record.faults.iter().map(fault).collect();
    let mut of_family: Vec<Vec<Numbered<'_>>> = vec![Vec::new(); record.families.len()];
    for (number, event) in record.events.iter().enumerate() {
        check_answer(number, event, &mut found);
        if let Some(events) = event.family.and_then(|family| of_family.get_mut(family)) {
            events.push((number, event));
        }
    }
    for (number, (family, events)) in record.families.iter().zip(&of_family).enumerate() {
        let line = Line::new(number, family.class, events);
        line.check_fork(&mut found);
        line.check_order(&mut found);
        line.check_honest(&mut found);
        line.check_alive(&mut found);
        line.check_dead(&mut found);
        line.check_theft(&mut found);
    }
    found
}

type Numbered<'a> = (usize, &'a Event);

/// What any answer must be, whomever it is about.
fn check_answer(number: usize, event: &Event, found: &mut Vec<Violation>) {
    let mut violation = |rule, text: String| {
        found.push(Violation {
            rule,
            family: event.family,
            event: Some(number),
            text,
        });
    };
    match &event.outcome {
        Outcome::Absurd(why) => violation("answers make sense", why.to_string()),
        Outcome::Refused {
            status,
            error,
            reason,
            retry_after,
        } => {
            let kind = *status == 503 && *retry_after && &**error == "temporarily_unavailable";
            if *status >= 500 && !kind {
                violation(
                    "no error but 503 with Retry-After",
                    format!("{status} {error} {reason}"),
                );
            }
            let token = matches!(event.ask, Ask::Refresh(_) | Ask::Steal(_));
            if *status < 500 && !token {
                violation(
                    "a right request is not refused",
                    format!("{status} {error} {reason}"),
                );
            }
        }
        _ => {}
    }
}

/// An answered end: of a family or of one access token.
#[derive(Clone, Copy, Debug)]
struct End {
    at: Duration,
    /// Who answered and has to know at once; none when nobody has to.
    replica: Option<usize>,
}

/// The attempts to end something, and their answers.
#[derive(Clone, Debug, Default)]
struct Ending {
    begun: Option<Duration>,
    ends: Vec<End>,
}

impl Ending {
    fn attempt(&mut self, event: &Event) {
        self.begun = Some(self.begun.map_or(event.start, |begun| begun.min(event.start)));
    }

    /// Whether it may have taken effect by then.
    fn may_hold_at(&self, instant: Duration) -> bool {
        self.begun.is_some_and(|begun| begun <= instant)
    }

    /// From when on nothing may be accepted where the database is asked.
    fn everywhere(&self) -> Option<Duration> {
        self.ends.iter().map(|end| end.at).min()
    }

    /// From when on nothing may be accepted at a replica that answers from its memory.
    fn at(&self, replica: usize) -> Option<Duration> {
        let known = |end: &End| {
            if end.replica == Some(replica) {
                end.at
            } else {
                end.at.saturating_add(NOTICE)
            }
        };
        self.ends.iter().map(known).min()
    }
}

/// The requests of one family, and what they say together.
struct Line<'a> {
    number: usize,
    class: Class,
    events: &'a [Numbered<'a>],
    ending: Ending,
    /// By the id of the access token.
    access: HashMap<&'a str, Ending>,
    /// When a token of each number was first presented.
    presented: BTreeMap<i64, Duration>,
}

/// The refresh token that was presented for its successor.
fn presented(event: &Event) -> Option<&TokenId> {
    match &event.ask {
        Ask::Refresh(token) | Ask::Steal(token) => Some(token),
        _ => None,
    }
}

/// Error and reason of a refusal that is one.
fn refused_as(event: &Event) -> Option<(&str, &str)> {
    match &event.outcome {
        Outcome::Refused {
            status,
            error,
            reason,
            ..
        } if *status < 500 => Some((&**error, &**reason)),
        _ => None,
    }
}

impl<'a> Line<'a> {
    fn new(number: usize, class: Class, events: &'a [Numbered<'a>]) -> Self {
        let mut line = Self {
            number,
            class,
            events,
            ending: Ending::default(),
            access: HashMap::new(),
            presented: BTreeMap::new(),
        };
        for (_, event) in events {
            line.take(event);
        }
        line
    }

    fn take(&mut self, event: &'a Event) {
        if let Some(token) = presented(event) {
            let first = self.presented.entry(token.seq).or_insert(event.start);
            *first = event.start.min(*first);
        }
        let answered = End {
            at: event.end,
            replica: Some(event.replica),
        };
        let reused = refused_as(event) == Some(("invalid_grant", "reused"));
        match &event.ask {
            Ask::RevokeFamily => {
                self.ending.attempt(event);
                if event.outcome == Outcome::Revoked {
                    self.ending.ends.push(answered);
                }
            }
            Ask::RevokeAccess(jti) => {
                let ending = self.access.entry(jti).or_default();
                ending.attempt(event);
                if event.outcome == Outcome::Revoked {
                    ending.ends.push(answered);
                }
            }
            // Told of a reuse by the database, a replica need not have heard of it otherwise.
            Ask::Refresh(_) | Ask::Steal(_) if reused => self.ending.ends.push(End {
                replica: None,
                ..answered
            }),
            _ => {}
        }
    }

    fn violation(&self, rule: &'static str, event: usize, text: String) -> Violation {
        Violation {
            rule,
            family: Some(self.number),
            event: Some(event),
            text,
        }
    }

    /// One line, never a tree: each number has one token, and each answer is one step on from what was presented.
    fn check_fork(&self, found: &mut Vec<Violation>) {
        let mut tokens: HashMap<i64, &str> = HashMap::new();
        for (number, event) in self.events {
            let Outcome::Granted(token) = &event.outcome else {
                continue;
            };
            let known = *tokens.entry(token.seq).or_insert(&token.jti);
            if known != &*token.jti {
                let text = format!("token {} is {known} and {}", token.seq, token.jti);
                found.push(self.violation("no family forks", *number, text));
            }
            let expected = presented(event).map_or(0, |token| token.seq.saturating_add(1));
            if token.seq != expected {
                let text = format!("token {} where {expected} had to come", token.seq);
                found.push(self.violation("a family moves by one", *number, text));
            }
        }
    }

    /// Once the successor of a token was used, and that answered, the token brings nothing any more.
    fn check_order(&self, found: &mut Vec<Violation>) {
        let mut grants: Vec<(&Event, i64, usize)> = self
            .events
            .iter()
            .filter(|(_, event)| matches!(event.outcome, Outcome::Granted(_)))
            .filter_map(|(number, event)| presented(event).map(|token| (*event, token.seq, *number)))
            .collect();
        let mut uses: Vec<(Duration, i64)> = grants.iter().map(|(event, seq, _)| (event.end, *seq)).collect();
        uses.sort_unstable();
        grants.sort_by_key(|(event, ..)| event.start);
        let mut uses = uses.into_iter().peekable();
        let mut newest = i64::MIN;
        for (event, seq, number) in grants {
            while let Some((_, used)) = uses.next_if(|(end, _)| *end < event.start) {
                newest = newest.max(used);
            }
            if newest > seq {
                let text = format!("token {seq} was accepted after token {newest} was used");
                found.push(self.violation("no family forks", number, text));
            }
        }
    }

    /// An honest client is never signed out: the only refusal is of a token that it has replaced itself.
    fn check_honest(&self, found: &mut Vec<Violation>) {
        if self.class != Class::Honest {
            return;
        }
        for (number, event) in self.events {
            let (Some(token), Some(refusal)) = (presented(event), refused_as(event)) else {
                continue;
            };
            let fair = match refusal {
                ("invalid_grant", "superseded") => self.was_overtaken(token.seq, event.end),
                ("invalid_grant", "revoked") => self.ending.may_hold_at(event.end),
                _ => false,
            };
            if !fair {
                let (error, reason) = refusal;
                let text = format!("token {}: {error} {reason}", token.seq);
                found.push(self.violation("no family is lost to an honest client", *number, text));
            }
        }
    }

    /// Whether a later token than this one was presented by then.
    fn was_overtaken(&self, seq: i64, by: Duration) -> bool {
        let mut later = self.presented.range(seq.saturating_add(1)..);
        later.any(|(_, first)| *first <= by)
    }

    /// A token that nobody ended is known everywhere.
    fn check_alive(&self, found: &mut Vec<Violation>) {
        if self.class != Class::Honest {
            return;
        }
        for (number, event) in self.events {
            let (Ask::IntrospectAccess(jti), Outcome::Inactive) = (&event.ask, &event.outcome) else {
                continue;
            };
            let own = self.access.get(&**jti);
            let fair =
                self.ending.may_hold_at(event.end) || own.is_some_and(|ending| ending.may_hold_at(event.end));
            if !fair {
                let text = format!("access token {jti} is inactive at replica {}", event.replica);
                found.push(self.violation("a living token is known everywhere", *number, text));
            }
        }
    }

    /// Nothing of what was ended is accepted any more.
    fn check_dead(&self, found: &mut Vec<Violation>) {
        for (number, event) in self.events {
            let dead_since = match (&event.ask, &event.outcome) {
                (Ask::Refresh(_) | Ask::Steal(_), Outcome::Granted(_))
                | (Ask::IntrospectRefresh(_), Outcome::Active) => self.ending.everywhere(),
                (Ask::IntrospectAccess(jti), Outcome::Active) => {
                    let own = self.access.get(&**jti).and_then(|own| own.at(event.replica));
                    let family = self.ending.at(event.replica);
                    own.into_iter().chain(family).min()
                }
                _ => None,
            };
            if let Some(since) = dead_since.filter(|since| event.start >= *since) {
                let late = event.start.saturating_sub(since);
                let text = format!(
                    "accepted at replica {} {late:?} after it had to be refused",
                    event.replica
                );
                found.push(self.violation("what is revoked is dead", *number, text));
            }
        }
    }

    /// A token outside its window ends the family: the thief gets nothing, and neither does the client afterwards.
    fn check_theft(&self, found: &mut Vec<Violation>) {
        for (number, event) in self.events {
            if !matches!(event.ask, Ask::Steal(_)) {
                continue;
            }
            let text = match (&event.outcome, refused_as(event)) {
                (Outcome::Granted(token), _) => format!("the thief got token {}", token.seq),
                (_, Some((error, reason))) if reason != "reused" => format!("{error} {reason}"),
                _ => continue,
            };
            found.push(self.violation("a theft ends the family", *number, text));
        }
    }
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
