//! Why a command did not do what it was asked: one text for people and programs, and the exit status.

use std::error::Error;
use std::io;

use vouchsafe_issuer::{AdminError, Error as IssuerError, StoreError};

use crate::app::StartError;
use crate::config::ConfigError;
use vouchsafe_protocol::Chain;

/// The exit statuses other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    Unreachable = 5,
}

/// A command that was not carried out.
#[derive(Debug)]
pub(super) struct Failure {
    status: Status,
    problems: Vec<String>,
    hint: Option<&'static str>,
}

impl Failure {
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self::new(Status::Failed, text.into())
    }

    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::new(Status::Usage, text.into())
    }

    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self::new(Status::NotFound, text.into())
    }

    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self::new(Status::Refused, text.into())
    }

    pub(super) fn unreachable(text: impl Into<String>) -> Self {
        Self::new(Status::Unreachable, text.into())
    }

    /// Adds what to try.
    pub(super) fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// The exit status.
    pub(super) fn status(&self) -> u8 {
        self.status as u8
    }

    /// What is wrong, each in one line.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What to try.
    pub(super) fn hint(&self) -> Option<&'static str> {
        self.hint
    }

    fn new(status: Status, text: String) -> Self {
        Self {
            status,
            problems: vec![one_line(&text)],
            hint: None,
        }
    }
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    Chain(error).to_string()
}

fn one_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn of_store(error: &StoreError) -> Status {
    match error {
        StoreError::Unavailable(_) | StoreError::Busy => Status::Unreachable,
        StoreError::NotFound { .. } => Status::NotFound,
        StoreError::Exists { .. } | StoreError::Stale { .. } => Status::Refused,
        StoreError::Corrupt { .. } | StoreError::Setup(_) => Status::Failed,
    }
}

fn of_issuer(error: &IssuerError) -> Status {
    match error {
        IssuerError::Store(error) => of_store(error),
        IssuerError::Refused(_) => Status::Refused,
        _ => Status::Failed,
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        let status = match &error {
            AdminError::NotFound { .. } => Status::NotFound,
            AdminError::Invalid(_) => Status::Usage,
            AdminError::Refused(_) | AdminError::Changed { .. } => Status::Refused,
            AdminError::Failed(error) => of_issuer(error),
        };
        Self::new(status, chain(&error))
    }
}

impl From<IssuerError> for Failure {
    fn from(error: IssuerError) -> Self {
        Self::new(of_issuer(&error), chain(&error))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(of_store(&error), chain(&error))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let problems = error.problems().iter().map(ToString::to_string).collect();
        Self {
            status: Status::Usage,
            problems,
            hint: None,
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let status = match error {
            StartError::Config(error) => return Self::from(error),
            StartError::Policy(_) | StartError::MasterKey(_) => Status::Usage,
            StartError::Schema(_) | StartError::Rollback(_) | StartError::Refused(_) => Status::Refused,
            StartError::Store(ref error) => of_store(error),
            StartError::Issuer(ref error) => of_issuer(error),
            StartError::Io { .. } => Status::Failed,
        };
        Self::new(status, chain(&error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once_and_in_one_line() {
        let store = StoreError::Setup("first\n  second".to_owned());
        assert_eq!(chain(&store), "first second");
        let issuer = IssuerError::Store(StoreError::Busy);
        assert_eq!(
            chain(&issuer),
            "the store failed: too much is waiting to be written"
        );
        let admin = AdminError::Failed(issuer);
        assert_eq!(
            chain(&admin),
            "the store failed: too much is waiting to be written"
        );
    }

    #[test]
    fn each_kind_of_failure_has_its_status() {
        let status = |failure: Failure| failure.status();
        assert_eq!(status(AdminError::Invalid(String::new()).into()), 2);
        assert_eq!(
            status(
                AdminError::NotFound {
                    what: "client",
                    name: "x".to_owned()
                }
                .into()
            ),
            3
        );
        assert_eq!(status(AdminError::Refused(String::new()).into()), 4);
        assert_eq!(
            status(AdminError::Failed(IssuerError::Store(StoreError::Busy)).into()),
            5
        );
        assert_eq!(status(AdminError::Failed(IssuerError::NoSigningKey).into()), 1);
        assert_eq!(status(StartError::Schema(String::new()).into()), 4);
        assert_eq!(status(StoreError::Setup(String::new()).into()), 1);
    }
}
