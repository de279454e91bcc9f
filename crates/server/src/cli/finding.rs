//! What `vouchsafe doctor` finds: how a check ended, what was seen, and what to do.

use serde::Serialize;

use super::failure::Failure;

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    Warn,
    Fail,
}

impl Verdict {
    /// The word for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check: how it ended, what was seen, and what to do.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) status: Verdict,
    pub(super) check: &'static str,
    pub(super) found: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) advice: &'static str,
}

/// Nothing is wrong.
pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        status: Verdict::Ok,
        check,
        found: found.into(),
        advice: "",
    }
}

/// It works, and something should be done.
pub(super) fn warn(check: &'static str, found: impl Into<String>, advice: &'static str) -> Finding {
    Finding {
        status: Verdict::Warn,
        check,
        found: found.into(),
        advice,
    }
}

/// It does not work.
pub(super) fn fail(check: &'static str, found: impl Into<String>, advice: &'static str) -> Finding {
    Finding {
        status: Verdict::Fail,
        check,
        found: found.into(),
        advice,
    }
}

/// What a failure says, as findings.
pub(super) fn failed(check: &'static str, failure: &Failure, advice: &'static str) -> Vec<Finding> {
    failure
        .problems()
        .iter()
        .map(|problem| fail(check, problem.clone(), advice))
        .collect()
}
