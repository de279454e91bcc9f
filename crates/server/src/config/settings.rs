//! The settings in force: for every key the value that won and where it came from, before they get their types.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;
use vouchsafe_protocol::SecretString;

use super::error::{ConfigError, Problem};
use super::schema::{Found, KEYS, Key, Kind};
use super::sources::{Entry, Given, ReadFile, Sources, read_file};
use super::types::{Config, DatabaseConfig};
use super::{check, file, init};

/// A value that won.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    List(Vec<String>),
    Secret(SecretString),
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) origin: String,
}

/// The outcome of one load, good or bad.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    found: BTreeMap<&'static str, Setting>,
    /// Keys that were given wrongly and reported, so that they are not reported again as missing.
    broken: BTreeSet<&'static str>,
    problems: Vec<Problem>,
    /// The file could not be read at all: what is missing may stand in it.
    file_failed: bool,
}

/// One line of `config show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Dotted key.
    pub key: &'static str,
    /// As it would be written in the file; `[redacted]` for a secret, `None` when not set.
    pub value: Option<String>,
    /// `file:line`, `environment NAME`, `flag`, `preset`, `credential PATH`, `default` or `not set`.
    pub origin: String,
}

impl Settings {
    /// Reads every place. Never fails: what is wrong is kept and comes out of [`Settings::config`].
    #[must_use]
    pub fn load(sources: &Sources) -> Self {
        Self::load_with(sources, &read_file)
    }

    /// The same with another way to read files.
    pub(super) fn load_with(sources: &Sources, read: &ReadFile<'_>) -> Self {
        let mut settings = Self::default();
        let (mut given, mut presets) = (BTreeMap::new(), BTreeMap::new());
        let layer = settings.file_entries(sources.file.as_deref(), read);
        settings.merge(layer, &mut given);
        let layer = sources.environment(&mut settings.problems);
        settings.merge(layer, &mut given);
        let layer = sources.flags(&mut settings.problems);
        settings.merge(layer, &mut given);
        let layer = sources.presets(&mut settings.problems);
        settings.merge(layer, &mut presets);
        for key in KEYS {
            let winner = given.remove(key.path);
            let winner = match (winner, &sources.credentials) {
                (None, Some(folder)) if key.kind == Kind::Secret => settings.credential(key, folder, read),
                (winner, _) => winner,
            };
            match winner.or_else(|| presets.remove(key.path)) {
                Some(entry) => settings.settle(entry, read),
                None => settings.settle_default(key),
            }
        }
        settings
    }

    /// The typed configuration.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn config(&self) -> Result<Config, ConfigError> {
        check::config(self)
    }

    /// The database alone, for commands that need no more.
    ///
    /// # Errors
    /// Unknown keys, unreadable files, and a missing or wrong `database.url`.
    pub fn database(&self) -> Result<DatabaseConfig, ConfigError> {
        check::database(self)
    }

    /// What went wrong while reading; [`Settings::config`] finds more.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Every key with its value in force and where that came from; secrets redacted.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        KEYS.iter().map(|key| self.row(key)).collect()
    }

    /// The rows for people: `key = value  # origin`, one a line.
    #[must_use]
    pub fn show(&self) -> String {
        let mut text = String::new();
        for row in self.rows() {
            let line = match row.value {
                Some(value) => format!("{} = {value}", row.key),
                None => format!("# {}", row.key),
            };
            text.push_str(&format!("{line:<60}  # {}\n", row.origin));
        }
        text
    }

    pub(super) fn get(&self, path: &str) -> Option<&Setting> {
        self.found.get(path)
    }

    pub(super) fn is_broken(&self, path: &str) -> bool {
        self.broken.contains(path)
    }

    pub(super) fn file_failed(&self) -> bool {
        self.file_failed
    }

    fn row(&self, key: &'static Key) -> Row {
        let (value, origin) = match self.found.get(key.path) {
            Some(setting) => (Some(written(key.kind, &setting.value)), setting.origin.clone()),
            None => (None, "not set".to_owned()),
        };
        Row {
            key: key.path,
            value,
            origin,
        }
    }

    fn file_entries(&mut self, path: Option<&Path>, read: &ReadFile<'_>) -> Vec<Entry> {
        let Some(path) = path else { return Vec::new() };
        let name = path.display().to_string();
        let entries = match read(path) {
            Ok(text) => file::entries(&name, &text, &mut self.problems),
            Err(error) => {
                self.problems
                    .push(Problem::new(name, format!("cannot read: {error}")));
                None
            }
        };
        self.file_failed = entries.is_none();
        entries.unwrap_or_default()
    }

    /// Lays one place over the ones before; within one place a secret and its twin exclude each other.
    fn merge(&mut self, layer: Vec<Entry>, into: &mut BTreeMap<&'static str, Entry>) {
        let mut seen = BTreeMap::new();
        for entry in layer {
            let path = entry.found.key.path;
            let twin = entry.found.twin;
            if seen.insert(path, twin).is_some_and(|earlier| earlier != twin) {
                let message = format!("`{path}` and `{path}_file` are both given; keep one");
                self.problems.push(Problem::new(entry.place.clone(), message));
            }
            into.insert(path, entry);
        }
    }

    fn credential(&mut self, key: &'static Key, folder: &Path, read: &ReadFile<'_>) -> Option<Entry> {
        let path = folder.join(key.path);
        let place = format!("credential {}", path.display());
        let given = match read(&path) {
            Ok(text) => Some(Given::Text(without_newline(&text).to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                self.problems.push(Problem::new(
                    place.clone(),
                    format!("{}: cannot read: {error}", key.path),
                ));
                None
            }
        };
        Some(Entry {
            found: Found { key, twin: false },
            place,
            given,
        })
    }

    fn settle(&mut self, entry: Entry, read: &ReadFile<'_>) {
        let Entry { found, place, given } = entry;
        let path = found.key.path;
        let (value, origin) = match given {
            Some(Given::List(items)) => (Value::List(items), place),
            Some(Given::Text(name)) if found.twin => match read(Path::new(&name)) {
                Ok(text) => {
                    let secret = SecretString::new(without_newline(&text).to_owned());
                    (Value::Secret(secret), format!("{place}, from {name}"))
                }
                Err(error) => {
                    let message = format!("{}: cannot read {name}: {error}", found.path());
                    self.problems.push(Problem::new(place, message));
                    self.broken.insert(path);
                    return;
                }
            },
            Some(Given::Text(text)) if found.key.kind == Kind::Secret => {
                (Value::Secret(SecretString::new(text)), place)
            }
            Some(Given::Text(text)) => (Value::Text(text), place),
            None => {
                self.broken.insert(path);
                return;
            }
        };
        self.found.insert(path, Setting { value, origin });
    }

    fn settle_default(&mut self, key: &'static Key) {
        let Some(text) = key.default else { return };
        let value = if key.kind == Kind::List {
            Value::List(init::items(text).map(str::to_owned).collect())
        } else {
            Value::Text(text.to_owned())
        };
        self.found.insert(
            key.path,
            Setting {
                value,
                origin: "default".to_owned(),
            },
        );
    }
}

fn written(kind: Kind, value: &Value) -> String {
    match value {
        Value::Secret(_) => "[redacted]".to_owned(),
        Value::List(items) => init::list(items.iter().map(String::as_str)),
        Value::Text(text) => init::scalar(kind, text),
    }
}

/// Drops one newline at the end, as an editor or a shell leaves it.
fn without_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

impl Config {
    /// Reads every place and checks the whole.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Settings::load(sources).config()
    }
}
