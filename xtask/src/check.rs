//! `cargo xtask check`: formatting, lints, licences, banned crates and sources.

use std::process::Command;

use crate::command;

/// Runs every check, also after one failed; says whether all passed.
pub(crate) fn run(deny: bool) -> Result<bool, String> {
    let mut failed = Vec::new();
    if !command::run(&mut command::cargo(&["fmt", "--all", "--check"]))? {
        failed.push("fmt");
    }
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    if !command::run(&mut command::cargo(&clippy))? {
        failed.push("clippy");
    }
    if deny && !command::run(cargo_deny()?.args(["check", "bans", "licenses", "sources"]))? {
        failed.push("deny");
    }
    if failed.is_empty() {
        eprintln!("check: all good");
    } else {
        eprintln!("check: failed: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}

/// The `cargo-deny` on the path or in `target/tools`, where it is installed when it is missing.
fn cargo_deny() -> Result<Command, String> {
    let root = command::root();
    let own = root.join("target/tools/bin/cargo-deny");
    let on_path = command::output(Command::new("cargo-deny").arg("--version")).is_some();
    if !on_path && !own.is_file() {
        let install = ["install", "cargo-deny", "--locked", "--root", "target/tools"];
        if !command::run(&mut command::cargo(&install))? {
            return Err("cargo-deny does not install; `cargo xtask check --no-deny` does without".to_owned());
        }
    }
    let mut deny = if on_path {
        Command::new("cargo-deny")
    } else {
        Command::new(own)
    };
    deny.current_dir(root);
    Ok(deny)
}
