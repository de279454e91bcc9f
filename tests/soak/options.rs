//! What is said on the command line.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// What to type.
pub(crate) const USAGE: &str = "\
Usage: soak --database sqlite|postgres [--seconds N] [--clients N] [--replicas N] [--seed N]
       soak sweep --database sqlite|postgres [--rows N] [the flags above]

The second measures refreshes while expired rows are swept: a million rows, 8 clients, 1 replica, and 60 seconds at
most, unless something else is said. Ten million rows take about 10 GB in the folder of temporary files.

VOUCHSAFE_BIN names the server, VOUCHSAFE_PG_BIN the folder of PostgreSQL's programs.";

/// The database that the replicas share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    fn named(name: &str) -> Option<Self> {
        match name {
            "sqlite" => Some(Self::Sqlite),
            "postgres" => Some(Self::Postgres),
            _ => None,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// Processes on one file share a machine; more of them prove no more.
    const fn usual_replicas(self) -> usize {
        match self {
            Self::Sqlite => 2,
            Self::Postgres => 3,
        }
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) database: Backend,
    /// How long the disturbances go on.
    pub(crate) seconds: u64,
    pub(crate) clients: usize,
    pub(crate) replicas: usize,
    /// Repeats the choices of a run, not the moments at which processes get to them.
    pub(crate) seed: u64,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut database = None;
        let (mut seconds, mut clients, mut replicas, mut seed) = (180, 200, None, None);
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
            let number = || {
                let number = value.parse::<u64>();
                number.map_err(|_| format!("{flag}: `{value}` is no number"))
            };
            match flag.as_str() {
                "--database" => database = Some(Backend::named(&value).ok_or("sqlite or postgres")?),
                "--seconds" => seconds = number()?,
                "--clients" => clients = number()?,
                "--replicas" => replicas = Some(number()?),
                "--seed" => seed = Some(number()?),
                _ => return Err(format!("unknown flag {flag}")),
            }
        }
        let database = database.ok_or("--database is missing")?;
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).max(1);
        Ok(Self {
            database,
            seconds,
            clients: count(clients),
            replicas: replicas.map_or(database.usual_replicas(), count),
            seed: seed.unwrap_or_else(any_seed),
        })
    }
}

/// Another one each time.
fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish() % 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let options = parse("--database postgres --seed 7").unwrap();
        let expected = Options {
            database: Backend::Postgres,
            seconds: 180,
            clients: 200,
            replicas: 3,
            seed: 7,
        };
        assert_eq!(options, expected);
        assert_eq!(parse("--database sqlite").unwrap().replicas, 2);
        let short = parse("--database sqlite --seconds 15 --clients 60 --replicas 1").unwrap();
        assert_eq!((short.seconds, short.clients, short.replicas), (15, 60, 1));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, said) in [
            ("", "--database"),
            ("--database oracle", "sqlite or postgres"),
            ("--database sqlite --seconds", "--seconds"),
            ("--database sqlite --seconds soon", "soon"),
            ("--databases sqlite", "--databases"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
