//! The soak: real server processes on one database, many clients that refresh in parallel and lose answers, a revoker,
//! thieves, and a killer. Afterwards a checker reads the whole history. The same servers also show what a refresh takes
//! while millions of rows are swept.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the report is printed, and what goes on is told beside it"
)]

mod auditor;
mod checker;
mod client;
mod clock;
mod dead;
mod family;
mod history;
mod killer;
mod options;
mod place;
mod report;
mod requests;
mod revoker;
mod rng;
mod roll_call;
mod servers;
mod signatures;
mod sweep;
mod thief;
mod tokens;
mod wire;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use vouchsafe_tests::Cluster;

use killer::Toll;
use options::{Options, USAGE};
use place::Place;
use report::Figures;
use sweep::Plan;
use world::{Phase, World};

/// What may pass beside the time that was asked for: the preparation, the last answers, the roll call.
const BESIDE: Duration = Duration::from_secs(420);
/// What the last answers may take.
const LAST_ANSWERS: Duration = Duration::from_secs(120);
/// How often it is told what goes on.
const TOLD_EVERY: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    let task = match Task::parse(std::env::args().skip(1)) {
        Ok(task) => task,
        Err(message) => {
            eprintln!("soak: {message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let limit = task.limit();
    match timeout(limit, task.run()).await {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(message)) => {
            eprintln!("soak: {message}");
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("soak: not done after {limit:?}");
            ExitCode::FAILURE
        }
    }
}

/// What is to be done.
enum Task {
    Soak(Options),
    Sweep(Plan),
}

impl Task {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments.peekable();
        if arguments.next_if_eq("sweep").is_some() {
            Plan::parse(arguments).map(Self::Sweep)
        } else {
            Options::parse(arguments).map(Self::Soak)
        }
    }

    fn limit(&self) -> Duration {
        let asked_for = match self {
            Self::Soak(options) => Duration::from_secs(options.seconds),
            Self::Sweep(plan) => plan.limit(),
        };
        asked_for.saturating_add(BESIDE)
    }

    async fn run(self) -> Result<bool, String> {
        match self {
            Self::Soak(options) => Box::pin(run(options)).await,
            Self::Sweep(plan) => Box::pin(sweep::run(plan)).await,
        }
    }
}

/// Runs everything and prints the report; true when nothing was found.
async fn run(options: Options) -> Result<bool, String> {
    let folder = tempfile::Builder::new().prefix("vouchsafe-soak-").tempdir();
    let folder = folder.map_err(|error| format!("no folder: {error}"))?;
    eprintln!(
        "soak: {} s on {}, seed {}",
        options.seconds,
        options.database.as_str(),
        options.seed
    );
    let place = Box::pin(Place::furnish(folder.path(), &options, Cluster::start())).await?;
    let world = Arc::new(World::new(options, place)?);
    let toll = match soak(&world).await {
        Ok(toll) => toll,
        Err(message) => {
            keep(folder);
            return Err(message);
        }
    };
    let record = world.history.take();
    let figures = Figures::of(&record);
    let mut found = checker::check(&record);
    found.extend(figures.idle(&world.options, &toll, &record));
    let signed = (world.signatures.keys(), world.signatures.kept());
    figures.print(&world.options, &toll, signed, &found);
    if found.is_empty() {
        return Ok(true);
    }
    let kept = folder.path().join("history.jsonl");
    record
        .write(&kept)
        .map_err(|error| format!("the history cannot be written: {error}"))?;
    keep(folder);
    Ok(false)
}

/// Leaves configurations, logs and history for whoever looks into it.
fn keep(folder: TempDir) {
    eprintln!("soak: kept {}", folder.keep().display());
}

/// Starts the servers, lets everybody loose on them for the time that was asked for, and ends in order.
async fn soak(world: &Arc<World>) -> Result<Toll, String> {
    world.fleet.start_all(&world.wire).await?;
    let mut actors = JoinSet::new();
    for number in 0..world.options.clients {
        actors.spawn(client::live(Arc::clone(world), number));
    }
    actors.spawn(revoker::run(Arc::clone(world)));
    actors.spawn(auditor::run(Arc::clone(world)));
    actors.spawn(thief::deep(Arc::clone(world)));
    actors.spawn(thief::late(Arc::clone(world)));
    let killer = tokio::spawn(killer::run(Arc::clone(world)));
    let interrupted = pass_time(world).await;
    world.enter(if interrupted {
        Phase::Abandoned
    } else {
        Phase::Calm
    });
    let toll = killer.await;
    let toll = toll.map_err(|error| format!("the killer failed: {error}"))?;
    world.enter(Phase::Closing);
    let ended = async {
        while let Some(ended) = actors.join_next().await {
            if let Err(error) = ended {
                world.history.fault(format!("an actor failed: {error}"));
            }
        }
    };
    if timeout(LAST_ANSWERS, ended).await.is_err() {
        world
            .history
            .fault(format!("not everybody was answered within {LAST_ANSWERS:?}"));
    }
    if !interrupted {
        roll_call::run(world).await;
    }
    Ok(toll)
}

/// Lets the time pass; true when somebody at the terminal has seen enough.
async fn pass_time(world: &World) -> bool {
    let end = world
        .now()
        .saturating_add(Duration::from_secs(world.options.seconds));
    loop {
        let left = end.saturating_sub(world.now());
        if left.is_zero() {
            return false;
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return true,
            () = sleep(left.min(TOLD_EVERY)) => {}
        }
        let (requests, sessions) = world.history.sizes();
        eprintln!(
            "soak: {requests} requests, {sessions} sessions, {} s left",
            left.as_secs()
        );
    }
}
