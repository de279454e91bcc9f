//! An error with its causes, as a log line tells it.

use std::error::Error;
use std::fmt;

/// Shows an error and its causes in one line; a cause that repeats what was said is left out.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = one_line(&self.0.to_string());
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let more = one_line(&error.to_string());
            if !said.contains(&more) {
                said.push_str(": ");
                said.push_str(&more);
            }
            cause = error.source();
        }
        f.write_str(&said)
    }
}

fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the store\n failed")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("connection refused")]
    struct Inner;

    #[test]
    fn causes_follow_in_one_line() {
        assert_eq!(
            Chain(&Outer(Inner)).to_string(),
            "the store failed: connection refused"
        );
    }
}
