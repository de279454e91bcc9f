//! Ends sessions and single access tokens while their clients use them, and presents them afterwards.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::dead;
use crate::family::Family;
use crate::history::Outcome;
use crate::rng::Rng;
use crate::world::World;

const STREAM: u64 = 1;
/// Ends under way at once.
const AT_ONCE: usize = 64;
/// Tries of one revocation, at least a fiftieth of a second each.
const TRIES: usize = 1_000;

/// Goes on until the run is over, and then until what it began has ended.
pub(crate) async fn run(world: Arc<World>) {
    let mut rng = Rng::new(world.options.seed, STREAM);
    let mut under_way = JoinSet::new();
    while !world.is_over() {
        sleep(rng.millis(150, 750)).await;
        while let Some(ended) = under_way.try_join_next() {
            note(&world, ended);
        }
        if under_way.len() >= AT_ONCE {
            continue;
        }
        let Some(family) = world.registry.any_live(&mut rng) else {
            continue;
        };
        let (world, own) = (Arc::clone(&world), rng.fork());
        if rng.chance(20) {
            under_way.spawn(end_access_token(world, family, own));
        } else if world.registry.end(&family) {
            under_way.spawn(end_family(world, family, own));
        }
    }
    while let Some(ended) = under_way.join_next().await {
        note(&world, ended);
    }
}

fn note(world: &World, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        world.history.fault(format!("a revoker failed: {error}"));
    }
}

/// Ends a family by its newest token, the one before or its very first; whichever, all of it ends.
async fn end_family(world: Arc<World>, family: Arc<Family>, mut rng: Rng) {
    let token = match rng.below(4) {
        0 => family.first(),
        1 => family
            .replaced(0)
            .map_or_else(|| family.newest(), |held| held.token),
        _ => family.newest(),
    };
    let mut replica = world.any_replica(&mut rng);
    for tried in 0..TRIES {
        let outcome = world.revoke_family(&family, &token, replica, tried > 0).await;
        if outcome == Outcome::Revoked {
            return dead::present(&world, &family, Some(replica), &mut rng).await;
        }
        if !outcome.is_later() || world.is_abandoned() {
            return;
        }
        sleep(rng.millis(20, 200)).await;
        replica = world.other_replica(replica, &mut rng);
    }
    world
        .history
        .fault(format!("the end of family {} was never answered", family.number));
}

async fn end_access_token(world: Arc<World>, family: Arc<Family>, mut rng: Rng) {
    let Some(token) = family.access().into_iter().next() else {
        return;
    };
    let mut replica = world.any_replica(&mut rng);
    for tried in 0..TRIES {
        let outcome = world.revoke_access(&family, &token, replica, tried > 0).await;
        if outcome == Outcome::Revoked {
            return dead::present_access(&world, &family, &token, replica, &mut rng).await;
        }
        if !outcome.is_later() || world.is_abandoned() {
            return;
        }
        sleep(rng.millis(20, 200)).await;
        replica = world.other_replica(replica, &mut rng);
    }
    world.history.fault(format!(
        "the end of access token {} was never answered",
        token.jti
    ));
}
