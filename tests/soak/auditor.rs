//! A resource server that asks about tokens of sessions at random: the living ones have to be known at every replica,
//! the dead ones at none.

use std::sync::Arc;

use tokio::time::sleep;

use crate::rng::Rng;
use crate::world::World;

const STREAM: u64 = 4;

/// Goes on until the run is over.
pub(crate) async fn run(world: Arc<World>) {
    let mut rng = Rng::new(world.options.seed, STREAM);
    while !world.is_over() {
        sleep(rng.millis(20, 100)).await;
        let family = if rng.chance(75) {
            world.registry.any_live(&mut rng)
        } else {
            world.registry.any_ended(&mut rng)
        };
        let Some(family) = family else {
            continue;
        };
        let tokens = family.access();
        if let Some(token) = rng.pick(&tokens) {
            let replica = world.any_replica(&mut rng);
            world.introspect_access(&family, token, replica).await;
        }
    }
}
