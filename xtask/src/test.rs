//! `cargo xtask test`: every test of every runtime, and one line of sums at the end.

use std::path::Path;

use crate::tally::Tally;
use crate::{command, node};

/// Runs the tests whose name contains `filter`, or all; says whether some ran and all passed.
pub(crate) fn run(filter: Option<&str>) -> bool {
    let files = node::test_files(filter);
    // Asked first, so that an installation happens before the long build; told last, so that it is seen.
    let node = if files.is_empty() { Ok(()) } else { node::ensure() };
    let tally = match command::build_server() {
        Ok(server) => {
            let rust = counted(rust_tests(filter, &server));
            let clients = match node {
                Ok(()) if files.is_empty() => Tally::default(),
                Ok(()) => counted(node::run(&files, &server)),
                Err(message) => counted(Err(message)),
            };
            rust.plus(clients)
        }
        Err(message) => counted(Err(message)),
    };
    if let (Some(filter), 0) = (filter, tally.total()) {
        eprintln!("no test matches `{filter}`");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    tally.failed == 0 && tally.passed > 0
}

/// What cannot even run counts as one failure.
fn counted(outcome: Result<Tally, String>) -> Tally {
    outcome.unwrap_or_else(|message| {
        eprintln!("xtask: {message}");
        Tally { passed: 0, failed: 1 }
    })
}

fn rust_tests(filter: Option<&str>, server: &Path) -> Result<Tally, String> {
    let mut cargo = command::cargo(&["test", "--workspace", "--no-fail-fast"]);
    if let Some(filter) = filter {
        cargo.args(["--", filter]);
    }
    cargo.env("VOUCHSAFE_BIN", server);
    let mut tally = Tally::default();
    let succeeded = command::stream(&mut cargo, |line| tally.see_cargo(line))?;
    tally.settle(succeeded);
    Ok(tally)
}
