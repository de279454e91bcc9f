//! The browser of the tests in `tests/browser`: Debian's Chromium, at the one place where it is looked for.

use std::process::Command;

use crate::command;

/// Where Debian's package puts it; the tests start this file.
const CHROMIUM: &str = "/usr/bin/chromium";

/// What a person types, and what root on Debian gets typed for them.
const INSTALL: &str = "apt-get update && apt-get install -y chromium";

/// Makes sure of Chromium; the error says what to type.
pub(crate) fn ensure() -> Result<(), String> {
    if is_ready() {
        return Ok(());
    }
    if command::install(INSTALL)? && is_ready() {
        return Ok(());
    }
    Err(format!(
        "the browser tests need Chromium at {CHROMIUM}; install it, then run again:\n{INSTALL}"
    ))
}

fn is_ready() -> bool {
    command::output(Command::new(CHROMIUM).arg("--version")).is_some()
}
