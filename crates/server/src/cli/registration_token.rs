//! `vouchsafe client registration-token`: lets one client register itself.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::flags::Seconds;
use super::output::record;
use super::secret_file::SecretFile;
use super::work::Work;

/// A token to be made.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// How long it may be used, such as 1h
    #[arg(long, value_name = "TIME", default_value = "7d")]
    ttl: Seconds,
    /// What it is for
    #[arg(long)]
    note: Option<String>,
    /// Write it into this new file of mode 0600 instead of showing it
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

pub(super) async fn create(args: TokenArgs, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let file = args.secret_file.as_deref().map(SecretFile::create).transpose()?;
    let seconds = u64::try_from(args.ttl.0).unwrap_or(0);
    let token = work
        .issuer
        .create_registration_token(args.note.as_deref(), Duration::from_secs(seconds), &work.actor)
        .await?;
    if let Some(file) = file {
        file.keep(&token)?;
        return work.out.show(&json!({ "expires_in": seconds }), |_| {
            format!("a token for one registration is kept, for {seconds} s\n")
        });
    }
    let told = json!({ "initial_access_token": token.expose(), "expires_in": seconds });
    work.out.show(&told, |_| {
        record([
            ("initial access token", token.expose().to_owned()),
            ("ends in", format!("{seconds} s")),
        ])
    })?;
    work.out.note("the token is not shown again");
    Ok(())
}
