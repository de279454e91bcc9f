//! Turns settings into typed values one by one, collecting what is wrong instead of stopping at it. No message
//! repeats a value, so none can show a secret.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use vouchsafe_protocol::SecretString;

use super::duration;
use super::error::Problem;
use super::schema;
use super::settings::{Settings, Value};

/// Reads settings; every method answers `None` after it noted a problem.
pub(super) struct Reader<'a> {
    settings: &'a Settings,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            problems: Vec::new(),
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Notes a problem of a key at the place where its value was written.
    pub(super) fn problem(&mut self, path: &str, message: impl Display) {
        let problem = match self.settings.get(path) {
            Some(setting) => Problem::new(setting.origin.clone(), format!("{path}: {message}")),
            None => Problem::new(path, message),
        };
        self.problems.push(problem);
    }

    /// A text that must be there and must say something.
    pub(super) fn text(&mut self, path: &str) -> Option<&'a str> {
        let text = match self.value(path)? {
            Value::Text(text) => text.as_str(),
            Value::List(_) | Value::Secret(_) => "",
        };
        self.not_empty(path, text)
    }

    /// A text that `parse` must accept.
    pub(super) fn parsed<T>(
        &mut self,
        path: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = parse(self.text(path)?);
        if parsed.is_none() {
            self.problem(path, format!("want {wanted}"));
        }
        parsed
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, path: &str, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.parsed(path, &format!("one of: {}", words.join(", ")), |text| {
            choices
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, choice)| *choice)
        })
    }

    /// A whole number within bounds.
    pub(super) fn integer(&mut self, path: &str, bounds: RangeInclusive<u32>) -> Option<u32> {
        let wanted = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        self.parsed(path, &wanted, |text| {
            text.parse().ok().filter(|number| bounds.contains(number))
        })
    }

    /// A duration of a second or more.
    pub(super) fn lifetime(&mut self, path: &str) -> Option<Duration> {
        let duration = self.parsed(path, schema::Kind::Duration.wanted(), duration::parse)?;
        if duration.is_zero() {
            self.problem(path, "must be longer than 0s");
            return None;
        }
        Some(duration)
    }

    /// A duration from nothing to `most`.
    pub(super) fn window(&mut self, path: &str, most: Duration) -> Option<Duration> {
        let duration = self.parsed(path, schema::Kind::Duration.wanted(), duration::parse)?;
        if duration > most {
            self.problem(path, format!("want 0s to {}", duration::show(most)));
            return None;
        }
        Some(duration)
    }

    /// A path that may be missing. `None` also after a problem, which then was noted.
    pub(super) fn path(&mut self, path: &str) -> Option<PathBuf> {
        self.settings.get(path)?;
        self.text(path).map(PathBuf::from)
    }

    /// A list, which may be empty.
    pub(super) fn list(&mut self, path: &str) -> Option<&'a [String]> {
        match self.value(path)? {
            Value::List(items) => Some(items),
            Value::Text(_) | Value::Secret(_) => self.missing(path),
        }
    }

    /// A secret that must be there and must say something.
    pub(super) fn secret(&mut self, path: &str) -> Option<&'a SecretString> {
        let Value::Secret(secret) = self.value(path)? else {
            return self.missing(path);
        };
        self.not_empty(path, secret.expose())?;
        Some(secret)
    }

    fn not_empty<'t>(&mut self, path: &str, text: &'t str) -> Option<&'t str> {
        if text.trim().is_empty() {
            self.problem(path, "is empty");
            return None;
        }
        Some(text)
    }

    fn value(&mut self, path: &str) -> Option<&'a Value> {
        match self.settings.get(path) {
            Some(setting) => Some(&setting.value),
            None if self.settings.is_broken(path) => None,
            None => self.missing(path),
        }
    }

    fn missing<T>(&mut self, path: &str) -> Option<T> {
        let variable = schema::variable(path);
        let twin = schema::find(path).and_then(|found| found.key.twin());
        let message = match twin {
            Some(twin) => format!(
                "required, but not set; set `{path}` or `{twin}` in the file, {variable} or {variable}_FILE, or \
                 provide the credential {path}"
            ),
            None => format!("required, but not set; set it in the file or in {variable}"),
        };
        self.problems.push(Problem::new(path, message));
        None
    }
}
