//! Counts passed and failed tests from what cargo's and Node's test runners print.

/// Passed and failed tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Adds the line with which one test binary ends; other lines are nothing to it.
    pub(crate) fn see_cargo(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else {
            return;
        };
        let Some((_, counts)) = rest.split_once(". ") else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }

    /// What went wrong without a failed test (a crash, a test that does not compile) is a failure too.
    pub(crate) fn settle(&mut self, succeeded: bool) {
        if !succeeded && self.failed == 0 {
            self.failed = 1;
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
        }
    }

    pub(crate) fn total(self) -> u64 {
        self.passed + self.failed
    }
}

/// The summary of one run of `node --test`; a test may print lines that look like it, so the last one counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NodeSummary {
    passed: u64,
    failed: u64,
    cancelled: u64,
}

impl NodeSummary {
    pub(crate) fn see(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) else {
            return;
        };
        let Some((word, number)) = rest.split_once(' ') else {
            return;
        };
        let Ok(number) = number.parse() else { return };
        match word {
            "pass" => self.passed = number,
            "fail" => self.failed = number,
            "cancelled" => self.cancelled = number,
            _ => {}
        }
    }

    pub(crate) fn tally(self) -> Tally {
        Tally {
            passed: self.passed,
            failed: self.failed + self.cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_what_cargo_prints() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 12 filtered out; finished in 0.00s",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s",
            "note: test result: ok. 7 passed; 7 failed",
        ] {
            tally.see_cargo(line);
        }
        assert_eq!(
            tally,
            Tally {
                passed: 13,
                failed: 2
            }
        );
    }

    #[test]
    fn a_run_that_fails_without_a_failed_test_counts() {
        let mut tally = Tally { passed: 3, failed: 0 };
        tally.settle(false);
        assert_eq!(tally, Tally { passed: 3, failed: 1 });
        let mut tally = Tally { passed: 3, failed: 2 };
        tally.settle(false);
        assert_eq!(tally.total(), 5);
    }

    #[test]
    fn reads_both_reporters_of_node() {
        for mark in ["#", "ℹ"] {
            let mut summary = NodeSummary::default();
            let lines = [
                "pass 99",
                "tests 7",
                "suites 0",
                "pass 4",
                "fail 2",
                "cancelled 1",
                "skipped 0",
                "duration_ms 1.5",
            ];
            for line in lines {
                summary.see(&format!("{mark} {line}"));
            }
            assert_eq!(summary.tally(), Tally { passed: 4, failed: 3 });
        }
    }
}
