//! An honest client: it refreshes at whatever replica, loses answers and asks again with the same token, has two tabs,
//! and a tab that comes late. Nothing of that may ever sign it out.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::family::Family;
use crate::history::Class;
use crate::requests::{Manner, Reply};
use crate::rng::Rng;
use crate::tokens::RefreshToken;
use crate::world::World;

/// The first actor of this kind in the numbering of random streams.
const STREAM: u64 = 1_000;

/// A token that was replaced is presented once more only by a client that got it this recently, so that all of its
/// tries stay inside the retry window.
const RECENT: Duration = Duration::from_secs(10);

/// What became of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Alive,
    Ended,
}

/// Signs in, uses the session until somebody ends it, and begins anew, until the run is over.
pub(crate) async fn live(world: Arc<World>, number: usize) {
    let actor = STREAM.saturating_add(u64::try_from(number).unwrap_or(0));
    let mut rng = Rng::new(world.options.seed, actor);
    while !world.is_over() {
        let Some(app) = world.any_app(&mut rng) else {
            return;
        };
        let Some(family) = world.sign_in(Class::Honest, app, &mut rng).await else {
            sleep(rng.millis(200, 1_000)).await;
            continue;
        };
        let family = Arc::new(family);
        world.registry.add(&family);
        while !world.is_over() {
            // Slower than 16 rotations within the longest stop of a server: a request that was given up and is carried
            // out after the stop must find its token among the last ones.
            sleep(rng.millis(100, 900)).await;
            if step(&world, &family, &mut rng).await == Fate::Ended {
                break;
            }
        }
    }
}

async fn step(world: &World, family: &Family, rng: &mut Rng) -> Fate {
    match rng.below(100) {
        0..55 => {
            let token = family.newest();
            settle(world, family, &token, Manner::default(), rng).await
        }
        55..75 => lose_answers(world, family, rng).await,
        75..90 => two_tabs(world, family, rng).await,
        90..95 => late_tab(world, family, 0, rng).await,
        _ => late_tab(world, family, 1, rng).await,
    }
}

/// Presents a token until there is an answer, and goes on with what it brings.
pub(crate) async fn settle(
    world: &World,
    family: &Family,
    token: &RefreshToken,
    manner: Manner,
    rng: &mut Rng,
) -> Fate {
    match world.refresh_until_heard(family, token, manner, rng).await {
        Some(Reply::Granted(tokens)) => {
            family.adopt(*tokens, world.now());
            Fate::Alive
        }
        // The session lives: its newest token is at hand.
        Some(Reply::Refused(reason)) if &*reason == "superseded" => Fate::Alive,
        Some(Reply::Refused(_) | Reply::Later) | None => Fate::Ended,
    }
}

/// The answer gets lost once or twice: the connection drops before it comes, or it is forgotten.
async fn lose_answers(world: &World, family: &Family, rng: &mut Rng) -> Fate {
    let token = family.newest();
    let mut manner = Manner {
        lost: true,
        ..Manner::default()
    };
    for _ in 0..=rng.below(2) {
        manner.cut = rng.chance(60).then(|| rng.millis(0, 12));
        let replica = world.any_replica(rng);
        world.refresh(family, &token, replica, manner).await;
        manner.retry = true;
    }
    let again = Manner {
        retry: true,
        ..Manner::default()
    };
    settle(world, family, &token, again, rng).await
}

/// Two tabs refresh at once; each waits for the other before anybody goes on.
async fn two_tabs(world: &World, family: &Family, rng: &mut Rng) -> Fate {
    let token = family.newest();
    let mut other = rng.fork();
    let (one, two) = tokio::join!(
        settle(world, family, &token, Manner::default(), rng),
        settle(world, family, &token, Manner::default(), &mut other),
    );
    if (one, two) == (Fate::Alive, Fate::Alive) {
        Fate::Alive
    } else {
        Fate::Ended
    }
}

/// A tab that slept presents the token before the newest (0), which brings the newest again, or the one before that
/// (1), which is refused and ends nothing.
async fn late_tab(world: &World, family: &Family, back: usize, rng: &mut Rng) -> Fate {
    let held = family
        .replaced(back)
        .filter(|held| world.now().saturating_sub(held.since) < RECENT);
    let retry = held.is_some();
    let token = held.map_or_else(|| family.newest(), |held| held.token);
    let manner = Manner {
        retry,
        ..Manner::default()
    };
    settle(world, family, &token, manner, rng).await
}
