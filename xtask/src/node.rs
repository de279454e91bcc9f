//! The tests that run on Node against the built binary: unmodified client libraries in `tests/clients`, and people at the
//! pages in `tests/browser`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::tally::{NodeSummary, Tally};
use crate::{browser, command};

/// Client libraries alone.
const CLIENTS: &str = "tests/clients";

/// Pages, in a browser.
const BROWSER: &str = "tests/browser";

/// The oldest Node that will do where `package.json` asks for no newer one.
const OLDEST: u32 = 18;

/// What a person types, and what root on Debian gets typed for them.
const INSTALL: &str = "apt-get update && apt-get install -y nodejs npm";

/// A folder of tests with a lock file of its own, and the files of it to run.
pub(crate) struct Suite {
    folder: &'static str,
    files: Vec<String>,
}

/// The suites of which the filter leaves something: all, or files whose name contains it; in order.
pub(crate) fn suites(filter: Option<&str>) -> Vec<Suite> {
    [CLIENTS, BROWSER]
        .into_iter()
        .map(|folder| Suite {
            folder,
            files: test_files(folder, filter),
        })
        .filter(|suite| !suite.files.is_empty())
        .collect()
}

fn test_files(folder: &str, filter: Option<&str>) -> Vec<String> {
    let entries = std::fs::read_dir(command::root().join(folder));
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| wanted(name, filter))
        .collect();
    names.sort();
    names
}

fn wanted(name: &str, filter: Option<&str>) -> bool {
    name.ends_with(".test.mjs") && filter.is_none_or(|filter| name.contains(filter))
}

impl Suite {
    /// Makes sure of Node, of npm, and of the browser where pages are looked at; the error says what to type.
    pub(crate) fn ensure(&self) -> Result<(), String> {
        let package = std::fs::read_to_string(self.path().join("package.json"));
        ensure_node(oldest_wanted(&package.unwrap_or_default()))?;
        if self.folder == BROWSER {
            browser::ensure()?;
        }
        Ok(())
    }

    /// Installs what the tests import when the lock file is newer than that, and runs the files.
    pub(crate) fn run(&self, server: &Path) -> Result<Tally, String> {
        let folder = self.path();
        if is_stale(&folder) && !command::run(Command::new("npm").arg("ci").current_dir(&folder))? {
            return Err(format!("npm ci failed in {}", self.folder));
        }
        let mut summary = NodeSummary::default();
        let mut node = Command::new("node");
        node.arg("--test")
            .args(&self.files)
            .current_dir(&folder)
            .env("VOUCHSAFE_BIN", server);
        let succeeded = command::stream(&mut node, |line| summary.see(line))?;
        let mut tally = summary.tally();
        tally.settle(succeeded);
        Ok(tally)
    }

    fn path(&self) -> PathBuf {
        command::root().join(self.folder)
    }
}

fn ensure_node(oldest: u32) -> Result<(), String> {
    if is_ready(oldest) {
        return Ok(());
    }
    if command::install(INSTALL)? && is_ready(oldest) {
        return Ok(());
    }
    Err(format!(
        "the tests on Node need node {oldest} or newer and npm; install them, then run again:\n{INSTALL}"
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
    fn a_filter_leaves_out_suites_that_have_nothing() {
        let folders =
            |filter| -> Vec<&'static str> { suites(filter).iter().map(|suite| suite.folder).collect() };
        assert_eq!(folders(None), [CLIENTS, BROWSER]);
        assert_eq!(folders(Some("spa")), [BROWSER]);
        assert!(folders(Some("no such file")).is_empty());
    }

    #[test]
    fn a_filter_picks_files_by_name() {
        assert!(wanted("jose.test.mjs", None));
        assert!(wanted("jose.test.mjs", Some("jos")));
        assert!(!wanted("jose.test.mjs", Some("openid")));
        assert!(!wanted("helper.mjs", None));
    }
}
