//! What a refresh takes while millions of expired rows are swept beside it, against what it takes when there are none.

mod load;
mod plan;
mod seed;
mod table;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use vouchsafe_tests::Cluster;

use crate::clock::unix_now;
use crate::family::Family;
use crate::history::Class;
use crate::place::Place;
use crate::rng::Rng;
use crate::world::World;
use load::{Load, Served};
use seed::Rows;
use table::Measured;

pub(crate) use plan::Plan;

/// The actor that signs in, in the numbering of random streams.
const STREAM: u64 = 2_000_000;
/// Sessions that stay; those that are more than the clients lie there as most sessions do.
const SESSIONS: usize = 48;
/// Left out of every measurement: connections are made, caches are filled.
const WARM_UP: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(10);
const COUNTED_EVERY: Duration = Duration::from_secs(2);
/// What is left to sweep is counted up to here while it is swept.
const COUNTED: u64 = 100_000;

/// Measures and prints; true when the refreshes beside the sweep are quick enough.
///
/// # Errors
/// Why there is nothing to print.
pub(crate) async fn run(plan: Plan) -> Result<bool, String> {
    let folder = tempfile::Builder::new().prefix("vouchsafe-sweep-").tempdir();
    let folder = folder.map_err(|error| format!("no folder: {error}"))?;
    let place = Box::pin(Place::furnish(
        folder.path(),
        &plan.options,
        Cluster::start_durable(),
    ))
    .await?;
    let database = place.database.clone();
    let world = Arc::new(World::new(plan.options.clone(), place)?);
    let rows = Rows::open(&database, plan.options.database).await?;
    world.fleet.start_all(&world.wire).await?;
    let sessions = sign_in(&world).await?;
    eprintln!("sweep: refreshing for {IDLE:?} with nothing to sweep");
    let idle = idle(&world, &sessions).await?;
    stop(&world);
    let now = unix_now();
    rows.seed(plan.rows, now).await?;
    let measured = sweep(&world, &sessions, &rows, now, idle, &plan).await?;
    measured.print(&plan);
    for alarm in world.fleet.alarms() {
        eprintln!("sweep: {alarm}");
    }
    Ok(measured.is_quick_enough())
}

/// Begins the sessions, of client applications that have a secret.
async fn sign_in(world: &World) -> Result<Vec<Arc<Family>>, String> {
    let mut rng = Rng::new(world.options.seed, STREAM);
    let mut sessions = Vec::new();
    while sessions.len() < SESSIONS.max(world.options.clients) {
        let app = world.any_app(&mut rng).ok_or("there is no client")?;
        if app.is_public() {
            continue;
        }
        let begun = world.sign_in(Class::Honest, app, &mut rng).await;
        sessions.push(Arc::new(begun.ok_or("nobody can sign in")?));
    }
    Ok(sessions)
}

async fn idle(world: &Arc<World>, sessions: &[Arc<Family>]) -> Result<Served, String> {
    let load = Load::start(world, sessions);
    sleep(WARM_UP).await;
    load.forget();
    sleep(IDLE).await;
    let mut idle = Served::default();
    idle.take_from(&load);
    load.end().await?;
    Ok(idle)
}

/// Lets the servers sweep under the same load, until the time is over or nothing is left.
async fn sweep(
    world: &Arc<World>,
    sessions: &[Arc<Family>],
    rows: &Rows,
    seeded_at: i64,
    idle: Served,
    plan: &Plan,
) -> Result<Measured, String> {
    let begun = world.now();
    world.fleet.start_all(&world.wire).await?;
    let load = Load::start(world, sessions);
    sleep(WARM_UP).await;
    if rows.expired(seeded_at, COUNTED).await? == 0 {
        return Err("all was swept before the measurement began; --rows wants more".to_owned());
    }
    load.forget();
    let end = world
        .now()
        .saturating_add(Duration::from_secs(plan.options.seconds));
    let mut beside = Served::default();
    let mut memory: Option<u32> = None;
    loop {
        let interrupted = tokio::select! {
            _ = tokio::signal::ctrl_c() => true,
            () = sleep(end.saturating_sub(world.now()).min(COUNTED_EVERY)) => false,
        };
        beside.take_from(&load);
        memory = memory.max(largest(world));
        let left = rows.expired(seeded_at, COUNTED).await?;
        let more = if left == COUNTED { " at least" } else { "" };
        eprintln!("sweep: {left} rows{more} are left");
        if interrupted || left == 0 || world.now() >= end {
            break;
        }
    }
    let took = world.now().saturating_sub(begun);
    load.end().await?;
    stop(world);
    let left = rows.expired(seeded_at, plan.rows).await?;
    let swept = plan.rows.saturating_sub(left);
    Measured::of([idle, beside], swept, took, memory)
}

/// The memory of the replica that has most, in KiB.
fn largest(world: &World) -> Option<u32> {
    (0..world.fleet.size())
        .filter_map(|number| world.fleet.memory(number))
        .max()
}

fn stop(world: &World) {
    for number in 0..world.fleet.size() {
        world.fleet.kill(number);
    }
}
