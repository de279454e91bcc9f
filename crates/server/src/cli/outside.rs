//! What a command has to do with the state outside the database: it refuses to work on a database that went back in time,
//! and adds what it did, so that a key it revoked is remembered even when no server runs.

use serde_json::json;
use vouchsafe_issuer::{AcceptedRollback, HighWater, Issuer};

use super::failure::Failure;
use super::output::Output;
use crate::config::Config;
use crate::state::{OnRollback, Outside};

/// What was known outside before a command did its work.
pub(super) struct Remembered {
    outside: Outside,
    before: Option<HighWater>,
}

/// Opens the issuer for a command. A file that this user cannot read is worth a warning: the server reads it too.
pub(super) async fn open(config: &Config, out: &mut Output<'_>) -> Result<(Issuer, Remembered), Failure> {
    let outside = Outside::of(config);
    let before = outside.read().unwrap_or_else(|error| {
        out.note(&format!("warning: {error}"));
        None
    });
    let machine = crate::machine::real_machine();
    let refuse = OnRollback::Refuse;
    let opened = crate::app::open_knowing(config, machine, &outside, before.as_ref(), &refuse);
    let (issuer, _) = Box::pin(opened).await?;
    Ok((issuer, Remembered { outside, before }))
}

impl Remembered {
    /// Adds what the command did to what is known outside, as far as this user may.
    pub(super) async fn keep(&self, issuer: &Issuer, out: &mut Output<'_>) {
        if self.outside.path().is_none() {
            return;
        }
        let mut known = issuer.high_water();
        match issuer.store().mark().await {
            Ok(mark) => known.mark = known.mark.furthest(mark),
            Err(error) => out.note(&format!("warning: {error}")),
        }
        if self.is_news(&known)
            && let Err(error) = self.outside.write(&known)
        {
            out.note(&format!(
                "warning: {error}; only the database knows what was done"
            ));
        }
    }

    /// Whether it is worth writing: not for the time that passed, nor for the beats of a server that keeps the file.
    fn is_news(&self, known: &HighWater) -> bool {
        match &self.before {
            Some(before) => {
                known.denied != before.denied
                    || known.mark.epoch != before.mark.epoch
                    || known.mark.revocation != before.mark.revocation
                    || known.mark.change != before.mark.change
            }
            // The first server begins the file; a key that was revoked before is remembered all the same.
            None => !known.denied.is_empty(),
        }
    }
}

/// Says what `--accept-rollback` came to.
pub(super) fn tell_rollback(accepted: Option<AcceptedRollback>, out: &mut Output<'_>) -> Result<(), Failure> {
    let Some(accepted) = accepted else {
        let told = json!({ "accepted_rollback": false });
        return out.show(&told, |_| {
            "there is no rollback to accept: nothing that is known outside is missing from the database\n"
                .to_owned()
        });
    };
    let told = json!({
        "accepted_rollback": true,
        "ended_sessions": accepted.families,
        "ended_keys": accepted.keys,
        "epoch": accepted.mark.epoch,
    });
    out.show(&told, |_| {
        format!(
            "the rollback is accepted: {} live sessions and every access token issued so far are ended, {} keys were \
             ended again; this is epoch {}\n",
            accepted.families, accepted.keys, accepted.mark.epoch
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vouchsafe_issuer::Mark;
    use vouchsafe_protocol::Kid;

    use super::*;
    use crate::config::Sources;

    fn remembered(before: Option<HighWater>) -> Remembered {
        let preset = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let sources = Sources::new(None, Vec::new(), Vec::new()).with_presets(vec![
            preset("issuer", "https://id.example"),
            preset("database.url", "sqlite:vouchsafe.db"),
            preset("keys.master_key", "qalIGrHqXEIEGiHZS0pqUK2HW2ygKvAxGnYrBoWXu2s="),
        ]);
        Remembered {
            outside: Outside::of(&Config::load(&sources).unwrap()),
            before,
        }
    }

    #[test]
    fn f14_a_command_writes_what_it_did_and_no_more() {
        let before = HighWater {
            mark: Mark {
                epoch: 1,
                heartbeat: 10,
                revocation: 2,
                change: 3,
            },
            ..HighWater::default()
        };
        let changed = |change: fn(&mut HighWater)| {
            let mut known = before.clone();
            change(&mut known);
            known
        };
        let some = remembered(Some(before.clone()));
        assert!(!some.is_news(&before));
        assert!(!some.is_news(&changed(|known| known.mark.heartbeat += 1)));
        assert!(some.is_news(&changed(|known| known.mark.change += 1)));
        assert!(some.is_news(&changed(|known| known.mark.revocation += 1)));
        let revoked = changed(|known| known.denied = BTreeSet::from([Kid::parse("k").unwrap()]));
        assert!(some.is_news(&revoked));
        let none = remembered(None);
        assert!(!none.is_news(&changed(|known| known.mark.change += 1)));
        assert!(none.is_news(&revoked));
    }
}
