//! Runs other programs: to the end, line by line, or for their output; and knows where the repository is.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// How long the output of a program that ended may stay silent: something it left behind may hold the pipe open.
const QUIET: Duration = Duration::from_secs(2);

/// The root of the repository: the parent of this package when cargo runs us, else the present folder.
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    package
        .and_then(|path| path.parent().map(Path::to_path_buf))
        .unwrap_or_else(|| PathBuf::from("."))
}

/// The cargo that runs us, at the root of the repository.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Runs a program to its end, its output going where ours goes; says whether it succeeded.
pub(crate) fn run(command: &mut Command) -> Result<bool, String> {
    eprintln!("$ {}", line(command));
    let status = command
        .status()
        .map_err(|error| format!("{}: {error}", line(command)))?;
    Ok(status.success())
}

/// Runs a program and takes its standard output; `None` when it is not there or fails.
pub(crate) fn output(command: &mut Command) -> Option<Vec<u8>> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .ok()?;
    output.status.success().then_some(output.stdout)
}

/// Runs a program, passes its standard output on as it comes, and shows every line to `see`.
pub(crate) fn stream(command: &mut Command, mut see: impl FnMut(&str)) -> Result<bool, String> {
    eprintln!("$ {}", line(command));
    stream_bytes(command, |bytes| {
        // A reader that went away must not stop the tests.
        let _ = std::io::stdout().write_all(bytes);
        see(String::from_utf8_lossy(bytes).trim_end());
    })
}

fn stream_bytes(command: &mut Command, mut see: impl FnMut(&[u8])) -> Result<bool, String> {
    let name = line(command);
    let failed = |error: std::io::Error| format!("{name}: {error}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    let Some(pipe) = child.stdout.take() else {
        return Err(format!("{name}: no output"));
    };
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || forward(pipe, &sender));
    loop {
        match lines.recv_timeout(QUIET) {
            Ok(line) => see(&line),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(status) = child.try_wait().map_err(failed)? {
                    return Ok(status.success());
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return child.wait().map(|status| status.success()).map_err(failed);
            }
        }
    }
}

fn forward(pipe: impl Read, lines: &Sender<Vec<u8>>) {
    let mut pipe = BufReader::new(pipe);
    loop {
        let mut line = Vec::new();
        match pipe.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if lines.send(line).is_err() => return,
            Ok(_) => {}
        }
    }
}

/// The program and its arguments, as one would type them.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned();
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(program)
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Types for root on Debian what installs a package; elsewhere nothing is done. Says whether that was done and succeeded.
pub(crate) fn install(script: &str) -> Result<bool, String> {
    if !is_debian_root() {
        return Ok(false);
    }
    run(Command::new("sh")
        .args(["-c", script])
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

fn is_debian_root() -> bool {
    let is_root = output(Command::new("id").arg("-u")).is_some_and(|id| id.trim_ascii() == b"0");
    is_root && Path::new("/etc/debian_version").exists()
}

/// Builds the server and gives the path of its binary.
pub(crate) fn build_server() -> Result<PathBuf, String> {
    build("vouchsafe", &[])
}

/// Builds the server that can be told to die at a named step, and gives the path where its binary is kept: the usual
/// one takes its place in the target folder.
pub(crate) fn build_failpoint_server() -> Result<PathBuf, String> {
    let built = build("vouchsafe", &["--features", "vouchsafe/failpoint"])?;
    let folder = root().join("target/tools/bin");
    let kept = folder.join("vouchsafe-failpoint");
    let failed = |error: std::io::Error| format!("{}: {error}", kept.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    // A process of an earlier run may still hold the old file, which cannot be written then.
    if kept.exists() {
        fs::remove_file(&kept).map_err(failed)?;
    }
    fs::copy(built, &kept).map_err(failed)?;
    Ok(kept)
}

/// Builds a program and gives its path. Always of the whole workspace, so that libraries are built once, with the
/// features of all.
pub(crate) fn build(name: &str, flags: &[&str]) -> Result<PathBuf, String> {
    let mut command = cargo(&["build", "--workspace", "--bin", name]);
    command.args(flags);
    eprintln!("$ {}", line(&command));
    command.args(["--message-format", "json-render-diagnostics"]);
    let messages = output(&mut command).ok_or_else(|| format!("`{name}` does not build"))?;
    let messages = String::from_utf8_lossy(&messages);
    messages
        .lines()
        .find_map(|message| executable(message, name))
        .ok_or_else(|| format!("cargo named no binary `{name}`"))
}

/// The path of a binary, when the line is cargo's message about it.
fn executable(message: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let target = message.pointer("/target/name")?.as_str()?;
    let path = message.get("executable")?.as_str()?;
    (target == name).then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_among_the_messages() {
        let messages = [
            r#"{"reason":"compiler-artifact","target":{"name":"vouchsafe"},"executable":null}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"other"},"executable":"/t/other"}"#,
            "not json",
            r#"{"reason":"compiler-artifact","target":{"name":"vouchsafe"},"executable":"/t/debug/vouchsafe"}"#,
        ];
        let found = messages
            .iter()
            .find_map(|message| executable(message, "vouchsafe"));
        assert_eq!(found, Some(PathBuf::from("/t/debug/vouchsafe")));
    }

    #[test]
    fn streams_lines_and_the_outcome() {
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; printf two; exit 3"]);
        let done = stream_bytes(&mut command, |line| seen.push(line.to_vec()));
        assert_eq!(done, Ok(false));
        assert_eq!(seen, [b"one\n".to_vec(), b"two".to_vec()]);
    }

    #[test]
    fn a_process_left_behind_does_not_hold_the_stream() {
        let mut pid = String::new();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 2>/dev/null & echo $!"]);
        let done = stream_bytes(&mut command, |line| {
            pid = String::from_utf8_lossy(line).trim().to_owned()
        });
        assert_eq!(done, Ok(true));
        // `kill` succeeds only when the process still lives.
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    }
}
