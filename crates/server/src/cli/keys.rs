//! `vouchsafe keys`: list, rotate, revoke, rewrap.

use std::path::{Path, PathBuf};

use clap::builder::TypedValueParser;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use vouchsafe_issuer::{Issuer, KeyView, MasterKey};
use vouchsafe_keys::{KeyAlgorithm, Purpose, Urgency};
use vouchsafe_protocol::{Kid, Timestamp};

use super::failure::Failure;
use super::flags::{Care, words};
use super::input;
use super::output::table;
use super::time::{relative, span, utc};
use super::work::Work;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List every key: what it is for, how it stands, and when its next step comes
    List,
    /// Let the next keys sign as soon as they have been published long enough
    Rotate(RotateArgs),
    /// Trust a key no longer, from this instant; its successor signs at once
    Revoke {
        /// The key, as `keys list` names it
        #[arg(allow_hyphen_values = true)]
        kid: Kid,
        #[command(flatten)]
        care: Care,
    },
    /// Seal every private key under another master key; afterwards only that one opens them
    Rewrap {
        /// The other master key: 32 bytes in base64; `-` is standard input
        #[arg(long, value_name = "FILE")]
        new_master_key_file: PathBuf,
    },
}

/// Which keys rotate, and how soon.
#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    /// Sign with the published next key 5 s from now
    #[arg(long)]
    now: bool,
    /// Even while a key set without the next key may be cached
    #[arg(long, requires = "now")]
    force: bool,
    /// Only this algorithm; otherwise every configured one
    #[arg(long, value_name = "ALG", value_parser = algorithm())]
    algorithm: Option<KeyAlgorithm>,
    /// The keys of this purpose
    #[arg(long, default_value = "signing", value_parser = purpose())]
    purpose: Purpose,
    #[command(flatten)]
    care: Care,
}

/// One key, as it is printed.
#[derive(Serialize)]
struct KeyLine<'a> {
    kid: &'a Kid,
    alg: &'static str,
    purpose: &'static str,
    state: &'static str,
    published_at: Timestamp,
    next_step: Option<&'static str>,
    next_step_at: Option<Timestamp>,
}

fn algorithm() -> impl TypedValueParser<Value = KeyAlgorithm> {
    words(KeyAlgorithm::ALL.map(KeyAlgorithm::as_str))
}

fn purpose() -> impl TypedValueParser<Value = Purpose> {
    words(Purpose::ALL.map(Purpose::as_str))
}

type Line = (KeyAlgorithm, Purpose);

pub(super) async fn run(verb: Verb, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    match verb {
        Verb::List => {
            let keys = work.issuer.list_keys().await?;
            show(&keys, work)
        }
        Verb::Rotate(args) => rotate(&args, work).await,
        Verb::Revoke { kid, care } => revoke(&kid, care, work).await,
        Verb::Rewrap { new_master_key_file } => rewrap(&new_master_key_file, work).await,
    }
}

fn show(keys: &[KeyView], work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let now = work.issuer.now();
    let lines: Vec<KeyLine<'_>> = keys.iter().map(line).collect();
    work.out.show(&lines, |lines| {
        let next = |line: &KeyLine<'_>| match (line.next_step, line.next_step_at) {
            (Some(step), Some(at)) => format!("{step} {} ({})", relative(at, now), utc(at)),
            _ => String::new(),
        };
        table(
            ["KID", "ALG", "PURPOSE", "STATE", "NEXT STEP"],
            lines.iter().map(|line| {
                let words = [line.alg, line.purpose, line.state].map(str::to_owned);
                let [alg, purpose, state] = words;
                [line.kid.to_string(), alg, purpose, state, next(line)]
            }),
        )
    })
}

fn line(key: &KeyView) -> KeyLine<'_> {
    KeyLine {
        kid: &key.kid,
        alg: key.algorithm.as_str(),
        purpose: key.purpose.as_str(),
        state: key.state,
        published_at: key.published_at,
        next_step: key.next_step.map(|(step, _)| step),
        next_step_at: key.next_step.map(|(_, at)| at),
    }
}

async fn rotate(args: &RotateArgs, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let lines = args.lines(work.issuer)?;
    if args.care.dry_run && args.now && !args.force {
        check_caches(&lines, work.issuer).await?;
    }
    if (args.now || args.care.dry_run) && !work.may(args.care, &args.deed(&lines, work.issuer))? {
        return Ok(());
    }
    let urgency = if args.now {
        Urgency::Now { force: args.force }
    } else {
        Urgency::Planned
    };
    let steps = work.issuer.rotate_keys(&lines, urgency, &work.actor).await?;
    if steps == 0 {
        work.out
            .note("nothing changed: the next keys sign as soon already");
    }
    show(&keys_of(&lines, work.issuer).await?, work)
}

impl RotateArgs {
    fn lines(&self, issuer: &Issuer) -> Result<Vec<Line>, Failure> {
        match (self.purpose, self.algorithm) {
            (Purpose::Signing, None) => Ok(issuer.signing_lines()),
            (Purpose::Signing, Some(algorithm)) => Ok(vec![(algorithm, Purpose::Signing)]),
            (purpose, None | Some(KeyAlgorithm::Hs256)) => Ok(vec![(KeyAlgorithm::Hs256, purpose)]),
            (purpose, Some(algorithm)) => Err(Failure::usage(format!(
                "no {algorithm} key serves as {purpose}; leave --algorithm out"
            ))),
        }
    }

    fn deed(&self, lines: &[Line], issuer: &Issuer) -> String {
        let names: Vec<String> = lines
            .iter()
            .map(|(algorithm, purpose)| format!("{algorithm} {purpose}"))
            .collect();
        let names = names.join(", ");
        if self.now {
            format!(
                "sign with the next key of {names} from {} on",
                span(issuer.config().key_policy.now_delay)
            )
        } else {
            format!("sign with the next key of {names} once it has been published long enough")
        }
    }
}

async fn keys_of(lines: &[Line], issuer: &Issuer) -> Result<Vec<KeyView>, Failure> {
    let mut keys = issuer.list_keys().await?;
    keys.retain(|key| lines.contains(&(key.algorithm, key.purpose)));
    Ok(keys)
}

/// Refuses in a dry run what the rotation itself would refuse.
async fn check_caches(lines: &[Line], issuer: &Issuer) -> Result<(), Failure> {
    let policy = &issuer.config().key_policy;
    let cached = policy.jwks_max_age.saturating_add(policy.cache_margin);
    let now = issuer.now();
    let keys = keys_of(lines, issuer).await?;
    let fresh = keys.iter().find(|key| {
        key.state == "next" && key.purpose == Purpose::Signing && key.published_at.plus(cached) > now
    });
    match fresh {
        None => Ok(()),
        Some(key) => Err(Failure::refused(format!(
            "a key set without the next {} key may be cached for {} more; --force overrides",
            key.algorithm,
            span(key.published_at.plus(cached).since(now))
        ))),
    }
}

async fn revoke(kid: &Kid, care: Care, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let keys = work.issuer.list_keys().await?;
    let key = keys.iter().find(|key| key.kid == *kid);
    let key = key.ok_or_else(|| Failure::not_found(format!("there is no key {kid}")))?;
    let consequence = match key.purpose {
        Purpose::Signing => "no token that it signed is accepted any more",
        Purpose::RefreshMac => "every session under it ends",
        Purpose::SecretHash => "every client secret under it stops working",
    };
    if !work.may(
        care,
        &format!(
            "revoke the {} key {kid} ({}): {consequence}",
            key.algorithm, key.purpose
        ),
    )? {
        return Ok(());
    }
    let ended = work.issuer.revoke_key(kid, &work.actor).await?;
    let told = json!({ "kid": kid, "state": "compromised", "ended_sessions": ended });
    work.out.show(&told, |_| {
        format!("key {kid} is revoked; {ended} sessions ended\n")
    })
}

async fn rewrap(file: &Path, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let text = input::secret(file)?;
    let new = MasterKey::parse(text.expose());
    let new = new.map_err(|error| Failure::usage(format!("{}: {error}", input::shown(file))))?;
    let sealed = work.issuer.rewrap_keys(&new, &work.actor).await?;
    let told = json!({ "keys": sealed, "master_key": new.id() });
    work.out.show(&told, |_| {
        format!("{sealed} keys are sealed under master key {}\n", new.id())
    })?;
    work.out
        .note("configure the new master key now, and restart what serves with the old one");
    Ok(())
}
