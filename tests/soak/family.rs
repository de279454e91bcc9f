//! The sessions of a run as their clients know them, and which of them still live.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::rng::Rng;
use crate::tokens::{AccessToken, RefreshToken, Tokens};
use crate::wire::App;

/// Replaced refresh tokens that a client still remembers.
const REMEMBERED: usize = 3;
/// Access tokens that a client still remembers.
const ACCESS_TOKENS: usize = 3;
/// Ended sessions that are asked about until the run ends.
const ENDED: usize = 1_000;

/// A refresh token and when its client got it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) token: RefreshToken,
    /// From the start of the run.
    pub(crate) since: Duration,
}

struct Line {
    newest: Held,
    /// The latest first.
    replaced: VecDeque<Held>,
    /// The latest first.
    access: VecDeque<AccessToken>,
}

/// A session: a refresh-token family and what its client holds of it.
pub(crate) struct Family {
    /// Its number in the history.
    pub(crate) number: usize,
    pub(crate) sid: String,
    pub(crate) app: Arc<App>,
    first: RefreshToken,
    line: Mutex<Line>,
    taken: AtomicBool,
}

impl Family {
    /// A session that was begun at this instant.
    pub(crate) fn new(number: usize, app: Arc<App>, tokens: Tokens, now: Duration) -> Self {
        let newest = Held {
            token: tokens.refresh.clone(),
            since: now,
        };
        Self {
            number,
            sid: tokens.sid,
            app,
            first: tokens.refresh,
            line: Mutex::new(Line {
                newest,
                replaced: VecDeque::new(),
                access: VecDeque::from([tokens.access]),
            }),
            taken: AtomicBool::new(false),
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what an answer brought; two tabs bring the same refresh token.
    pub(crate) fn adopt(&self, tokens: Tokens, now: Duration) {
        let mut line = self.line();
        if tokens.refresh.id.seq > line.newest.token.id.seq {
            let held = Held {
                token: tokens.refresh,
                since: now,
            };
            let before = std::mem::replace(&mut line.newest, held);
            line.replaced.push_front(before);
            line.replaced.truncate(REMEMBERED);
        }
        line.access.push_front(tokens.access);
        line.access.truncate(ACCESS_TOKENS);
    }

    /// The refresh token that the client goes on with.
    pub(crate) fn newest(&self) -> RefreshToken {
        self.line().newest.token.clone()
    }

    /// The refresh token so many before the newest, if it is still remembered; the one before it is number 0.
    pub(crate) fn replaced(&self, back: usize) -> Option<Held> {
        self.line().replaced.get(back).cloned()
    }

    /// The refresh token that it began with.
    pub(crate) fn first(&self) -> RefreshToken {
        self.first.clone()
    }

    /// The access tokens that are still remembered, the latest first.
    pub(crate) fn access(&self) -> Vec<AccessToken> {
        self.line().access.iter().cloned().collect()
    }
}

/// Which sessions live, as far as anybody wanted them to.
#[derive(Default)]
pub(crate) struct Registry {
    live: Mutex<Vec<Arc<Family>>>,
    ended: Mutex<VecDeque<Arc<Family>>>,
}

impl Registry {
    /// Takes up a session of an honest client.
    pub(crate) fn add(&self, family: &Arc<Family>) {
        lock(&self.live).push(Arc::clone(family));
    }

    /// One that lives, any.
    pub(crate) fn any_live(&self, rng: &mut Rng) -> Option<Arc<Family>> {
        rng.pick(&lock(&self.live)).cloned()
    }

    /// One that was to end, any.
    pub(crate) fn any_ended(&self, rng: &mut Rng) -> Option<Arc<Family>> {
        let ended = lock(&self.ended);
        ended.get(rng.below(ended.len())).cloned()
    }

    /// Counts a session as one that is to end; false when it is already.
    pub(crate) fn end(&self, family: &Arc<Family>) -> bool {
        if family.taken.swap(true, Ordering::AcqRel) {
            return false;
        }
        lock(&self.live).retain(|live| live.number != family.number);
        let mut ended = lock(&self.ended);
        ended.push_front(Arc::clone(family));
        ended.truncate(ENDED);
        true
    }

    /// All that live.
    pub(crate) fn live(&self) -> Vec<Arc<Family>> {
        lock(&self.live).clone()
    }

    /// The latest of those that were to end.
    pub(crate) fn ended(&self, most: usize) -> Vec<Arc<Family>> {
        lock(&self.ended).iter().take(most).cloned().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is a list of handles.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::TokenId;
    use crate::wire::Auth;

    fn tokens(seq: i64) -> Tokens {
        let id = TokenId {
            seq,
            jti: format!("r{seq}").into(),
        };
        Tokens {
            sid: "family".to_owned(),
            refresh: RefreshToken { text: "r".into(), id },
            access: AccessToken {
                text: "a".into(),
                jti: format!("a{seq}").into(),
                kid: "k".to_owned(),
                issued: 100,
                expires: 400,
            },
        }
    }

    fn family(number: usize) -> Arc<Family> {
        let app = Arc::new(App {
            id: "native".to_owned(),
            auth: Auth::Public,
        });
        Arc::new(Family::new(number, app, tokens(0), Duration::ZERO))
    }

    #[test]
    fn a_client_goes_on_with_the_newest_token() {
        let family = family(0);
        for seq in [1, 2, 2, 3, 4, 5] {
            family.adopt(tokens(seq), Duration::from_secs(1));
        }
        assert_eq!(family.newest().id.seq, 5);
        assert_eq!(family.replaced(0).unwrap().token.id.seq, 4);
        assert_eq!(family.replaced(1).unwrap().token.id.seq, 3);
        assert!(family.replaced(REMEMBERED).is_none());
        assert_eq!(family.first().id.seq, 0);
        assert_eq!(family.access().len(), ACCESS_TOKENS);
        assert_eq!(&*family.access()[0].jti, "a5");
    }

    #[test]
    fn a_session_ends_once() {
        let (registry, mut rng) = (Registry::default(), Rng::new(1, 1));
        let families = [family(0), family(1)];
        families.iter().for_each(|family| registry.add(family));
        assert!(registry.any_ended(&mut rng).is_none());
        assert!(registry.end(&families[0]));
        assert!(!registry.end(&families[0]));
        assert_eq!(registry.any_live(&mut rng).unwrap().number, 1);
        assert_eq!(registry.any_ended(&mut rng).unwrap().number, 0);
        assert_eq!((registry.live().len(), registry.ended(9).len()), (1, 1));
    }
}
