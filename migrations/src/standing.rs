//! How the schema of a database stands to this binary: which changes it has, and whether one may work on the other.

use std::fmt;

/// Where one change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The database has it.
    Applied,
    /// The database lacks it.
    Missing,
    /// The database has it from a later release.
    Newer,
    /// The database has it, and no release makes it.
    Unknown,
}

/// One change of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The name of the change, as recorded in the database.
    pub name: String,
    /// Where it stands.
    pub state: State,
}

/// The schema of a database, as this binary sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Every change that this binary knows or the database has, in their order.
    pub changes: Vec<Change>,
    /// The number of the newest change that a binary must know to work on this database.
    pub floor: i64,
}

/// What this binary may do with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Work on it. It may be of a later release, which left in place what this one needs.
    Current,
    /// Nothing before this many changes are applied.
    Behind(usize),
    /// Nothing: a later release took away what this one needs.
    TooNew {
        /// The number of the newest change that a binary must know.
        floor: i64,
        /// The number of the newest change that this one knows.
        known: i64,
    },
    /// Nothing: this change is there without those before it, or no release makes it.
    Strange(String),
}

impl Schema {
    /// Compares the changes that a binary knows with those that a database has.
    pub(crate) fn of(known: &[String], applied: &[String], floor: i64) -> Self {
        let newest = known.last().and_then(|name| number_of(name)).unwrap_or(0);
        let own = known.iter().map(|name| {
            let state = if applied.contains(name) {
                State::Applied
            } else {
                State::Missing
            };
            (name, state)
        });
        let mut others: Vec<&String> = applied.iter().filter(|name| !known.contains(name)).collect();
        others.sort();
        let others = others.into_iter().map(|name| {
            let is_newer = number_of(name).is_some_and(|number| number > newest);
            let state = if is_newer { State::Newer } else { State::Unknown };
            (name, state)
        });
        let changes = own.chain(others);
        let changes = changes.map(|(name, state)| Change {
            name: name.clone(),
            state,
        });
        Self {
            changes: changes.collect(),
            floor,
        }
    }

    /// How many changes stand so.
    #[must_use]
    pub fn count(&self, state: State) -> usize {
        self.changes.iter().filter(|change| change.state == state).count()
    }

    /// What this binary may do with it.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let mut missing = 0;
        let mut known = 0;
        for change in &self.changes {
            match change.state {
                State::Applied | State::Newer if missing == 0 => {}
                State::Missing => missing += 1,
                _ => return Standing::Strange(change.name.clone()),
            }
            if matches!(change.state, State::Applied | State::Missing) {
                known = number_of(&change.name).unwrap_or(known);
            }
        }
        if self.floor > known {
            let floor = self.floor;
            return Standing::TooNew { floor, known };
        }
        match missing {
            0 => Standing::Current,
            missing => Standing::Behind(missing),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("the schema is current"),
            Self::Behind(missing) => write!(f, "{missing} schema changes are missing"),
            Self::TooNew { floor, known } => write!(
                f,
                "the schema is newer than this version of vouchsafe: it needs one that knows change {floor}, and \
                 this one knows up to {known}"
            ),
            Self::Strange(name) => write!(
                f,
                "the schema is not known to this version of vouchsafe: it has `{name}`, which cannot follow on what \
                 else it has"
            ),
        }
    }
}

/// The number of a change, by its name: `m0002_replicas` is 2.
pub(crate) fn number_of(name: &str) -> Option<i64> {
    let (number, _) = name.strip_prefix('m')?.split_once('_')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(applied: &[&str], floor: i64) -> Schema {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Schema::of(&own(&["m0001_a", "m0002_b"]), &own(applied), floor)
    }

    #[test]
    fn f17_a_later_release_is_worked_on_as_long_as_its_floor_allows() {
        let later = ["m0001_a", "m0002_b", "m0003_c"];
        assert_eq!(schema(&later, 1).standing(), Standing::Current);
        assert_eq!(schema(&later, 2).standing(), Standing::Current);
        assert_eq!(schema(&later, 2).count(State::Newer), 1);
        let refused = Standing::TooNew { floor: 3, known: 2 };
        assert_eq!(schema(&later, 3).standing(), refused);
        assert_eq!(schema(&["m0001_a", "m0002_b"], 3).standing(), refused);
    }

    #[test]
    fn what_is_missing_is_counted_and_what_fits_nowhere_is_named() {
        assert_eq!(schema(&[], 1).standing(), Standing::Behind(2));
        assert_eq!(schema(&["m0001_a"], 1).standing(), Standing::Behind(1));
        assert_eq!(schema(&["m0001_a", "m0002_b"], 1).standing(), Standing::Current);
        let strange = |applied: &[&str], name: &str| {
            assert_eq!(schema(applied, 1).standing(), Standing::Strange(name.to_owned()));
        };
        strange(&["m0002_b"], "m0002_b");
        strange(&["m0001_a", "m0003_c"], "m0003_c");
        strange(&["m0001_a", "m0002_b", "m0002_other"], "m0002_other");
        strange(&["m0001_a", "m0002_b", "by hand"], "by hand");
        strange(&["m0001_x"], "m0001_x");
    }

    #[test]
    fn names_carry_numbers() {
        assert_eq!(number_of("m0002_replicas"), Some(2));
        for name in ["", "m", "m2", "x0002_a", "m_a", "mx_a"] {
            assert_eq!(number_of(name), None, "{name}");
        }
    }
}
