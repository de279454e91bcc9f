//! `vouchsafe config`: check, show, begin.

use clap::Subcommand;
use serde_json::json;

use super::failure::Failure;
use super::globals::Globals;
use super::output::Output;
use crate::config::template;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Say everything that is wrong with the configuration
    Check,
    /// Print every key, its value in force and where that comes from; secrets stay hidden
    Show,
    /// Print a configuration file with every key, its meaning and its default
    Init,
}

pub(super) fn run(verb: &Verb, globals: &Globals, out: &mut Output<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Check => check(globals, out),
        Verb::Show => show(globals, out),
        Verb::Init => out.text(&template()),
    }
}

fn check(globals: &Globals, out: &mut Output<'_>) -> Result<(), Failure> {
    let config = globals.config()?;
    crate::app::check_lifetimes(&config)?;
    let told = json!({ "ok": true, "issuer": config.issuer.as_str() });
    out.show(&told, |_| {
        format!("the configuration of {} is good\n", config.issuer)
    })
}

fn show(globals: &Globals, out: &mut Output<'_>) -> Result<(), Failure> {
    let settings = globals.settings()?;
    out.show(&settings.rows(), |_| settings.show())?;
    if settings.problems().is_empty() {
        return Ok(());
    }
    let wrong = settings.config().err();
    Err(wrong.map_or_else(|| Failure::usage("the configuration has problems"), Failure::from))
}
