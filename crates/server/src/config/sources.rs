//! Where settings are written: the file, the environment, flags and presets; each becomes a list of entries.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::init::items;
use super::schema::{self, Found, Kind};

/// No configuration file and no secret is longer than this, in bytes.
const LONGEST_FILE: u64 = 1 << 20;

/// Variables with our prefix that are not settings: what the test tool hands to tests, and where a test lets a server die.
const NOT_SETTINGS: [&str; 6] = [
    "VOUCHSAFE_BIN",
    "VOUCHSAFE_FAILPOINT",
    "VOUCHSAFE_FAILPOINT_BIN",
    "VOUCHSAFE_PG_BIN",
    "VOUCHSAFE_TEST_DATABASE",
    "VOUCHSAFE_WRITE_SCHEMAS",
];

/// How a file is read; tests put their own in its place.
pub(super) type ReadFile<'a> = dyn Fn(&Path) -> io::Result<String> + 'a;

/// The places of one load. Later ones win: presets, credentials directory, file, environment, flags.
#[derive(Clone, Default)]
pub struct Sources {
    pub(super) file: Option<PathBuf>,
    pub(super) credentials: Option<PathBuf>,
    environment: Vec<(String, String)>,
    flags: Vec<(String, String)>,
    presets: Vec<(String, String)>,
}

impl Sources {
    /// Takes the file named by `--config`, the environment of the process, and flags as (dotted key, value).
    #[must_use]
    pub fn new(
        file: Option<PathBuf>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: Vec<(String, String)>,
    ) -> Self {
        let mut sources = Self {
            file,
            flags,
            ..Self::default()
        };
        for (name, value) in environment {
            if name == "CREDENTIALS_DIRECTORY" && !value.is_empty() {
                sources.credentials = Some(PathBuf::from(value));
            } else if name.starts_with("VOUCHSAFE_") && !is_foreign(&name, &value) {
                sources.environment.push((name, value));
            }
        }
        sources.environment.sort();
        sources
    }

    /// Adds defaults of a command, as (dotted key, value); every other place wins over them.
    #[must_use]
    pub fn with_presets(mut self, presets: Vec<(String, String)>) -> Self {
        self.presets = presets;
        self
    }

    pub(super) fn environment(&self, problems: &mut Vec<Problem>) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (name, value) in &self.environment {
            match schema::find_variable(name) {
                Some(found) => entries.push(Entry::from_text(found, format!("environment {name}"), value)),
                None => {
                    let path = name
                        .trim_start_matches("VOUCHSAFE_")
                        .replace("__", ".")
                        .to_ascii_lowercase();
                    let nearest = schema::variable(&schema::nearest(&path));
                    let message = format!("unknown variable; the nearest is {nearest}");
                    problems.push(Problem::new(format!("environment {name}"), message));
                }
            }
        }
        entries
    }

    pub(super) fn flags(&self, problems: &mut Vec<Problem>) -> Vec<Entry> {
        from_pairs(&self.flags, "flag", problems)
    }

    pub(super) fn presets(&self, problems: &mut Vec<Problem>) -> Vec<Entry> {
        from_pairs(&self.presets, "preset", problems)
    }
}

fn from_pairs(pairs: &[(String, String)], place: &str, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (path, value) in pairs {
        match schema::find(path) {
            Some(found) => entries.push(Entry::from_text(found, place.to_owned(), value)),
            None => problems.push(unknown(place, path)),
        }
    }
    entries
}

/// The problem of a key that does not exist.
pub(super) fn unknown(place: &str, path: &str) -> Problem {
    let nearest = schema::nearest(path);
    Problem::new(
        place,
        format!(
            "unknown key `{}`; the nearest is `{nearest}`",
            path.escape_debug()
        ),
    )
}

/// What was written for a key.
#[derive(Clone)]
pub(super) enum Given {
    Text(String),
    List(Vec<String>),
}

/// A key, where it was written and what.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) found: Found,
    pub(super) place: String,
    /// `None` when it is known to be wrong and was reported.
    pub(super) given: Option<Given>,
}

impl Entry {
    /// From a place that knows text only.
    fn from_text(found: Found, place: String, text: &str) -> Self {
        let given = if found.kind() == Kind::List {
            Given::List(items(text).map(str::to_owned).collect())
        } else {
            Given::Text(text.to_owned())
        };
        Self {
            found,
            place,
            given: Some(given),
        }
    }
}

/// Kubernetes describes a Service called `vouchsafe` in variables that begin as ours do.
fn is_foreign(name: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    let is_port_part = ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
        let parts = ["", "_PROTO", "_PORT", "_ADDR"];
        name.contains("_PORT_")
            && parts
                .iter()
                .any(|part| name.ends_with(&format!("{protocol}{part}")))
    });
    let is_service = name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT");
    let is_port = name.ends_with("_PORT") && is_address;
    NOT_SETTINGS.contains(&name) || (!name.contains("__") && (is_service || is_port || is_port_part))
}

/// Reads one file, within [`LONGEST_FILE`].
pub(super) fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(LONGEST_FILE + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(io::Error::other("longer than 1 MiB"));
    }
    Ok(text)
}

/// The environment of this process; names and values that are not UTF-8 are taken with replacement characters.
#[must_use]
pub fn process_environment() -> Vec<(String, String)> {
    let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
    std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_others_are_not_settings() {
        let cases = [
            ("VOUCHSAFE_BIN", "/target/debug/vouchsafe", true),
            ("VOUCHSAFE_SERVICE_HOST", "10.0.0.1", true),
            ("VOUCHSAFE_SERVICE_PORT", "80", true),
            ("VOUCHSAFE_SERVICE_PORT_HTTP", "80", true),
            ("VOUCHSAFE_PORT", "tcp://10.0.0.1:80", true),
            ("VOUCHSAFE_PORT_80_TCP", "tcp://10.0.0.1:80", true),
            ("VOUCHSAFE_PORT_80_TCP_PROTO", "tcp", true),
            ("VOUCHSAFE_MANAGEMENT_PORT_9090_TCP_ADDR", "10.0.0.1", true),
            ("VOUCHSAFE_PORT", "8080", false),
            ("VOUCHSAFE_ISSUER", "https://id.example", false),
            ("VOUCHSAFE_SERVER__LISTEN", "tcp://0.0.0.0:80", false),
            ("VOUCHSAFE_ISUER", "https://id.example", false),
        ];
        for (name, value, foreign) in cases {
            assert_eq!(is_foreign(name, value), foreign, "{name}");
        }
    }
}
