//! The replicas: real processes of the server, which are killed, stopped and started again, and never outlive the soak.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::wire::Wire;

/// What a server may take until it is ready, on a machine that is busy.
const READY_LIMIT: Duration = Duration::from_secs(45);
const READY_EVERY: Duration = Duration::from_millis(25);

/// Waits on its standard input, whose other end is ours; when we are gone, so is the process that it names.
const GUARD: &str = r#"read -r line; kill -KILL "$0""#;

/// Events in the log of a server that must not be there, whatever happens to it.
const ALARMS: [&str; 6] = [
    "\"panic\"",
    "_panicked\"",
    "\"state_rollback\"",
    "\"clock_skew\"",
    "\"key_unreadable\"",
    "\"handler_unanswered\"",
];
const ALARMS_TOLD: usize = 5;

/// Sends a signal by its name.
///
/// # Errors
/// Why it was not sent.
pub(crate) fn send_signal(pid: u32, name: &str) -> Result<(), String> {
    let status = Command::new("sh")
        .args(["-c", r#"kill -"$1" "$0""#, pid.to_string().as_str(), name])
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("no {name} reaches process {pid}")),
        Err(error) => Err(format!("sh: {error}")),
    }
}

/// A running server. Dropping it is SIGKILL.
struct Process {
    child: Child,
    guard: Child,
}

impl Process {
    fn serve(binary: &Path, config: &Path, log: &Path) -> Result<Self, String> {
        let log = OpenOptions::new().create(true).append(true).open(log);
        let log = log.map_err(|error| format!("no log: {error}"))?;
        let mut command = Command::new(binary);
        command
            .arg("serve")
            .arg("--config")
            .arg(config)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Self::start(command)
    }

    fn start(mut command: Command) -> Result<Self, String> {
        // Groups of their own: what is typed at a terminal is for the soak.
        let started = command.process_group(0).spawn();
        let mut child = started.map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let guard = Command::new("sh")
            .args(["-c", GUARD, child.id().to_string().as_str()])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match guard {
            Ok(guard) => Ok(Self { child, guard }),
            Err(error) => {
                end(&mut child);
                Err(format!("sh: {error}"))
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guard goes first: once the process is gone, its number may be somebody else's.
        end(&mut self.guard);
        end(&mut self.child);
    }
}

/// Kills a child and waits for its end; nothing is to be done about one that cannot be.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// One server, running or not.
pub(crate) struct Replica {
    config: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    management: SocketAddr,
    process: Mutex<Option<Process>>,
}

impl Replica {
    /// One that is not started yet.
    pub(crate) fn new(config: PathBuf, log: PathBuf, address: SocketAddr, management: SocketAddr) -> Self {
        Self {
            config,
            log,
            address,
            management,
            process: Mutex::new(None),
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        // A process is put there or taken away whole.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> bool {
        let mut process = self.process();
        process
            .as_mut()
            .is_none_or(|process| !matches!(process.child.try_wait(), Ok(None)))
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().next_back().unwrap_or("nothing").to_owned()
    }
}

/// Every replica of a run, by number.
pub(crate) struct Fleet {
    binary: PathBuf,
    replicas: Vec<Replica>,
}

impl Fleet {
    pub(crate) fn new(binary: PathBuf, replicas: Vec<Replica>) -> Self {
        Self { binary, replicas }
    }

    pub(crate) fn size(&self) -> usize {
        self.replicas.len()
    }

    fn replica(&self, number: usize) -> Result<&Replica, String> {
        let replica = self.replicas.get(number);
        replica.ok_or_else(|| format!("there is no replica {number}"))
    }

    /// Where a replica serves this path.
    pub(crate) fn url(&self, number: usize, path: &str) -> String {
        match self.replicas.get(number) {
            Some(replica) => format!("http://{}{path}", replica.address),
            None => path.to_owned(),
        }
    }

    /// Starts a replica that does not run.
    ///
    /// # Errors
    /// Why it does not start.
    pub(crate) fn start(&self, number: usize) -> Result<(), String> {
        let replica = self.replica(number)?;
        let started = Process::serve(&self.binary, &replica.config, &replica.log)?;
        let before = replica.process().replace(started);
        drop(before);
        Ok(())
    }

    /// Says whether a replica that was started still runs.
    ///
    /// # Errors
    /// That it does not, and what it logged last.
    pub(crate) fn runs(&self, number: usize) -> Result<(), String> {
        let replica = self.replica(number)?;
        if replica.has_ended() {
            let words = replica.last_words();
            return Err(format!("replica {number} does not run; its last words: {words}"));
        }
        Ok(())
    }

    /// Waits until a replica says that it is ready.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) async fn ready(&self, number: usize, wire: &Wire) -> Result<(), String> {
        let waited = timeout(READY_LIMIT, self.become_ready(number, wire)).await;
        waited.unwrap_or_else(|_| Err(format!("replica {number} was not ready within {READY_LIMIT:?}")))
    }

    async fn become_ready(&self, number: usize, wire: &Wire) -> Result<(), String> {
        let readyz = format!("http://{}/readyz", self.replica(number)?.management);
        loop {
            if wire.get(&readyz).await.is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            self.runs(number)?;
            sleep(READY_EVERY).await;
        }
    }

    /// Starts every replica, one after the other, and waits for them.
    ///
    /// # Errors
    /// Why one is not ready.
    pub(crate) async fn start_all(&self, wire: &Wire) -> Result<(), String> {
        for number in 0..self.size() {
            self.start(number)?;
        }
        for number in 0..self.size() {
            self.ready(number, wire).await?;
        }
        Ok(())
    }

    /// SIGKILL.
    pub(crate) fn kill(&self, number: usize) {
        let process = self
            .replicas
            .get(number)
            .and_then(|replica| replica.process().take());
        drop(process);
    }

    /// Sends another signal to a replica that runs.
    ///
    /// # Errors
    /// Why it was not sent.
    pub(crate) fn signal(&self, number: usize, name: &str) -> Result<(), String> {
        let process = self.replica(number)?.process();
        let pid = process.as_ref().map(|process| process.child.id());
        drop(process);
        send_signal(pid.ok_or_else(|| format!("replica {number} does not run"))?, name)
    }

    /// The resident memory of a replica that runs, in KiB; none where the system does not tell.
    pub(crate) fn memory(&self, number: usize) -> Option<u32> {
        let pid = self.replicas.get(number)?.process().as_ref()?.child.id();
        resident(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }

    /// The first lines of the logs that tell of what must not happen.
    pub(crate) fn alarms(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (number, replica) in self.replicas.iter().enumerate() {
            let log = fs::read_to_string(&replica.log).unwrap_or_default();
            let lines = log
                .lines()
                .filter(|line| ALARMS.iter().any(|alarm| line.contains(alarm)));
            found.extend(lines.map(|line| format!("replica {number}: {line}")));
        }
        found.truncate(ALARMS_TOLD);
        found
    }
}

/// What the kernel says in `status`, in KiB.
fn resident(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that waits.
    fn sleeper() -> Process {
        let mut sleep = Command::new("sleep");
        sleep.arg("60");
        Process::start(sleep).unwrap()
    }

    #[test]
    fn a_process_ends_with_its_handle_and_with_its_guard() {
        let process = sleeper();
        let pid = process.child.id();
        send_signal(pid, "STOP").unwrap();
        drop(process);
        assert!(send_signal(pid, "0").is_err());
        let mut process = sleeper();
        // As it is when we are gone: nobody holds the other end.
        drop(process.guard.stdin.take());
        assert!(!process.child.wait().unwrap().success());
    }

    #[test]
    fn the_memory_is_what_is_resident() {
        let status = "Name:\tvouchsafe\nVmPeak:\t  99000 kB\nVmRSS:\t   31232 kB\nThreads:\t4\n";
        assert_eq!(resident(status), Some(31_232));
        assert_eq!(resident("Name:\tvouchsafe\n"), None);
    }

    #[test]
    fn the_log_is_searched_for_what_must_not_happen() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::write(&log, "{\"event\":\"ready\"}\n{\"event\":\"handler_panicked\"}\n").unwrap();
        let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let replica = Replica::new(PathBuf::new(), log, nowhere, nowhere);
        assert!(replica.has_ended());
        let fleet = Fleet::new(PathBuf::new(), vec![replica]);
        assert_eq!(fleet.alarms().len(), 1);
        assert!(fleet.alarms()[0].contains("handler_panicked"));
        assert!(fleet.signal(0, "STOP").is_err());
        assert_eq!(fleet.url(0, "/token"), "http://127.0.0.1:1/token");
    }
}
