//! The end of a run, when every replica is up and nobody disturbs it: each honest session answers once more, the ended
//! ones stay ended, and every replica publishes the keys that were used.

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::client::settle;
use crate::clock::unix_now;
use crate::dead;
use crate::requests::Manner;
use crate::rng::Rng;
use crate::world::World;

const STREAM: u64 = 1_000_000;
const AT_ONCE: usize = 16;
/// Ended sessions that are presented once more.
const ENDED: usize = 100;

/// Asks everyone; what is wrong stands in the history.
pub(crate) async fn run(world: &World) {
    let stream_of = |number: usize| STREAM.saturating_add(u64::try_from(number).unwrap_or(0));
    stream::iter(world.registry.live())
        .for_each_concurrent(AT_ONCE, |family| async move {
            let mut rng = Rng::new(world.options.seed, stream_of(family.number));
            let token = family.newest();
            settle(world, &family, &token, Manner::default(), &mut rng).await;
        })
        .await;
    stream::iter(world.registry.ended(ENDED))
        .for_each_concurrent(AT_ONCE, |family| async move {
            let mut rng = Rng::new(world.options.seed, stream_of(family.number));
            for replica in 0..world.fleet.size() {
                dead::present_at(world, &family, replica, &mut rng).await;
            }
        })
        .await;
    for replica in 0..world.fleet.size() {
        check_keys(world, replica).await;
    }
    for alarm in world.fleet.alarms() {
        world.history.fault(alarm);
    }
}

async fn check_keys(world: &World, replica: usize) {
    let fault = |why: &str| world.history.fault(format!("JWKS of replica {replica}: {why}"));
    let url = world.fleet.url(replica, "/.well-known/jwks.json");
    match world.wire.get(&url).await {
        Ok((200, jwks)) => {
            for missing in world.signatures.missing_from(&jwks, &world.issuer, unix_now()) {
                fault(&missing);
            }
        }
        Ok((status, _)) => fault(&format!("status {status}")),
        Err(silence) => fault(&format!("no answer ({silence:?})")),
    }
}
