//! `vouchsafe token`: inspect, revoke. The token comes from a file or standard input, never from the command line.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use vouchsafe_protocol::Timestamp;

use super::failure::Failure;
use super::flags::Care;
use super::input;
use super::output::record;
use super::time::utc;
use super::work::Work;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Say what a token of this issuer holds and how it stands
    Inspect {
        /// The file that holds it; `-` is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// End a token: an access token itself, a refresh token its whole session
    Revoke {
        /// The file that holds it; `-` is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
        #[command(flatten)]
        care: Care,
    },
}

pub(super) async fn run(verb: Verb, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    match verb {
        Verb::Inspect { file } => inspect(&file, work).await,
        Verb::Revoke { file, care } => revoke(&file, care, work).await,
    }
}

async fn inspect(file: &Path, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let token = input::token(file)?;
    let report = work.issuer.inspect_token(&token).await?;
    let told = json!({ "active": report.active, "kind": report.kind, "state": report.state, "claims": report.claims });
    work.out.show(&told, |_| {
        let mut lines = vec![("kind", report.kind.to_owned()), ("state", report.state.clone())];
        if let Some(claims) = report.claims.as_object() {
            lines.extend(
                claims
                    .iter()
                    .map(|(name, value)| (name.as_str(), claim(name, value))),
            );
        }
        record(lines)
    })
}

async fn revoke(file: &Path, care: Care, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let token = input::token(file)?;
    let report = work.issuer.inspect_token(&token).await?;
    let what = match report.kind {
        "refresh_token" => "end the session of this refresh token, and its access tokens",
        "access_token" => "end this access token",
        _ => return Err(Failure::not_found("this is no token of this issuer")),
    };
    if !work.may(care, what)? {
        return Ok(());
    }
    let kind = work.issuer.revoke_token(&token, &work.actor).await?;
    work.out
        .show(&json!({ "revoked": true, "kind": kind }), |_| match kind {
            "refresh_token" => "the session is ended\n".to_owned(),
            _ => "the access token is ended\n".to_owned(),
        })
}

/// A claim as people read it: instants in UTC, texts without quotes.
fn claim(name: &str, value: &Value) -> String {
    match (name, value) {
        ("iat" | "exp" | "auth_time", Value::Number(seconds)) => seconds.as_i64().map_or_else(
            || seconds.to_string(),
            |seconds| utc(Timestamp::from_unix(seconds)),
        ),
        (_, Value::String(text)) => text.clone(),
        (_, other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_shown_for_people() {
        assert_eq!(claim("exp", &json!(0)), "1970-01-01 00:00:00Z");
        assert_eq!(claim("seq", &json!(7)), "7");
        assert_eq!(claim("scope", &json!("a b")), "a b");
        assert_eq!(claim("aud", &json!(["a", "b"])), r#"["a","b"]"#);
    }
}
