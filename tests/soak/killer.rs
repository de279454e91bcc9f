//! Kills replicas at random, one or all at once, stops others for a while, and brings each back before it goes on.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::rng::Rng;
use crate::world::{Phase, World};

const STREAM: u64 = 5;
/// The clients get to sign in first.
const FIRST: Duration = Duration::from_secs(2);

/// What the killer did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Toll {
    /// SIGKILL.
    pub(crate) kills: usize,
    /// SIGSTOP, and SIGCONT some time later.
    pub(crate) stops: usize,
    /// The longest that a replica took from its start until it was ready.
    pub(crate) slowest: Duration,
}

/// Goes on until the run is calm; then every replica runs.
pub(crate) async fn run(world: Arc<World>) -> Toll {
    let mut rng = Rng::new(world.options.seed, STREAM);
    let mut toll = Toll::default();
    sleep(FIRST).await;
    while !world.has_come_to(Phase::Calm) {
        raise(&world).await;
        let one = world.any_replica(&mut rng);
        match rng.below(100) {
            0..60 => kill(&world, &[one], &mut rng, &mut toll).await,
            60..70 => {
                let all: Vec<usize> = (0..world.fleet.size()).collect();
                kill(&world, &all, &mut rng, &mut toll).await;
            }
            _ => stop(&world, one, &mut rng, &mut toll).await,
        }
        sleep(rng.millis(300, 1_800)).await;
    }
    raise(&world).await;
    toll
}

/// A server that ended by itself is a finding, and is brought back.
async fn raise(world: &World) {
    for number in 0..world.fleet.size() {
        if let Err(why) = world.fleet.runs(number) {
            world.history.fault(why);
            told(world, world.fleet.start(number));
            told(world, world.fleet.ready(number, &world.wire).await);
        }
    }
}

async fn kill(world: &World, numbers: &[usize], rng: &mut Rng, toll: &mut Toll) {
    for number in numbers {
        world.fleet.kill(*number);
        toll.kills = toll.kills.saturating_add(1);
    }
    sleep(rng.millis(10, 700)).await;
    let begun = world.now();
    for number in numbers {
        told(world, world.fleet.start(*number));
    }
    for number in numbers {
        told(world, world.fleet.ready(*number, &world.wire).await);
        toll.slowest = toll.slowest.max(world.now().saturating_sub(begun));
    }
}

/// Longer than clients wait, so that what they gave up is carried out when they have gone on already.
async fn stop(world: &World, number: usize, rng: &mut Rng, toll: &mut Toll) {
    told(world, world.fleet.signal(number, "STOP"));
    sleep(rng.millis(200, 4_500)).await;
    told(world, world.fleet.signal(number, "CONT"));
    toll.stops = toll.stops.saturating_add(1);
}

/// A server that does not do as it is told is a finding.
fn told(world: &World, done: Result<(), String>) {
    if let Err(why) = done {
        world.history.fault(why);
    }
}
