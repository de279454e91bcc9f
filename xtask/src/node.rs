//! The tests of `tests/clients`: unmodified client libraries on Node against the built binary.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::command;
use crate::tally::{NodeSummary, Tally};

/// The oldest Node that will do where `package.json` asks for no newer one.
const OLDEST: u32 = 18;

/// What a person types, and what root on Debian gets typed for them.
const INSTALL: &str = "apt-get update && apt-get install -y nodejs npm";

fn folder() -> PathBuf {
    command::root().join("tests/clients")
}

/// The test files to run: all, or those whose name contains the filter; in order.
pub(crate) fn test_files(filter: Option<&str>) -> Vec<String> {
    let entries = std::fs::read_dir(folder()).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| wanted(name, filter))
        .collect();
    names.sort();
    names
}

fn wanted(name: &str, filter: Option<&str>) -> bool {
    name.ends_with(".test.mjs") && filter.is_none_or(|filter| name.contains(filter))
}

/// Makes sure of Node and npm; the error says what to type.
pub(crate) fn ensure() -> Result<(), String> {
    let oldest = oldest_wanted(&std::fs::read_to_string(folder().join("package.json")).unwrap_or_default());
    if is_ready(oldest) {
        return Ok(());
    }
    if command::install(INSTALL)? && is_ready(oldest) {
        return Ok(());
    }
    Err(format!(
        "the client tests need node {oldest} or newer and npm; install them, then run again:\n{INSTALL}"
    ))
}

fn is_ready(oldest: u32) -> bool {
    let version = command::output(Command::new("node").arg("--version"));
    let major = version.and_then(|text| major(&String::from_utf8_lossy(&text)));
    major.is_some_and(|major| major >= oldest)
        && command::output(Command::new("npm").arg("--version")).is_some()
}

/// The first number of `v20.20.2` or `>=20`.
fn major(text: &str) -> Option<u32> {
    let text = text
        .trim()
        .trim_start_matches(|letter: char| !letter.is_ascii_digit());
    text.split(|letter: char| !letter.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn oldest_wanted(package: &str) -> u32 {
    let package: serde_json::Value = serde_json::from_str(package).unwrap_or_default();
    let engine = package
        .pointer("/engines/node")
        .and_then(serde_json::Value::as_str);
    engine.and_then(major).unwrap_or(OLDEST).max(OLDEST)
}

/// Installs the client libraries when the lock file is newer than they are, and runs the files.
pub(crate) fn run(files: &[String], server: &Path) -> Result<Tally, String> {
    let folder = folder();
    if is_stale(&folder) && !command::run(Command::new("npm").arg("ci").current_dir(&folder))? {
        return Err("npm ci failed in tests/clients".to_owned());
    }
    let mut summary = NodeSummary::default();
    let mut node = Command::new("node");
    node.arg("--test")
        .args(files)
        .current_dir(&folder)
        .env("VOUCHSAFE_BIN", server);
    let succeeded = command::stream(&mut node, |line| summary.see(line))?;
    let mut tally = summary.tally();
    tally.settle(succeeded);
    Ok(tally)
}

/// npm writes its own lock file into `node_modules` when it is done.
fn is_stale(folder: &Path) -> bool {
    let changed = |name: &str| -> Option<SystemTime> { folder.join(name).metadata().ok()?.modified().ok() };
    let Some(installed) = changed("node_modules/.package-lock.json") else {
        return true;
    };
    changed("package-lock.json").is_some_and(|locked| locked > installed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major(">=22"), Some(22));
        assert_eq!(major("node"), None);
        assert_eq!(oldest_wanted(r#"{"engines":{"node":">=20"}}"#), 20);
        assert_eq!(oldest_wanted(r#"{"engines":{"node":">=14"}}"#), OLDEST);
        assert_eq!(oldest_wanted(""), OLDEST);
    }

    #[test]
    fn a_filter_picks_files_by_name() {
        assert!(wanted("jose.test.mjs", None));
        assert!(wanted("jose.test.mjs", Some("jos")));
        assert!(!wanted("jose.test.mjs", Some("openid")));
        assert!(!wanted("helper.mjs", None));
    }
}
