//! `cargo xtask openapi`: writes the description that the built server gives of itself.

use std::process::Command;

use crate::command;

/// Writes `openapi/openapi.json` as the hidden subcommand `openapi` prints it.
pub(crate) fn run() -> Result<(), String> {
    let server = command::build_server()?;
    let printed = command::output(Command::new(server).arg("openapi")).ok_or("`vouchsafe openapi` failed")?;
    let _: serde_json::Value = serde_json::from_slice(&printed)
        .map_err(|error| format!("`vouchsafe openapi` is no JSON: {error}"))?;
    let path = command::root().join("openapi/openapi.json");
    std::fs::write(&path, printed).map_err(|error| format!("{}: {error}", path.display()))?;
    eprintln!("wrote openapi/openapi.json");
    Ok(())
}
