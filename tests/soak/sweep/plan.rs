//! What is said on the command line after `sweep`.

use std::time::Duration;

use crate::options::Options;

const USUAL_ROWS: u64 = 1_000_000;
const MOST_ROWS: u64 = 100_000_000;
/// What is not said otherwise. A flag that is said later counts.
const USUAL: [&str; 6] = ["--seconds", "60", "--clients", "8", "--replicas", "1"];
/// What a row may take to be seeded, and counted at the end.
const ROW: Duration = Duration::from_micros(500);

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Expired rows.
    pub(crate) rows: u64,
    /// The time is the longest that the sweep is measured for.
    pub(crate) options: Options,
}

impl Plan {
    /// Reads the arguments: those of [`Options`], and the rows.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut rows = USUAL_ROWS;
        let mut others: Vec<String> = USUAL.map(str::to_owned).to_vec();
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            let value = arguments.next();
            if flag == "--rows" {
                rows = parse_rows(&value.ok_or("--rows needs a value")?)?;
            } else {
                others.push(flag);
                others.extend(value);
            }
        }
        let options = Options::parse(others)?;
        Ok(Self { rows, options })
    }

    /// What it may take, beside the preparation that every run needs.
    pub(crate) fn limit(&self) -> Duration {
        let rows = u32::try_from(self.rows).unwrap_or(u32::MAX);
        Duration::from_secs(self.options.seconds).saturating_add(ROW.saturating_mul(rows))
    }
}

fn parse_rows(value: &str) -> Result<u64, String> {
    let rows = value.parse().ok();
    rows.filter(|rows| (1..=MOST_ROWS).contains(rows))
        .ok_or_else(|| format!("--rows: `{value}` is no number from 1 to {MOST_ROWS}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Backend;

    fn parse(line: &str) -> Result<Plan, String> {
        Plan::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_million_rows_are_swept_for_a_minute_unless_more_is_said() {
        let plan = parse("--database postgres --seed 7").unwrap();
        let options = Options {
            database: Backend::Postgres,
            seconds: 60,
            clients: 8,
            replicas: 1,
            seed: 7,
        };
        let rows = 1_000_000;
        assert_eq!(plan, Plan { rows, options });
        assert_eq!(plan.limit(), Duration::from_secs(560));
        let plan = parse("--rows 10000000 --database sqlite --seconds 600 --replicas 2").unwrap();
        assert_eq!(
            (plan.rows, plan.options.seconds, plan.options.replicas),
            (10_000_000, 600, 2)
        );
        assert_eq!(plan.limit(), Duration::from_secs(5_600));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, said) in [
            ("--rows", "--rows"),
            ("--database sqlite --rows 0", "`0`"),
            ("--database sqlite --rows many", "many"),
            ("--rows 5", "--database"),
            ("--database sqlite --row 5", "--row"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
