//! Who starts and stops the processes of a [`Cluster`](crate::Cluster), and tidies up after a test process that is gone.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A shell between us and PostgreSQL. It takes its orders from a pipe; when the other end is gone, so that nobody is
/// left to give any, it ends what runs and removes the folder. No signal of a terminal reaches it.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
folder=$1
shift
pid=
while read -r order; do
    case $order in
    launch)
        "$@" </dev/null >>"$folder/log" 2>&1 &
        pid=$!
        ;;
    stop)
        if [ -n "$pid" ]; then
            kill -QUIT "$pid"
            wait "$pid"
            pid=
        fi
        : >"$folder/stopped"
        ;;
    esac
done
if [ -n "$pid" ]; then
    kill -CONT "$pid"
    kill -QUIT "$pid"
    wait "$pid"
fi
rm -rf "$folder"
"#;

/// How long a dropped keeper is waited for, in steps of [`STEP`].
const STEPS: u32 = 800;
const STEP: Duration = Duration::from_millis(10);

/// The longest path of a socket, in bytes.
const LONGEST_SOCKET: usize = 107;
/// What a socket's path has after the folder of temporary files.
const SOCKET: &str = "/vs-pg-123456/.s.PGSQL.5432";

/// The account that runs PostgreSQL, which refuses to be run by root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// None when we are not root: then it is our own.
    pub(crate) fn needed() -> Option<Self> {
        if id(&["-u"]) != Some(0) {
            return None;
        }
        ["postgres", "nobody"].into_iter().find_map(|name| {
            Some(Self {
                user: id(&["-u", name])?,
                group: id(&["-g", name])?,
            })
        })
    }

    /// A program run by this account, in a folder.
    pub(crate) fn command(account: Option<Self>, program: &Path, folder: &Path) -> Command {
        let mut command = match account {
            None => Command::new(program),
            Some(account) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={}", account.user))
                    .arg(format!("--regid={}", account.group))
                    .arg("--clear-groups")
                    .arg(program);
                command
            }
        };
        command.current_dir(folder).env("LC_ALL", "C");
        command
    }

    /// Makes a file this account's, to be read by nobody else.
    pub(crate) fn own(account: Option<Self>, file: &Path) {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some(account) = account {
            chown(file, Some(account.user), Some(account.group)).unwrap();
        }
    }
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// A new folder for this account, its path short enough for a socket in it.
pub(crate) fn socket_folder(account: Option<Account>) -> PathBuf {
    let temporary = std::env::temp_dir();
    let suits = is_short(&temporary) && (account.is_none() || is_open(&temporary));
    let base = if suits { temporary } else { PathBuf::from("/tmp") };
    let folder = tempfile::Builder::new()
        .prefix("vs-pg-")
        .tempdir_in(base)
        .unwrap()
        .keep();
    if let Some(account) = account {
        chown(&folder, Some(account.user), Some(account.group)).unwrap();
    }
    folder
}

fn is_short(temporary: &Path) -> bool {
    temporary.as_os_str().len() + SOCKET.len() <= LONGEST_SOCKET
}

/// Whether another account gets through to what is in a folder.
fn is_open(folder: &Path) -> bool {
    folder
        .ancestors()
        .all(|folder| fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0))
}

/// The shell, and our end of its pipe.
pub(crate) struct Keeper {
    shell: Mutex<Child>,
    stopped: PathBuf,
}

impl Keeper {
    /// Starts a keeper of this folder that will run `program` when it is told to.
    pub(crate) fn start(folder: &Path, program: &Command) -> Self {
        let program: Vec<OsString> = std::iter::once(program.get_program())
            .chain(program.get_args())
            .map(OsString::from)
            .collect();
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "keeper"])
            .arg(folder)
            .args(program)
            .current_dir(folder)
            .env("LC_ALL", "C")
            // A group of its own: what is typed at a terminal is for the tests.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            shell: Mutex::new(shell),
            stopped: folder.join("stopped"),
        }
    }

    /// Has the program run in the background.
    pub(crate) fn launch(&self) {
        self.order("launch");
    }

    /// Has the program told to end at once; [`Keeper::has_stopped`] tells when it is gone.
    pub(crate) fn stop(&self) {
        // Left from an earlier stop, or not there.
        let _ = fs::remove_file(&self.stopped);
        self.order("stop");
    }

    /// True once the program that was told to end is gone.
    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped.exists()
    }

    fn order(&self, order: &str) {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = shell.stdin.as_mut().unwrap();
        pipe.write_all(format!("{order}\n").as_bytes()).unwrap();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(shell.stdin.take());
        for _ in 0..STEPS {
            if !matches!(shell.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(STEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for what the shell does.
    fn soon(what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..500 {
            if holds() {
                return;
            }
            std::thread::sleep(STEP);
        }
        panic!("waited in vain for {what}");
    }

    fn is_running(pid: &str) -> bool {
        let status = Command::new("kill")
            .args(["-0", pid])
            .stderr(Stdio::null())
            .status();
        status.unwrap().success()
    }

    /// A keeper of something that says its process id and waits.
    fn keeper(folder: &Path) -> Keeper {
        let mut program = Command::new("sh");
        program.args(["-c", "echo $$; exec sleep 60"]);
        Keeper::start(folder, &program)
    }

    fn pids(folder: &Path) -> Vec<String> {
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_kept_runs_ends_and_runs_again() {
        let folder = tempfile::tempdir().unwrap().keep();
        let keeper = keeper(&folder);
        keeper.launch();
        soon("a start", || pids(&folder).len() == 1);
        keeper.stop();
        // A shell's child ignores the signal; PostgreSQL sets its own handler.
        let first = pids(&folder).remove(0);
        Command::new("kill").args(["-KILL", &first]).status().unwrap();
        soon("an end", || keeper.has_stopped());
        assert!(!is_running(&first));
        keeper.stop();
        soon("nothing to end", || keeper.has_stopped());
        keeper.launch();
        soon("another start", || pids(&folder).len() == 2);
        let second = pids(&folder).remove(1);
        assert!(is_running(&second));
        Command::new("kill").args(["-KILL", &second]).status().unwrap();
        drop(keeper);
        assert!(!folder.exists());
    }

    #[test]
    fn a_socket_has_a_short_path_that_its_account_can_reach() {
        assert!(is_short(Path::new("/tmp")));
        assert!(is_short(Path::new(&"/".repeat(80))));
        assert!(!is_short(Path::new(&"/".repeat(81))));
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!is_open(folder.path()));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(is_open(folder.path()), is_open(&std::env::temp_dir()));
        assert!(!is_open(Path::new("/no such folder")));
    }
}
