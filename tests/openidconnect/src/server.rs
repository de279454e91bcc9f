//! The real binary as `vouchsafe dev`, in a folder of its own that goes with it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use crate::Outcome;

/// How long it may take until its line is there.
const START: Duration = Duration::from_secs(20);

/// Tells the folders of one process apart.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// The line of `dev -o json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Demo {
    /// The issuer, to the letter.
    pub issuer: String,
    /// A client that authenticates with HTTP Basic.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// A person.
    pub username: String,
    /// Their password.
    pub password: String,
    /// Scopes of the resource.
    pub scope: String,
    /// The audience of access tokens.
    pub resource: String,
}

/// A server that ends when this is dropped.
pub struct Server {
    /// What it said of itself.
    pub demo: Demo,
    _process: Process,
}

impl Server {
    /// Starts the binary that `VOUCHSAFE_BIN` names.
    ///
    /// # Errors
    /// There is none, or it says nothing within 20 s; the error has the end of its log.
    pub fn start() -> Outcome<Self> {
        let binary = std::env::var_os("VOUCHSAFE_BIN")
            .ok_or("VOUCHSAFE_BIN must name the built binary; `cargo xtask test` sets it")?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("vouchsafe-openidconnect-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder)?;
        let log = folder.join("log");
        let [public, management] = free_addresses()?;
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VOUCHSAFE_") {
                command.env_remove(name);
            }
        }
        command
            .args(["dev", "-o", "json", "--listen", public.as_str()])
            .args(["--management-listen", management.as_str(), "--data-dir"])
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        let mut process = Process {
            child: command.spawn()?,
            folder,
        };
        let pipe = process.child.stdout.take().ok_or("no output")?;
        let line = first_line(pipe).ok_or_else(|| {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            format!("`vouchsafe dev` printed no line within {START:?}\n{log}")
        })?;
        Ok(Self {
            demo: serde_json::from_str(&line)?,
            _process: process,
        })
    }
}

struct Process {
    child: Child,
    folder: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already, and what is left of the folder disturbs nobody.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Two addresses that are free now, held at once so that they differ.
fn free_addresses() -> Outcome<[String; 2]> {
    let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok([one.local_addr()?.to_string(), other.local_addr()?.to_string()])
}

fn first_line(pipe: impl Read + Send + 'static) -> Option<String> {
    let (sender, line) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        if BufReader::new(pipe).read_line(&mut line).is_ok_and(|length| length > 0) {
            // Nobody waits any more when this comes too late.
            let _ = sender.send(line);
        }
    });
    line.recv_timeout(START).ok()
}
