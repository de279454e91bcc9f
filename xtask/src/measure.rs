//! `cargo xtask measure`: what the README states of the release build: start to ready, idle memory, and how many
//! tokens a second one connection and sixteen get.

#![expect(clippy::disallowed_methods, reason = "a measurement takes the real time")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command;

/// What the project aims at, printed beside what was measured.
const START_AIM: &str = "under 100 ms";
const MEMORY_AIM: &str = "under 30 MiB";
const LOAD: Duration = Duration::from_secs(3);

/// Measures and prints; says whether everything ran.
pub(crate) fn run() -> Result<bool, String> {
    if !command::run(&mut command::cargo(&["build", "--release", "-p", "vouchsafe"]))? {
        return Ok(false);
    }
    let binary = command::root().join("target/release/vouchsafe");
    let dir = std::env::temp_dir().join(format!("vouchsafe-measure-{}", std::process::id()));
    let outcome = measure(&binary, &dir);
    let _ = fs::remove_dir_all(&dir);
    outcome.map(|()| true)
}

fn measure(binary: &Path, dir: &Path) -> Result<(), String> {
    let first = Server::start(binary, dir)?;
    let cold = first.ready_after;
    drop(first);
    let server = Server::start(binary, dir)?;
    thread::sleep(Duration::from_secs(2));
    println!("start to ready, new folder        {:>8} ms", cold.as_millis());
    println!(
        "start to ready, existing database {:>8} ms    aim: {START_AIM}",
        server.ready_after.as_millis()
    );
    println!(
        "memory when idle                  {:>8.1} MiB   aim: {MEMORY_AIM}",
        server.resident_mib()?
    );
    for connections in [1, 16] {
        let rate = load(&server, connections)?;
        println!("client_credentials, {connections:>2} connections {rate:>8.0} a second");
    }
    println!(
        "memory after that                 {:>8.1} MiB",
        server.resident_mib()?
    );
    Ok(())
}

struct Server {
    child: Child,
    said: Value,
    ready_after: Duration,
    port: u16,
}

impl Server {
    fn start(binary: &Path, dir: &Path) -> Result<Self, String> {
        let (port, management) = (free_port()?, free_port()?);
        let begun = Instant::now();
        let mut child = Command::new(binary)
            .args(["dev", "-o", "json", "--data-dir"])
            .arg(dir)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--management-listen", &format!("127.0.0.1:{management}")])
            .env("VOUCHSAFE_LOG__LEVEL", "error")
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let mut line = String::new();
        let pipe = child.stdout.take().ok_or("no output")?;
        BufReader::new(pipe)
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        let ready_after = begun.elapsed();
        let said = serde_json::from_str(&line).map_err(|error| format!("dev said {line:?}: {error}"))?;
        Ok(Self {
            child,
            said,
            ready_after,
            port,
        })
    }

    fn resident_mib(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line
            .and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok())
            .ok_or("no VmRSS")?;
        Ok(kib / 1024.0)
    }

    fn request(&self) -> String {
        let text = |member: &str| self.said.get(member).and_then(Value::as_str).unwrap_or_default();
        let body = "grant_type=client_credentials";
        let pair = base64(format!("{}:{}", text("client_id"), text("client_secret")).as_bytes());
        format!(
            "POST /token HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {pair}\r\nContent-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers a second over some connections, each asking again when it was answered.
fn load(server: &Server, connections: usize) -> Result<f64, String> {
    let request = server.request();
    let until = Instant::now() + LOAD;
    let workers: Vec<_> = (0..connections)
        .map(|_| {
            let (request, port) = (request.clone(), server.port);
            thread::spawn(move || ask_until(&request, port, until))
        })
        .collect();
    let mut answers = 0_u32;
    for worker in workers {
        answers += worker.join().map_err(|_| "a connection failed")??;
    }
    Ok(f64::from(answers) / LOAD.as_secs_f64())
}

fn ask_until(request: &str, port: u16, until: Instant) -> Result<u32, String> {
    let failed = |error: std::io::Error| format!("load: {error}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let mut reader = BufReader::new(stream.try_clone().map_err(failed)?);
    let mut answers = 0;
    while Instant::now() < until {
        stream.write_all(request.as_bytes()).map_err(failed)?;
        read_answer(&mut reader)?;
        answers += 1;
    }
    Ok(answers)
}

fn read_answer(reader: &mut BufReader<TcpStream>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("load: {error}");
    let (mut length, mut line) = (0, String::new());
    reader.read_line(&mut line).map_err(failed)?;
    if !line.starts_with("HTTP/1.1 200") {
        return Err(format!("load: {line}"));
    }
    loop {
        line.clear();
        reader.read_line(&mut line).map_err(failed)?;
        match line
            .trim_end()
            .to_ascii_lowercase()
            .strip_prefix("content-length:")
        {
            Some(value) => length = value.trim().parse().unwrap_or(0),
            None if line.trim_end().is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).map_err(failed)
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener
        .local_addr()
        .map(|address| address.port())
        .map_err(|error| error.to_string())
}

/// RFC 4648 4; this tool depends on no crate that has it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .chain([&0, &0])
            .take(3)
            .fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
        for place in 0..4 {
            let index = (group >> (18 - 6 * place)) & 63;
            let letter = ALPHABET.get(index as usize).copied().unwrap_or(b'=');
            text.push(if place <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}
