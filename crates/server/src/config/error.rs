//! What is wrong with a configuration: every problem of one load, none of them showing a secret.

use std::fmt;

/// Everything that is wrong with one configuration; prints one problem a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The problems, in the order in which they were found.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    place: String,
    message: String,
}

impl Problem {
    /// A problem at a place: `file:line`, the name of a variable, a flag, or the key itself.
    pub(super) fn new(place: impl Into<String>, message: impl fmt::Display) -> Self {
        let one_line = |text: &str| text.replace(['\n', '\r'], " ");
        Self {
            place: one_line(&place.into()),
            message: one_line(&message.to_string()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}
