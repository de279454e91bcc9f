//! The one row of the family in small numbers, and beside it what no database keeps: every token ever made.

use std::iter::successors;
use std::time::Duration;

use vouchsafe_protocol::{ClientId, FamilyId, Jti, Kid, ScopeSet, Subject, Timestamp};
use vouchsafe_store::{Ended, Family, Recent, RevokeReason};

/// The retry window, and at the same time one tick: after one tick a replaced token is in the last second of its
/// window, after two it is outside.
pub(crate) const WINDOW: Duration = Duration::from_secs(30);
/// Ticks from the last rotation to the idle end.
const IDLE: u8 = 3;
/// Ticks from the birth to the absolute end: later than any run comes.
pub(crate) const ABSOLUTE_END: u8 = 9;
const BIRTH: i64 = 1_790_000_000;

const MOST_ROTATIONS: usize = 6;
const MOST_TOKENS: usize = 8;

pub(crate) fn instant(tick: u8) -> Timestamp {
    Timestamp::from_unix(BIRTH).plus(WINDOW * u32::from(tick))
}

pub(crate) fn jti(name: u8) -> Jti {
    Jti::parse(&format!("{name:022}")).unwrap()
}

/// Who presents a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Client {
    /// The client of the family; the thief too, who presents what is bound to no key.
    Own,
    Rival,
}

impl Client {
    pub(crate) fn id(self) -> ClientId {
        let id = match self {
            Self::Own => "app",
            Self::Rival => "rival",
        };
        ClientId::parse(id).unwrap()
    }
}

/// A refresh token: its number in the line and its name, which counts the tokens in the order they were made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Token {
    pub(crate) seq: u8,
    pub(crate) jti: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum End {
    Revoked,
    Reused,
}

/// The columns that a rotation reads or writes; instants are ticks since the birth.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Row {
    pub(crate) seq: u8,
    pub(crate) current: u8,
    pub(crate) previous: Option<u8>,
    /// When each token of the line was replaced, by number: what `rotated_at` and `recent` say.
    replaced_at: [Option<u8>; MOST_ROTATIONS],
    pub(crate) idle_end: u8,
    pub(crate) ended: Option<End>,
}

impl Row {
    fn newborn() -> Self {
        Self {
            seq: 0,
            current: 0,
            previous: None,
            replaced_at: [None; MOST_ROTATIONS],
            idle_end: IDLE,
            ended: None,
        }
    }

    pub(crate) fn head(&self) -> Token {
        Token {
            seq: self.seq,
            jti: self.current,
        }
    }

    pub(crate) fn replaced_at(&self, seq: u8) -> Option<u8> {
        self.replaced_at.get(usize::from(seq)).copied().flatten()
    }

    /// True when exactly the numbers before the live one have an instant.
    pub(crate) fn replaced_all_before_the_head(&self) -> bool {
        let filled = self.replaced_at.iter().map(Option::is_some);
        (0..).zip(filled).all(|(seq, filled)| filled == (seq < self.seq))
    }

    pub(crate) fn is_over(&self, now: u8) -> bool {
        now >= self.idle_end.min(ABSOLUTE_END)
    }

    pub(crate) fn is_alive(&self, now: u8) -> bool {
        self.ended.is_none() && !self.is_over(now)
    }

    /// What the SET clause of the rotation makes of it, when `replaced` is what the writer holds to be the live token.
    pub(crate) fn rotated(mut self, replaced: Token, successor: Token, at: u8) -> Self {
        let place = usize::from(replaced.seq);
        self.replaced_at[place..].fill(None);
        self.replaced_at[place] = Some(at);
        self.seq = successor.seq;
        self.previous = Some(replaced.jti);
        self.current = successor.jti;
        self.idle_end = (at + IDLE).min(ABSOLUTE_END);
        self
    }

    /// The row as the store reads it.
    pub(crate) fn family(&self) -> Family {
        let replaced = self.replaced_at.iter().flatten().map(|tick| instant(*tick));
        let recent = (0..)
            .zip(replaced)
            .fold(Recent::default(), |recent, (seq, at)| recent.after(seq, at));
        let rotated_at = self.seq.checked_sub(1).and_then(|seq| self.replaced_at(seq));
        let reason = |end| match end {
            End::Revoked => RevokeReason::Revoked,
            End::Reused => RevokeReason::Reused,
        };
        Family {
            id: FamilyId::parse(&"f".repeat(22)).unwrap(),
            client_id: Client::Own.id(),
            subject: Subject::parse(&format!("usr_{}", "s".repeat(22))).unwrap(),
            scope: ScopeSet::empty(),
            audience: Vec::new(),
            auth_time: instant(0),
            acr: None,
            amr: Vec::new(),
            refreshable: true,
            seq: i64::from(self.seq),
            current_jti: jti(self.current),
            previous_jti: self.previous.map(jti),
            mac_kid: Kid::parse("k1").unwrap(),
            rotated_at: instant(rotated_at.unwrap_or(0)),
            recent,
            created_at: instant(0),
            idle_expires_at: instant(self.idle_end),
            absolute_expires_at: instant(ABSOLUTE_END),
            ended: self.ended.map(|end| Ended {
                at: instant(0),
                reason: reason(end),
            }),
            session_id: None,
            claims: None,
        }
    }
}

/// How a token came to be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Made {
    seq: u8,
    /// The token that was presented for it; none for the first one, and for one that no commit knows.
    parent: Option<u8>,
}

/// Every token ever made, by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct History([Option<Made>; MOST_TOKENS]);

impl History {
    fn newborn() -> Self {
        let mut made = [None; MOST_TOKENS];
        made[0] = Some(Made { seq: 0, parent: None });
        Self(made)
    }

    /// Makes a token with a name of its own.
    pub(crate) fn add(&mut self, seq: u8, parent: Option<u8>) -> Token {
        let place = self.count();
        self.0[place] = Some(Made { seq, parent });
        Token {
            seq,
            jti: u8::try_from(place).unwrap(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.iter().flatten().count()
    }

    /// Every token, and the one that was presented for it.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Token, Option<u8>)> {
        let made = (0_u8..).zip(self.0.iter().flatten());
        made.map(|(jti, made)| (Token { seq: made.seq, jti }, made.parent))
    }

    /// Every token that a commit made.
    pub(crate) fn committed(&self) -> impl Iterator<Item = Token> {
        self.all()
            .filter(|(token, parent)| token.jti == 0 || parent.is_some())
            .map(|(token, _)| token)
    }

    pub(crate) fn token(&self, jti: u8) -> Token {
        let made = self.0[usize::from(jti)].unwrap();
        Token { seq: made.seq, jti }
    }

    pub(crate) fn parent(&self, jti: u8) -> Option<u8> {
        self.0[usize::from(jti)].and_then(|made| made.parent)
    }

    /// The tokens from the first one to this one, each presented for the next.
    pub(crate) fn line_to(&self, jti: u8) -> Vec<Token> {
        let names = successors(Some(jti), |jti| self.parent(*jti));
        let mut line: Vec<Token> = names.map(|jti| self.token(jti)).collect();
        line.reverse();
        line
    }
}

/// What is durable, and what is known of the tokens besides.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Db {
    pub(crate) row: Row,
    pub(crate) history: History,
}

impl Db {
    pub(crate) fn newborn() -> Self {
        Self {
            row: Row::newborn(),
            history: History::newborn(),
        }
    }
}
