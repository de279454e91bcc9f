//! `state.json`: one small file, replaced whole. A crash leaves the old one or the new one; one that cannot be read is
//! never taken for one that is missing.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vouchsafe_issuer::{Beat, HighWater, Mark};
use vouchsafe_protocol::{IssuerUrl, Kid, Timestamp};

const NAME: &str = "state.json";
const UNFINISHED: &str = "state.json.new";
/// The form of the file. A binary that does not know it must not replace it.
const VERSION: u32 = 1;
/// Another process holds the folder for the time of one small write; this is two seconds in all.
const LOCK_TRIES: usize = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateFileError {
    /// It cannot be read or replaced.
    #[error("{} cannot be {verb}: {cause}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It was read, and is no such file.
    #[error("{} is damaged: {cause}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// A later release wrote it.
    #[error("{} has version {found}, which this binary does not know", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It is about another issuer.
    #[error("{} is about {found}; every issuer needs a state.dir of its own", .path.display())]
    OtherIssuer {
        /// The file.
        path: PathBuf,
        /// The issuer that it is about.
        found: String,
    },
}

/// The file of one issuer.
#[derive(Clone, Debug)]
pub(crate) struct StateFile {
    dir: PathBuf,
    issuer: IssuerUrl,
}

#[derive(Deserialize)]
struct Header {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    issuer: String,
    epoch: i64,
    heartbeat: i64,
    revocation: i64,
    change: i64,
    denied_kids: BTreeSet<Kid>,
    spent_kids: BTreeSet<Kid>,
    seen_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beat: Option<KeptBeat>,
}

/// The last beat of whoever keeps the file.
#[derive(Serialize, Deserialize)]
struct KeptBeat {
    epoch: i64,
    n: i64,
    nonce: String,
    at: Timestamp,
}

impl From<KeptBeat> for Beat {
    fn from(KeptBeat { epoch, n, nonce, at }: KeptBeat) -> Self {
        Self { epoch, n, nonce, at }
    }
}

impl From<Beat> for KeptBeat {
    fn from(Beat { epoch, n, nonce, at }: Beat) -> Self {
        Self { epoch, n, nonce, at }
    }
}

/// Takes the folder for this process alone, where its file system knows such a thing.
fn lock(folder: &File) -> io::Result<()> {
    for _ in 0..LOCK_TRIES {
        match folder.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    let why = "another process holds the lock of the folder";
    Err(io::Error::new(ErrorKind::TimedOut, why))
}

impl StateFile {
    pub(crate) fn new(dir: &Path, issuer: &IssuerUrl) -> Self {
        Self {
            dir: dir.to_owned(),
            issuer: issuer.clone(),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// Makes the folder, for this user only, if it is missing.
    pub(crate) fn make_folder(&self) -> Result<(), StateFileError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.map_err(self.failed("written"))
    }

    /// What it says; none when there is no such file.
    pub(crate) fn read(&self) -> Result<Option<HighWater>, StateFileError> {
        let text = match fs::read_to_string(self.path()) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("read")(error)),
        };
        let damaged = |cause| StateFileError::Damaged {
            path: self.path(),
            cause,
        };
        let Header { version } = serde_json::from_str(&text).map_err(damaged)?;
        if version != VERSION {
            return Err(StateFileError::Version {
                path: self.path(),
                found: version,
            });
        }
        let content: Content = serde_json::from_str(&text).map_err(damaged)?;
        // An issuer for trying out is named after its port.
        if content.issuer != self.issuer.as_str() && !self.issuer.is_loopback_http() {
            return Err(StateFileError::OtherIssuer {
                path: self.path(),
                found: content.issuer,
            });
        }
        Ok(Some(HighWater {
            mark: Mark {
                epoch: content.epoch,
                heartbeat: content.heartbeat,
                revocation: content.revocation,
                change: content.change,
            },
            beat: content.beat.map(Beat::from),
            denied: content.denied_kids,
            spent: content.spent_kids,
            seen_at: content.seen_at,
        }))
    }

    /// Adds what is known now to what the file says, on disk before this returns. Processes that share the folder take
    /// turns, and none of them waits longer than two seconds; the file keeps its owner.
    pub(crate) fn write(&self, known: &HighWater) -> Result<(), StateFileError> {
        let folder = File::open(&self.dir).map_err(self.failed("written"))?;
        lock(&folder).map_err(self.failed("written"))?;
        let mut all = self.read()?.unwrap_or_default();
        all.merge(known);
        self.replace(&folder, &self.text_of(all)?)
            .map_err(self.failed("written"))
    }

    fn text_of(&self, known: HighWater) -> Result<String, StateFileError> {
        let content = Content {
            version: VERSION,
            issuer: self.issuer.to_string(),
            epoch: known.mark.epoch,
            heartbeat: known.mark.heartbeat,
            revocation: known.mark.revocation,
            change: known.mark.change,
            denied_kids: known.denied,
            spent_kids: known.spent,
            seen_at: known.seen_at,
            beat: known.beat.map(KeptBeat::from),
        };
        let text = serde_json::to_string_pretty(&content);
        let text = text.map_err(|error| self.failed("written")(error.into()))?;
        Ok(format!("{text}\n"))
    }

    fn replace(&self, folder: &File, text: &str) -> io::Result<()> {
        let unfinished = self.dir.join(UNFINISHED);
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        // A command that somebody else runs must not take the file from the server.
        let owner = match fs::metadata(self.path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => folder.metadata()?,
            found => found?,
        };
        let ours = file.metadata()?;
        if (owner.uid(), owner.gid()) != (ours.uid(), ours.gid()) {
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, self.path())?;
        folder.sync_all()
    }

    fn failed(&self, verb: &'static str) -> impl Fn(io::Error) -> StateFileError + use<> {
        let path = self.path();
        move |cause| StateFileError::Io {
            path: path.clone(),
            verb,
            cause,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A folder that is gone with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("vouchsafe-state-{name}-{}", std::process::id()));
            // Left by a process of the same number that was killed.
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }

        fn file(&self) -> StateFile {
            self.file_of("https://id.example")
        }

        fn file_of(&self, issuer: &str) -> StateFile {
            StateFile::new(&self.0.join("state"), &IssuerUrl::parse(issuer).unwrap())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn known(heartbeat: i64, denied: &[&str]) -> HighWater {
        HighWater {
            mark: Mark {
                epoch: 1,
                heartbeat,
                revocation: 7,
                change: 9,
            },
            beat: None,
            denied: denied.iter().map(|kid| Kid::parse(kid).unwrap()).collect(),
            spent: BTreeSet::new(),
            seen_at: Timestamp::from_unix(heartbeat),
        }
    }

    #[test]
    fn f13_what_was_written_is_read_and_only_grows() {
        let folder = Folder::new("grows");
        let file = folder.file();
        assert_eq!(file.read().unwrap(), None);
        file.make_folder().unwrap();
        file.make_folder().unwrap();
        assert_eq!(file.read().unwrap(), None);
        file.write(&known(100, &["a"])).unwrap();
        assert_eq!(file.read().unwrap(), Some(known(100, &["a"])));
        // Another process that knows less takes nothing away.
        file.write(&known(90, &["b"])).unwrap();
        assert_eq!(file.read().unwrap(), Some(known(100, &["a", "b"])));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file.path()), mode(&file.dir)), (0o600, 0o700));
        let names: Vec<_> = fs::read_dir(&file.dir).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn f10_the_own_beat_is_kept_and_a_file_without_one_is_good() {
        let folder = Folder::new("beat");
        let file = folder.file();
        file.make_folder().unwrap();
        file.write(&known(100, &[])).unwrap();
        assert!(!fs::read_to_string(file.path()).unwrap().contains("beat\": {"));
        assert_eq!(file.read().unwrap().unwrap().beat, None);
        let beat = |epoch, n, nonce: &str| Beat {
            epoch,
            n,
            nonce: nonce.to_owned(),
            at: Timestamp::from_unix(n),
        };
        for (told, kept) in [
            (Some(beat(1, 101, "a")), beat(1, 101, "a")),
            (None, beat(1, 101, "a")),
            (Some(beat(1, 90, "b")), beat(1, 101, "a")),
            (Some(beat(2, 3, "c")), beat(2, 3, "c")),
        ] {
            let known = HighWater {
                beat: told,
                ..known(100, &[])
            };
            file.write(&known).unwrap();
            assert_eq!(file.read().unwrap().unwrap().beat, Some(kept));
        }
    }

    #[test]
    fn a_lock_that_somebody_keeps_is_not_waited_for_without_end() {
        let folder = Folder::new("lock");
        let file = folder.file();
        file.make_folder().unwrap();
        let held = File::open(&file.dir).unwrap();
        held.lock().unwrap();
        let error = file.write(&known(1, &[])).unwrap_err();
        assert!(error.to_string().contains("holds the lock"), "{error}");
        drop(held);
        file.write(&known(1, &[])).unwrap();
    }

    #[test]
    fn an_unfinished_file_of_a_crash_is_no_obstacle() {
        let folder = Folder::new("crash");
        let file = folder.file();
        file.make_folder().unwrap();
        fs::write(file.dir.join(UNFINISHED), "{\"version\":1,").unwrap();
        assert_eq!(file.read().unwrap(), None);
        file.write(&known(1, &[])).unwrap();
        assert_eq!(file.read().unwrap(), Some(known(1, &[])));
    }

    #[test]
    fn f13_a_file_that_cannot_be_read_is_not_missing_and_not_replaced() {
        let folder = Folder::new("damaged");
        let file = folder.file();
        file.make_folder().unwrap();
        file.write(&known(100, &["a"])).unwrap();
        let good = fs::read_to_string(file.path()).unwrap();
        let half = good.get(..good.len() / 2).unwrap();
        let negative = good.replace("\"seen_at\": 100", "\"seen_at\": -1");
        let bad_kid = good.replace("\"a\"", "\"a b\"");
        let later = good.replace("\"version\": 1", "\"version\": 2, \"epochs\": []");
        let cases = [
            ("", "is damaged"),
            (half, "is damaged"),
            (negative.as_str(), "is damaged"),
            (bad_kid.as_str(), "is damaged"),
            (later.as_str(), "has version 2"),
        ];
        for (text, said) in cases {
            fs::write(file.path(), text).unwrap();
            for error in [
                file.read().unwrap_err(),
                file.write(&known(200, &[])).unwrap_err(),
            ] {
                assert!(error.to_string().contains(said), "{text}: {error}");
            }
            assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
        }
        // What a later release adds is no damage.
        fs::write(
            file.path(),
            good.replace("\"version\": 1,", "\"version\": 1, \"note\": [],"),
        )
        .unwrap();
        assert_eq!(file.read().unwrap(), Some(known(100, &["a"])));
    }

    #[test]
    fn a_folder_is_of_one_issuer() {
        let folder = Folder::new("issuer");
        let file = folder.file();
        file.make_folder().unwrap();
        file.write(&known(1, &[])).unwrap();
        let other = folder.file_of("https://other.example").read().unwrap_err();
        assert!(
            other.to_string().contains("is about https://id.example"),
            "{other}"
        );
        let demo = folder.file_of("http://127.0.0.1:8080");
        assert_eq!(demo.read().unwrap(), Some(known(1, &[])));
    }
}
