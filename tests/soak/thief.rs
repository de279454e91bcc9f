//! Thieves, who come with a token that its client replaced: so long ago that it is none of the last ones, or just
//! before the newest but outside its window. Either ends the session for everyone.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::client::{Fate, settle};
use crate::dead;
use crate::family::Family;
use crate::history::Class;
use crate::requests::{Manner, Reply};
use crate::rng::Rng;
use crate::tokens::RefreshToken;
use crate::wire::App;
use crate::world::World;

const DEEP_STREAM: u64 = 2;
const LATE_STREAM: u64 = 3;

/// After so many rotations the first token is none of the last 16 that are remembered with their instants.
const BEYOND_RECENT: usize = 17;
/// Longer than the window of a public client and any stall that may lengthen it.
const BEYOND_WINDOW: u64 = 95;

/// Steals first tokens of sessions that went on for long, until the run is over.
pub(crate) async fn deep(world: Arc<World>) {
    let mut rng = Rng::new(world.options.seed, DEEP_STREAM);
    while !world.is_over() {
        let depth = BEYOND_RECENT.saturating_add(rng.below(6));
        let app = world.any_app(&mut rng);
        if let Some(family) = victim(&world, app, depth, &mut rng).await {
            steal(&world, &family, &family.first(), &mut rng).await;
        }
        sleep(rng.millis(300, 2_000)).await;
    }
}

/// Steals the token before the newest and waits until its window is over, where the run is long enough.
pub(crate) async fn late(world: Arc<World>) {
    let mut rng = Rng::new(world.options.seed, LATE_STREAM);
    while !world.is_over() {
        let app = world.public_app();
        let family = victim(&world, app, 2, &mut rng).await;
        for _ in 0..BEYOND_WINDOW {
            sleep(Duration::from_secs(1)).await;
            if world.is_over() {
                return;
            }
        }
        if let Some(family) = family
            && let Some(stolen) = family.replaced(0)
        {
            steal(&world, &family, &stolen.token, &mut rng).await;
        }
    }
}

/// A session that was refreshed so often. None when it does not come to that: refreshed so quickly, it may end by a
/// request of its own that was given up and carried out too late.
async fn victim(world: &World, app: Option<Arc<App>>, depth: usize, rng: &mut Rng) -> Option<Family> {
    let family = world.sign_in(Class::Stolen, app?, rng).await?;
    for _ in 0..depth {
        let token = family.newest();
        let fate = settle(world, &family, &token, Manner::default(), rng).await;
        if fate == Fate::Ended || world.is_over() {
            return None;
        }
    }
    Some(family)
}

async fn steal(world: &World, family: &Family, token: &RefreshToken, rng: &mut Rng) {
    let manner = Manner {
        stolen: true,
        ..Manner::default()
    };
    let heard = world.refresh_until_heard(family, token, manner, rng).await;
    if matches!(heard, Some(Reply::Refused(_))) {
        // Another replica may have been the one that ended it, its answer lost, so nobody has to know at once.
        dead::present(world, family, None, rng).await;
    }
}
