//! What CI and people run. It depends on no crate of ours, so that it starts at once.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is what this tool is for"
)]

mod browser;
mod check;
mod command;
mod measure;
mod node;
mod openapi;
mod postgres;
mod soak;
mod tally;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask COMMAND

  check [--no-deny]   formatting, clippy, licences and banned crates
  test [FILTER]       every test, or those whose name contains FILTER, the flows on SQLite and on PostgreSQL, the
                      files of client and browser tests whose name contains it; the last line is `N passed, M failed`
  soak [FLAGS]        kills servers under load and reads the whole history afterwards; FLAGS: --release,
                      --database sqlite|postgres, --seconds N, --clients N, --replicas N, --seed N
  measure             start to ready, idle memory and token rate of the release build
  measure sweep [FLAGS]
                      refresh p50 and p99 of the release build, idle and while it sweeps expired rows; fails when p99 is
                      more than twice its idle value; FLAGS: --rows N (1000000), --database sqlite|postgres,
                      --seconds N (60), --clients N (8), --replicas N (1), --seed N
  openapi             writes openapi/openapi.json anew from the built server
  help                this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["check"] => check::run(true),
        ["check", "--no-deny"] => check::run(false),
        ["test"] => Ok(test::run(None)),
        ["test", filter] if !filter.starts_with('-') && !filter.is_empty() => Ok(test::run(Some(filter))),
        ["soak", flags @ ..] => soak::run(flags),
        ["measure"] => measure::run(),
        ["measure", "sweep", flags @ ..] => soak::sweep(flags),
        ["openapi"] => openapi::run().map(|()| true),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(true)
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
