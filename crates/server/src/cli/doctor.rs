//! `vouchsafe doctor`: looks for mistakes in configuration, files and database, and says what to do about each.

use std::path::{Path, PathBuf};

use vouchsafe_issuer::{Issuer, KeyView};
use vouchsafe_keys::{KeyAlgorithm, Purpose};
use vouchsafe_migrations::{Schema, Standing, State};
use vouchsafe_protocol::{Chain, SecretString, Timestamp};
use vouchsafe_store::Database;

use super::failure::Failure;
use super::finding::{Finding, Verdict, fail, failed, ok, warn};
use super::globals::{Globals, database_exists, database_file};
use super::output::{Output, table};
use super::time::utc;
use crate::config::{Config, Settings};
use crate::state::{Examined, Outside};

/// 2025-01-01: no clock that is right shows less.
const EARLIEST: Timestamp = Timestamp::from_unix(1_735_689_600);
/// What other clocks may be ahead without harm, in seconds.
const SKEW: i64 = 60;
/// More rows than this that wait to be removed are worth a word.
const MUCH: u64 = 100_000;
const READABLE_BY_GROUP: u32 = 0o070;
const OPEN_TO_ALL: u32 = 0o007;

pub(super) async fn run(globals: &Globals, out: &mut Output<'_>) -> Result<(), Failure> {
    let findings = Box::pin(examine(globals)).await?;
    out.show(&findings, |findings| {
        table(
            ["STATUS", "CHECK", "FOUND", "WHAT TO DO"],
            findings.iter().map(|finding| {
                let words = [
                    finding.status.as_str(),
                    finding.check,
                    finding.found.as_str(),
                    finding.advice,
                ];
                words.map(str::to_owned)
            }),
        )
    })?;
    match findings
        .iter()
        .filter(|finding| finding.status == Verdict::Fail)
        .count()
    {
        0 => Ok(()),
        count => Err(Failure::failed(format!(
            "{count} of {} checks failed",
            findings.len()
        ))),
    }
}

/// Each check needs the ones before it; what cannot be checked any more is left out.
async fn examine(globals: &Globals) -> Result<Vec<Finding>, Failure> {
    let settings = globals.settings()?;
    let mut findings = Vec::new();
    let config = match settings.config() {
        Ok(config) => {
            findings.push(ok("configuration", "complete and consistent"));
            findings.extend(outside(&config));
            Some(config)
        }
        Err(error) => {
            findings.extend(failed(
                "configuration",
                &error.into(),
                "mend it; `vouchsafe config show` tells what is in force",
            ));
            None
        }
    };
    findings.extend(private_files(&settings, config.as_ref()));
    let Ok(place) = settings.database() else {
        return Ok(findings);
    };
    let usable = database(&place.url, &mut findings).await;
    if let (Some(config), true) = (config, usable) {
        findings.extend(running(&config).await);
    }
    Ok(findings)
}

/// How the issuer looks from outside.
fn outside(config: &Config) -> Option<Finding> {
    let server = &config.server;
    if config.issuer.is_loopback_http() {
        return Some(warn(
            "issuer",
            format!("{} is for trying out", config.issuer),
            "use an https issuer to serve others",
        ));
    }
    let bare = server.tls_cert_file.is_none() && server.trusted_proxies.is_empty();
    bare.then(|| {
        let found = "an https issuer, but neither TLS files nor a trusted proxy";
        warn(
            "tls",
            found,
            "set server.tls_cert_file and tls_key_file, or name your proxy in server.trusted_proxies",
        )
    })
}

/// The files that hold secrets.
fn private_files(settings: &Settings, config: Option<&Config>) -> Vec<Finding> {
    let rows = settings.rows();
    let master = rows
        .iter()
        .find(|row| row.key == "keys.master_key")
        .and_then(|row| file_of(&row.origin));
    let tls = config.and_then(|config| config.server.tls_key_file.clone());
    let state = config.and_then(|config| config.state.dir.clone());
    let files = [
        ("master key file", master),
        ("TLS key file", tls),
        ("state folder", state),
    ];
    files
        .into_iter()
        .filter_map(|(check, file)| permissions(check, &file?))
        .collect()
}

/// The file that a setting was read from, by the origin that the settings tell.
fn file_of(origin: &str) -> Option<PathBuf> {
    if let Some((_, file)) = origin.rsplit_once(", from ") {
        return Some(PathBuf::from(file));
    }
    if let Some(file) = origin.strip_prefix("credential ") {
        return Some(PathBuf::from(file));
    }
    let (file, line) = origin.rsplit_once(':')?;
    line.parse::<u64>().ok().map(|_| PathBuf::from(file))
}

/// None for a file that is not there, which another check tells.
fn permissions(check: &'static str, file: &Path) -> Option<Finding> {
    let mode = mode_of(file)?;
    let found = format!("{} has mode {:04o}", file.display(), mode & 0o7777);
    Some(if mode & OPEN_TO_ALL != 0 {
        let advice = "chmod 600 (a folder: 700): everybody on this machine can reach it";
        fail(check, found, advice)
    } else if mode & READABLE_BY_GROUP != 0 {
        let advice = "chmod 600 (a folder: 700), unless that group is meant to reach it";
        warn(check, found, advice)
    } else {
        ok(check, found)
    })
}

#[cfg(unix)]
fn mode_of(file: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file)
        .ok()
        .map(|metadata| metadata.permissions().mode())
}

#[cfg(not(unix))]
fn mode_of(_: &Path) -> Option<u32> {
    None
}

/// Whether the database is there, set up as promised, and of a schema that this binary knows.
async fn database(url: &SecretString, findings: &mut Vec<Finding>) -> bool {
    if let Err(failure) = database_exists(url) {
        findings.extend(failed("database", &failure, "`vouchsafe db migrate` makes it"));
        return false;
    }
    findings.extend(database_file(url).and_then(|file| permissions("database file", &file)));
    let database = match Database::open(url.expose(), false).await {
        Ok(database) => database,
        Err(error) => {
            findings.extend(failed(
                "database",
                &error.into(),
                "see that it can be reached and written by this user",
            ));
            return false;
        }
    };
    findings.push(match database.is_durable().await {
        Ok(true) => ok("database", "reachable; every commit is on disk before it counts"),
        Ok(false) => warn(
            "database",
            "reachable; it does not wait for the disk",
            "set fsync and full_page_writes to on: a crash would lose what was answered",
        ),
        Err(error) => fail(
            "database",
            Chain(&error).to_string(),
            "see that this user may read its settings",
        ),
    });
    let schema = crate::schema::read(&database).await;
    database.close().await;
    match schema {
        Ok(schema) => {
            let finding = schema_finding(&schema);
            let usable = finding.status == Verdict::Ok;
            findings.push(finding);
            usable
        }
        Err(error) => {
            findings.extend(failed("schema", &error.into(), "see that this user may read it"));
            false
        }
    }
}

fn schema_finding(schema: &Schema) -> Finding {
    let check = "schema";
    match schema.standing() {
        Standing::Current => match schema.count(State::Newer) {
            0 => ok(check, "current"),
            newer => ok(
                check,
                format!("of a later version, by {newer} changes; this one can work on it"),
            ),
        },
        Standing::Behind(missing) => fail(
            check,
            format!("{missing} changes are missing"),
            "`vouchsafe db migrate`",
        ),
        standing @ Standing::TooNew { .. } => fail(
            check,
            standing.to_string(),
            "install the version that changed the schema",
        ),
        standing @ Standing::Strange(_) => fail(
            check,
            standing.to_string(),
            "see that this is the right database, or restore it from a backup",
        ),
    }
}

/// What only an opened issuer can tell.
async fn running(config: &Config) -> Vec<Finding> {
    let opened = crate::app::open_issuer(config, crate::machine::real_machine());
    let issuer = match Box::pin(opened).await {
        Ok(issuer) => issuer,
        Err(error) => {
            return failed(
                "keys",
                &error.into(),
                "see that this is the master key that sealed them",
            );
        }
    };
    let mut findings = vec![ok("master key", "opens the keys")];
    match issuer.list_keys().await {
        Ok(keys) => {
            findings.extend(lines(&issuer).into_iter().map(|line| key_line(&keys, line)));
            findings.push(clock(issuer.now(), newest(&issuer, &keys).await));
        }
        Err(error) => findings.extend(failed("keys", &error.into(), "")),
    }
    findings.push(past(config, &issuer).await);
    findings.extend(backlog(&issuer).await);
    issuer.store().close().await;
    findings
}

/// Whether what is over leaves the database.
async fn backlog(issuer: &Issuer) -> Option<Finding> {
    let check = "sweeping";
    let backlog = issuer.sweep_backlog().await.ok()?;
    Some(match backlog.most() {
        0 => ok(check, "nothing waits to be removed"),
        most if most < MUCH => ok(check, format!("{most} rows of a kind wait to be removed")),
        most => warn(
            check,
            format!("{most} rows of a kind or more wait to be removed"),
            "a running server removes them by and by; see that one runs",
        ),
    })
}

/// Whether a restored backup would be noticed, and whether this is one.
async fn past(config: &Config, issuer: &Issuer) -> Finding {
    let check = "state";
    match Outside::of(config).examine(issuer.store()).await {
        Examined::Whole(found) => ok(check, found),
        Examined::Unknown(found) => warn(
            check,
            found,
            "a restored backup would not be noticed: set state.dir and serve",
        ),
        Examined::Lost(found) => fail(
            check,
            found,
            "put the current database back, or `vouchsafe serve --accept-rollback`",
        ),
        Examined::Failed(found) => fail(check, found, "see that the server's user can read it"),
    }
}

type Line = (KeyAlgorithm, Purpose);

fn lines(issuer: &Issuer) -> Vec<Line> {
    let mut lines = issuer.signing_lines();
    lines.extend([
        (KeyAlgorithm::Hs256, Purpose::RefreshMac),
        (KeyAlgorithm::Hs256, Purpose::SecretHash),
    ]);
    lines
}

/// Whether a line of keys has one that works now and, where others must learn of it first, one that comes after it.
fn key_line(keys: &[KeyView], (algorithm, purpose): Line) -> Finding {
    let check = "keys";
    let has = |state: &str| {
        keys.iter()
            .any(|key| key.algorithm == algorithm && key.purpose == purpose && key.state == state)
    };
    let name = format!("{algorithm} {purpose}");
    match (has("active"), has("next") || purpose != Purpose::Signing) {
        (true, true) if purpose == Purpose::Signing => ok(check, format!("{name}: active and next")),
        (true, true) => ok(check, format!("{name}: active")),
        (true, false) => fail(
            check,
            format!("{name}: no next key"),
            "start the server; it makes one",
        ),
        (false, _) => fail(
            check,
            format!("{name}: no active key"),
            "`vouchsafe keys list` tells when one begins to sign",
        ),
    }
}

/// The latest instant that the database knows to be past.
async fn newest(issuer: &Issuer, keys: &[KeyView]) -> Option<Timestamp> {
    let audited = issuer.store().audit_tail(1).await.unwrap_or_default();
    let audited = audited.into_iter().map(|record| record.at);
    audited.chain(keys.iter().map(|key| key.published_at)).max()
}

fn clock(now: Timestamp, newest: Option<Timestamp>) -> Finding {
    let advice = "set the clock and keep it by NTP";
    let check = "clock";
    if now < EARLIEST {
        return fail(check, format!("it shows {}", utc(now)), advice);
    }
    match newest {
        Some(newest) if newest.as_unix() > now.as_unix().saturating_add(SKEW) => fail(
            check,
            format!("it shows {}, but the database knows {}", utc(now), utc(newest)),
            advice,
        ),
        _ => ok(check, utc(now)),
    }
}

#[cfg(test)]
mod tests {
    use vouchsafe_protocol::Kid;

    use super::*;

    #[test]
    fn the_file_behind_a_setting_is_found() {
        let file = |origin: &str| file_of(origin).map(|file| file.display().to_string());
        assert_eq!(
            file("v.toml:3, from /run/master.key").as_deref(),
            Some("/run/master.key")
        );
        assert_eq!(file("preset, from d/master.key").as_deref(), Some("d/master.key"));
        assert_eq!(
            file("credential /run/c/keys.master_key").as_deref(),
            Some("/run/c/keys.master_key")
        );
        assert_eq!(file("etc/v.toml:3").as_deref(), Some("etc/v.toml"));
        for origin in [
            "environment VOUCHSAFE_KEYS__MASTER_KEY",
            "flag",
            "default",
            "not set",
        ] {
            assert_eq!(file(origin), None, "{origin}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_master_key_is_for_one_user() {
        use std::os::unix::fs::PermissionsExt as _;
        let path = std::env::temp_dir().join(format!("vouchsafe-doctor-{}", std::process::id()));
        std::fs::write(&path, "").unwrap();
        let cases = [
            (0o600, Verdict::Ok),
            (0o400, Verdict::Ok),
            (0o640, Verdict::Warn),
            (0o660, Verdict::Warn),
            (0o644, Verdict::Fail),
            (0o602, Verdict::Fail),
        ];
        for (mode, verdict) in cases {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(permissions("file", &path).unwrap().status, verdict, "{mode:o}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(permissions("file", &path).is_none());
    }

    #[test]
    fn a_signing_line_needs_its_next_key() {
        let key = |purpose, state| KeyView {
            kid: Kid::parse("k").unwrap(),
            algorithm: KeyAlgorithm::Es256,
            purpose,
            state,
            published_at: EARLIEST,
            next_step: None,
        };
        let signing = (KeyAlgorithm::Es256, Purpose::Signing);
        let (active, next) = (key(Purpose::Signing, "active"), key(Purpose::Signing, "next"));
        let status = |keys: &[KeyView], line| key_line(keys, line).status;
        assert_eq!(status(&[active.clone(), next.clone()], signing), Verdict::Ok);
        assert_eq!(status(&[active], signing), Verdict::Fail);
        assert_eq!(status(&[next], signing), Verdict::Fail);
        let mac = (KeyAlgorithm::Es256, Purpose::RefreshMac);
        assert_eq!(status(&[key(Purpose::RefreshMac, "active")], mac), Verdict::Ok);
    }

    #[test]
    fn a_clock_that_went_back_is_noticed() {
        let at = |seconds| Timestamp::from_unix(EARLIEST.as_unix() + seconds);
        assert_eq!(clock(at(100), Some(at(100))).status, Verdict::Ok);
        assert_eq!(clock(at(100), Some(at(160))).status, Verdict::Ok);
        assert_eq!(clock(at(100), Some(at(161))).status, Verdict::Fail);
        assert_eq!(clock(at(-1), None).status, Verdict::Fail);
    }
}
