//! The figures of a run, and whether it did enough to prove anything.

use std::collections::HashSet;
use std::time::Duration;

use crate::checker::Violation;
use crate::history::{Ask, Class, Outcome, Record};
use crate::killer::Toll;
use crate::options::Options;

/// Shorter runs need not have done anything in particular.
const LONG_ENOUGH: u64 = 10;
/// Violations that are printed; the history holds them all.
const PRINTED: usize = 20;

/// What happened, counted.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    requests: usize,
    sessions: usize,
    rotations: usize,
    retries: usize,
    lost: usize,
    silent: usize,
    turned_away: usize,
    superseded: usize,
    families_revoked: usize,
    access_revoked: usize,
    thefts: usize,
    introspections: usize,
    /// How long answered refreshes took, in order.
    latencies: Vec<Duration>,
}

impl Figures {
    pub(crate) fn of(record: &Record) -> Self {
        let mut figures = Self {
            requests: record.events.len(),
            sessions: record.families.len(),
            ..Self::default()
        };
        let (mut rotations, mut revoked, mut access) = (HashSet::new(), HashSet::new(), HashSet::new());
        for event in &record.events {
            figures.retries += usize::from(event.retry);
            figures.lost += usize::from(event.lost);
            match &event.outcome {
                Outcome::Silent(_) => figures.silent += 1,
                Outcome::Refused { status: 503, .. } => figures.turned_away += 1,
                Outcome::Refused { reason, .. } if &**reason == "superseded" => figures.superseded += 1,
                _ => {}
            }
            match (&event.ask, &event.outcome) {
                (Ask::Refresh(_), Outcome::Silent(_)) => {}
                (Ask::Refresh(_), outcome) => {
                    figures.latencies.push(event.end.saturating_sub(event.start));
                    if let Outcome::Granted(token) = outcome {
                        rotations.insert((event.family, token.seq));
                    }
                }
                (Ask::RevokeFamily, Outcome::Revoked) => {
                    revoked.insert(event.family);
                }
                (Ask::RevokeAccess(jti), Outcome::Revoked) => {
                    access.insert(jti);
                }
                (Ask::Steal(_), Outcome::Refused { reason, .. }) if &**reason == "reused" => {
                    figures.thefts += 1;
                }
                (Ask::IntrospectAccess(_) | Ask::IntrospectRefresh(_), _) => figures.introspections += 1,
                _ => {}
            }
        }
        figures.rotations = rotations.len();
        figures.families_revoked = revoked.len();
        figures.access_revoked = access.len();
        figures.latencies.sort_unstable();
        figures
    }

    /// What a run has to have done before it proves anything.
    pub(crate) fn idle(&self, options: &Options, toll: &Toll, record: &Record) -> Vec<Violation> {
        if options.seconds < LONG_ENOUGH {
            return Vec::new();
        }
        let honest = record
            .families
            .iter()
            .filter(|family| family.class == Class::Honest);
        let wanted = [
            ("sessions of honest clients", honest.count(), options.clients),
            ("rotations", self.rotations, options.clients.saturating_mul(2)),
            ("lost responses", self.lost, 1),
            ("revoked families", self.families_revoked, 1),
            ("kills", toll.kills, 1),
        ];
        wanted
            .into_iter()
            .filter(|(_, happened, least)| happened < least)
            .map(|(what, happened, least)| Violation {
                rule: "a soak that does nothing proves nothing",
                family: None,
                event: None,
                text: format!("{happened} {what}, {least} at least were to be"),
            })
            .collect()
    }

    /// The time within which so many of a hundred refreshes were answered.
    fn percentile(&self, percent: usize) -> Duration {
        percentile(&self.latencies, percent)
    }

    /// Prints the table and the first violations.
    pub(crate) fn print(
        &self,
        options: &Options,
        toll: &Toll,
        (keys, verified): (usize, usize),
        found: &[Violation],
    ) {
        println!(
            "soak on {}: {} replicas, {} clients, {} s, seed {}",
            options.database.as_str(),
            options.replicas,
            options.clients,
            options.seconds,
            options.seed
        );
        let rows = [
            ("requests", self.requests),
            ("sessions", self.sessions),
            ("rotations", self.rotations),
            ("retries", self.retries),
            ("lost responses", self.lost),
            ("without an answer", self.silent),
            ("503", self.turned_away),
            ("superseded", self.superseded),
            ("introspections", self.introspections),
            ("families revoked", self.families_revoked),
            ("access tokens revoked", self.access_revoked),
            ("families ended by theft", self.thefts),
            ("kills", toll.kills),
            ("stops", toll.stops),
            ("signing keys seen", keys),
            ("tokens kept to verify", verified),
        ];
        for (what, count) in rows {
            println!("  {what:<26}{count:>12}");
        }
        let times = [
            ("refresh p50", self.percentile(50)),
            ("refresh p99", self.percentile(99)),
            ("slowest restart", toll.slowest),
        ];
        for (what, time) in times {
            println!("  {what:<26}{:>9} ms", time.as_millis());
        }
        println!("  {:<26}{:>12}", "violations", found.len());
        for violation in found.iter().take(PRINTED) {
            println!("VIOLATION {}", line_of(violation));
        }
    }
}

/// The time that so many of a hundred did not exceed, of times that are in order.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> Duration {
    let last = times.len().saturating_sub(1);
    let place = last.saturating_mul(percent) / 100;
    times.get(place).copied().unwrap_or_default()
}

fn line_of(violation: &Violation) -> String {
    let of = |what: &str, number: Option<usize>| match number {
        Some(number) => format!(", {what} {number}"),
        None => String::new(),
    };
    let (family, event) = (of("family", violation.family), of("event", violation.event));
    format!("{}: {}{family}{event}", violation.rule, violation.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Backend;

    #[test]
    fn percentiles_are_of_what_was_answered() {
        let figures = Figures {
            latencies: (1..=100).map(Duration::from_millis).collect(),
            ..Figures::default()
        };
        assert_eq!(figures.percentile(50), Duration::from_millis(50));
        assert_eq!(figures.percentile(99), Duration::from_millis(99));
        assert_eq!(Figures::default().percentile(99), Duration::ZERO);
    }

    #[test]
    fn a_run_without_events_proves_nothing() {
        let options = Options {
            database: Backend::Sqlite,
            seconds: 20,
            clients: 3,
            replicas: 2,
            seed: 1,
        };
        let (toll, record) = (Toll::default(), Record::default());
        let figures = Figures::of(&record);
        assert_eq!(figures.idle(&options, &toll, &record).len(), 5);
        let short = Options {
            seconds: 2,
            ..options
        };
        assert!(figures.idle(&short, &toll, &record).is_empty());
    }
}
