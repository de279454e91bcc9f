//! `cargo xtask test`: every test of every runtime, the flows on every database, and one line of sums at the end.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::node::Suite;
use crate::tally::Tally;
use crate::{command, node, postgres, soak};

/// What the tests are told to work on, and what of them runs so: tests that choose their database themselves stand in a
/// module of its name, and run once. Always the whole workspace is asked, so that the second run finds everything built.
const RUNS: [(&str, &[&str]); 2] = [
    (
        "sqlite",
        &[
            "test",
            "--workspace",
            "--no-fail-fast",
            "--",
            "--skip",
            "on_postgres::",
        ],
    ),
    (
        "postgres",
        &[
            "test",
            "--workspace",
            "--test",
            "flows",
            "--no-fail-fast",
            "--",
            "--skip",
            "on_sqlite::",
        ],
    ),
];

/// What tests start: the servers, and PostgreSQL where there is one.
struct Programs {
    server: PathBuf,
    failpoint_server: PathBuf,
    postgres: Option<PathBuf>,
}

/// A workspace of its own: the crate that it tries brings what nothing of ours needs.
const OPENIDCONNECT: &str = "tests/openidconnect/Cargo.toml";

/// Runs the tests whose name contains `filter`, or all; says whether some ran and all passed.
pub(crate) fn run(filter: Option<&str>) -> bool {
    // Asked first, so that an installation happens before the long build; told last, so that it is seen.
    let suites: Vec<(Suite, Result<(), String>)> = node::suites(filter)
        .into_iter()
        .map(|suite| {
            let ready = suite.ensure();
            (suite, ready)
        })
        .collect();
    let postgres = postgres::ensure();
    let tally = match build(postgres.as_deref().ok()) {
        Ok(programs) => {
            let rust = rust_tests(filter, &programs).plus(openidconnect(filter, &programs));
            let node = node_tests(suites, &programs);
            let missing = postgres.map_or_else(|message| counted(Err(message)), |_| Tally::default());
            rust.plus(node).plus(soaks(filter, &programs)).plus(missing)
        }
        Err(message) => counted(Err(message)),
    };
    if let (Some(filter), 0) = (filter, tally.total()) {
        eprintln!("no test matches `{filter}`");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    tally.failed == 0 && tally.passed > 0
}

/// A suite that lacks something is one failure, and does not keep the others from running.
fn node_tests(suites: Vec<(Suite, Result<(), String>)>, programs: &Programs) -> Tally {
    suites
        .into_iter()
        .map(|(suite, ready)| counted(ready.and_then(|()| suite.run(&programs.server))))
        .fold(Tally::default(), Tally::plus)
}

/// The crate `openidconnect` against the server, with everything else or by its name.
fn openidconnect(filter: Option<&str>, programs: &Programs) -> Tally {
    if filter.is_none_or(|filter| filter.contains("openidconnect")) {
        counted(run_cargo(&mut openidconnect_cargo(programs)))
    } else {
        Tally::default()
    }
}

/// Its target folder is its own: the other one would be built anew after it.
fn openidconnect_cargo(programs: &Programs) -> Command {
    let mut cargo = command::cargo(&["test", "--manifest-path", OPENIDCONNECT]);
    cargo
        .env("CARGO_TARGET_DIR", command::root().join("target/openidconnect"))
        .env("VOUCHSAFE_BIN", &programs.server);
    cargo
}

/// The short soaks, with everything else or by their name.
fn soaks(filter: Option<&str>, programs: &Programs) -> Tally {
    if filter.is_none_or(|filter| filter == "soak") {
        soak::short(&programs.server, programs.postgres.as_deref())
    } else {
        Tally::default()
    }
}

/// What cannot even run counts as one failure.
fn counted(outcome: Result<Tally, String>) -> Tally {
    outcome.unwrap_or_else(|message| {
        eprintln!("xtask: {message}");
        Tally { passed: 0, failed: 1 }
    })
}

/// The usual server comes last: it is the one that stays in the target folder.
fn build(postgres: Option<&Path>) -> Result<Programs, String> {
    Ok(Programs {
        failpoint_server: command::build_failpoint_server()?,
        server: command::build_server()?,
        postgres: postgres.map(Path::to_path_buf),
    })
}

/// One run on each database that is there.
fn rust_tests(filter: Option<&str>, programs: &Programs) -> Tally {
    RUNS.iter()
        .filter(|(database, _)| *database != "postgres" || programs.postgres.is_some())
        .map(|(database, arguments)| {
            eprintln!("xtask: tests on {database}");
            let tally = counted(run_cargo(&mut cargo(database, arguments, filter, programs)));
            eprintln!(
                "xtask: tests on {database}: {} passed, {} failed",
                tally.passed, tally.failed
            );
            tally
        })
        .fold(Tally::default(), Tally::plus)
}

fn cargo(database: &str, arguments: &[&str], filter: Option<&str>, programs: &Programs) -> Command {
    let mut cargo = command::cargo(arguments);
    cargo
        .args(filter)
        .env("VOUCHSAFE_TEST_DATABASE", database)
        .env("VOUCHSAFE_BIN", &programs.server)
        .env("VOUCHSAFE_FAILPOINT_BIN", &programs.failpoint_server);
    if let Some(postgres) = &programs.postgres {
        cargo.env(postgres::FOLDER, postgres);
    }
    cargo
}

fn run_cargo(cargo: &mut Command) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let succeeded = command::stream(cargo, |line| tally.see_cargo(line))?;
    tally.settle(succeeded);
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn programs() -> Programs {
        Programs {
            server: PathBuf::from("/t/vouchsafe"),
            failpoint_server: PathBuf::from("/t/vouchsafe-failpoint"),
            postgres: Some(PathBuf::from("/p/bin")),
        }
    }

    #[test]
    fn the_crate_openidconnect_is_built_apart_and_knows_the_server() {
        let cargo = openidconnect_cargo(&programs());
        let words: Vec<_> = cargo.get_args().filter_map(OsStr::to_str).collect();
        assert_eq!(words, ["test", "--manifest-path", OPENIDCONNECT]);
        let told: Vec<(&str, &str)> = cargo
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)))
            .collect();
        assert!(told.contains(&("VOUCHSAFE_BIN", "/t/vouchsafe")));
        let target = told.iter().find(|(name, _)| *name == "CARGO_TARGET_DIR");
        assert!(target.is_some_and(|(_, folder)| folder.ends_with("target/openidconnect")));
        assert!(command::root().join(OPENIDCONNECT).is_file());
    }

    #[test]
    fn a_run_knows_its_database_and_the_programs() {
        let [_, (database, arguments)] = RUNS;
        let cargo = cargo(database, arguments, None, &programs());
        let told = |name: &str| {
            let mut told = cargo.get_envs().filter(|(key, _)| *key == OsStr::new(name));
            told.next().and_then(|(_, value)| value).and_then(OsStr::to_str)
        };
        assert_eq!(told("VOUCHSAFE_TEST_DATABASE"), Some("postgres"));
        assert_eq!(told("VOUCHSAFE_BIN"), Some("/t/vouchsafe"));
        assert_eq!(told("VOUCHSAFE_FAILPOINT_BIN"), Some("/t/vouchsafe-failpoint"));
        assert_eq!(told("VOUCHSAFE_PG_BIN"), Some("/p/bin"));
    }

    #[test]
    fn a_run_skips_what_is_for_the_other_one_with_a_filter_and_without() {
        let words = |(database, arguments): (&str, &[&str]), filter| {
            let cargo = cargo(database, arguments, filter, &programs());
            let words: Vec<String> = cargo
                .get_args()
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            words.join(" ")
        };
        let [sqlite, postgres] = RUNS;
        let on_sqlite = "test --workspace --no-fail-fast -- --skip on_postgres::";
        assert_eq!(words(sqlite, None), on_sqlite);
        assert_eq!(words(sqlite, Some("r3_")), format!("{on_sqlite} r3_"));
        let on_postgres = "test --workspace --test flows --no-fail-fast -- --skip on_sqlite::";
        assert_eq!(words(postgres, None), on_postgres);
        assert_eq!(words(postgres, Some("r3_")), format!("{on_postgres} r3_"));
    }
}
