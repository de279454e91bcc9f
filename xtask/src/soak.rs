//! `cargo xtask soak`: real server processes that are killed under load, and a checker that reads the whole history. Of
//! any length; the tests run a short one on each database. The same program measures the sweep.

use std::path::Path;
use std::process::Command;

use crate::tally::Tally;
use crate::{command, postgres};

const RELEASE: &str = "--release";
/// The word that makes the program measure the sweep.
const SWEEP: &str = "sweep";
const DATABASE: &str = "--database";
const POSTGRES: &str = "postgres";

/// What the tests run: the database and the flags.
const SHORT: [(&str, &[&str]); 2] = [
    (
        POSTGRES,
        &["--seconds", "20", "--clients", "60", "--replicas", "3"],
    ),
    (
        "sqlite",
        &["--seconds", "15", "--clients", "40", "--replicas", "2"],
    ),
];

/// Runs one soak with these flags, on PostgreSQL if they name no database; says whether nothing was found.
pub(crate) fn run(arguments: &[&str]) -> Result<bool, String> {
    let release = arguments.contains(&RELEASE);
    let rest = arguments.iter().copied().filter(|flag| *flag != RELEASE);
    start(release, rest.collect())
}

/// Measures with these flags what refreshes take while the release build sweeps, on PostgreSQL if they name no database;
/// says whether that is little enough.
pub(crate) fn sweep(arguments: &[&str]) -> Result<bool, String> {
    let mut flags = vec![SWEEP];
    flags.extend(arguments);
    start(true, flags)
}

fn start(release: bool, mut flags: Vec<&str>) -> Result<bool, String> {
    if !flags.contains(&DATABASE) {
        flags.extend([DATABASE, POSTGRES]);
    }
    let folder = if flags.contains(&POSTGRES) {
        Some(postgres::ensure()?)
    } else {
        None
    };
    let server = command::build("vouchsafe", profile(release))?;
    soak(release, &flags, &server, folder.as_deref())
}

/// Runs a short soak on each database that is there; each counts as one test.
pub(crate) fn short(server: &Path, folder: Option<&Path>) -> Tally {
    SHORT
        .iter()
        .filter(|(database, _)| *database != POSTGRES || folder.is_some())
        .map(|(database, more)| {
            let mut flags = vec![DATABASE, *database];
            flags.extend(*more);
            outcome(soak(false, &flags, server, folder))
        })
        .fold(Tally::default(), Tally::plus)
}

fn outcome(done: Result<bool, String>) -> Tally {
    match done {
        Ok(true) => Tally { passed: 1, failed: 0 },
        Ok(false) => Tally { passed: 0, failed: 1 },
        Err(message) => {
            eprintln!("xtask: {message}");
            Tally { passed: 0, failed: 1 }
        }
    }
}

fn profile(release: bool) -> &'static [&'static str] {
    if release { &[RELEASE] } else { &[] }
}

/// The soak itself is a program of the tests.
fn soak(release: bool, flags: &[&str], server: &Path, folder: Option<&Path>) -> Result<bool, String> {
    let built = command::build("soak", profile(release))?;
    command::run(&mut program(&built, flags, server, folder))
}

fn program(soak: &Path, flags: &[&str], server: &Path, folder: Option<&Path>) -> Command {
    let mut program = Command::new(soak);
    program.args(flags).env("VOUCHSAFE_BIN", server);
    if let Some(folder) = folder {
        program.env(postgres::FOLDER, folder);
    }
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_short_soak_is_one_test() {
        assert_eq!(outcome(Ok(true)).passed, 1);
        assert_eq!(outcome(Ok(false)).failed, 1);
        assert_eq!(outcome(Err("no cargo".to_owned())).failed, 1);
    }

    #[test]
    fn the_program_is_told_of_the_server_and_of_postgres() {
        let folder = Path::new("/p/bin");
        let soak = program(
            Path::new("/t/soak"),
            &[DATABASE, POSTGRES],
            Path::new("/t/vouchsafe"),
            Some(folder),
        );
        let arguments: Vec<_> = soak.get_args().filter_map(|word| word.to_str()).collect();
        assert_eq!(arguments, ["--database", "postgres"]);
        let told: Vec<_> = soak
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)))
            .collect();
        assert!(told.contains(&("VOUCHSAFE_BIN", "/t/vouchsafe")));
        assert!(told.contains(&("VOUCHSAFE_PG_BIN", "/p/bin")));
    }
}
