//! What a verb works with: the issuer, who asks, and where to print; and the question before something is destroyed.

use std::fs;
use std::io::{self, IsTerminal as _};

use serde_json::json;
use vouchsafe_issuer::{Actor, Issuer};

use super::failure::Failure;
use super::flags::Care;
use super::output::Output;

/// Everything is read at once where a list has no end of its own.
pub(super) const EVERYTHING: u32 = u32::MAX;

/// An opened issuer, who asks, and where to print.
pub(super) struct Work<'w, 'o> {
    pub(super) issuer: &'w Issuer,
    pub(super) actor: Actor,
    pub(super) out: &'w mut Output<'o>,
}

impl Work<'_, '_> {
    /// Whether something may be destroyed; `what` completes the sentence "this would". False after a dry run, which
    /// printed that sentence.
    pub(super) fn may(&mut self, care: Care, what: &str) -> Result<bool, Failure> {
        if care.dry_run {
            let told = json!({ "dry_run": true, "would": what });
            self.out.show(&told, |_| format!("this would {what}\n"))?;
            return Ok(false);
        }
        if care.yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::refused(format!(
                "this would {what}; say --yes if that is meant"
            )));
        }
        if self.out.ask(&format!("This would {what}. Go on?"))? {
            Ok(true)
        } else {
            Err(Failure::refused("nothing was done"))
        }
    }
}

/// Who is at the command line, for the audit.
pub(super) fn operator() -> Actor {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = variable("USER").or_else(|| variable("LOGNAME")).or_else(uid);
    let host = fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned());
    let host = host
        .filter(|name| !name.is_empty())
        .or_else(|| variable("HOSTNAME"));
    let known = |name: Option<String>| name.unwrap_or_else(|| "unknown".to_owned());
    Actor::Operator {
        user: known(user),
        host: known(host),
    }
}

fn uid() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace()
        .next()
        .map(|number| format!("uid {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_always_named() {
        let Actor::Operator { user, host } = operator() else {
            panic!("not an operator")
        };
        assert!(!user.is_empty());
        assert!(!host.is_empty());
    }
}
