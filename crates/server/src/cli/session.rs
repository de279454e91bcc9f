//! `vouchsafe session`: the refresh-token families of people, listed and ended.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use vouchsafe_issuer::{Family, FamilySummary, SessionQuery};
use vouchsafe_protocol::{ClientId, FamilyId, ScopeSet, Subject, Timestamp};

use super::failure::Failure;
use super::flags::Care;
use super::output::table;
use super::time::{relative, utc};
use super::work::{EVERYTHING, Work};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List live sessions, the newest first
    List(ListArgs),
    /// End a session, or every session of a user or client, with the access tokens issued so far
    Revoke(RevokeArgs),
}

/// Which sessions are listed.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those of this person, by name or subject
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only those of this client
    #[arg(long, value_name = "ID")]
    client: Option<ClientId>,
    /// Also those that ended
    #[arg(long)]
    all: bool,
}

/// Which sessions end.
#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    care: Care,
}

/// One of three ways to name sessions.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// This session
    #[arg(allow_hyphen_values = true)]
    sid: Option<FamilyId>,
    /// Every session of this person, by name or subject
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Every session of this client
    #[arg(long, value_name = "ID")]
    client: Option<ClientId>,
}

/// One session, as it is printed.
#[derive(Serialize)]
struct SessionView<'a> {
    sid: &'a FamilyId,
    client_id: &'a ClientId,
    sub: &'a Subject,
    username: Option<&'a str>,
    scope: &'a ScopeSet,
    created_at: Timestamp,
    last_used_at: Timestamp,
    expires_at: Timestamp,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke_reason: Option<&'static str>,
}

pub(super) async fn run(verb: Verb, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    match verb {
        Verb::List(args) => list(args, work).await,
        Verb::Revoke(RevokeArgs {
            which: Which { sid: Some(sid), .. },
            care,
        }) => revoke_one(&sid, care, work).await,
        Verb::Revoke(RevokeArgs { which, care }) => revoke_many(which, care, work).await,
    }
}

async fn list(args: ListArgs, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let query = SessionQuery {
        user: args.user,
        client_id: args.client,
        ended_too: args.all,
    };
    let sessions = work.issuer.list_sessions(&query, EVERYTHING).await?;
    let now = work.issuer.now();
    let views: Vec<SessionView<'_>> = sessions.iter().map(|session| view(session, now)).collect();
    work.out.show(&views, |views| {
        table(
            ["SID", "USER", "CLIENT", "SCOPE", "STATE", "USED", "EXPIRES"],
            views.iter().map(|session| {
                [
                    session.sid.to_string(),
                    session.username.unwrap_or(session.sub.as_str()).to_owned(),
                    session.client_id.to_string(),
                    session.scope.to_string(),
                    session.revoke_reason.unwrap_or(session.state).to_owned(),
                    relative(session.last_used_at, now),
                    utc(session.expires_at),
                ]
            }),
        )
    })
}

async fn revoke_one(sid: &FamilyId, care: Care, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let family = work
        .issuer
        .store()
        .family(sid)
        .await?
        .filter(|family| family.ended.is_none());
    let family = family.ok_or_else(|| Failure::not_found(format!("there is no live session {sid}")))?;
    let what = format!(
        "end session {sid} of {} at client {}",
        family.subject, family.client_id
    );
    if !work.may(care, &what)? {
        return Ok(());
    }
    work.issuer.revoke_session(sid, &work.actor).await?;
    work.out.show(&json!({ "revoked": 1, "sid": sid }), |_| {
        format!("session {sid} is ended\n")
    })
}

async fn revoke_many(which: Which, care: Care, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let whose = match (&which.user, &which.client) {
        (Some(user), _) => {
            work.issuer.show_user(user).await?;
            format!("user {user}")
        }
        (None, Some(client)) => {
            work.issuer.show_client(client).await?;
            format!("client {client}")
        }
        (None, None) => return Err(Failure::usage("name a session, --user NAME or --client ID")),
    };
    let query = SessionQuery {
        user: which.user.clone(),
        client_id: which.client.clone(),
        ended_too: false,
    };
    let live = work.issuer.list_sessions(&query, EVERYTHING).await?.len();
    let what = format!("end {live} live sessions of {whose} and every access token issued so far");
    if !work.may(care, &what)? {
        return Ok(());
    }
    let ended = match (&which.user, &which.client) {
        (Some(user), _) => work.issuer.revoke_sessions_of_user(user, &work.actor).await?,
        (None, Some(client)) => work.issuer.revoke_sessions_of_client(client, &work.actor).await?,
        (None, None) => 0,
    };
    work.out.show(&json!({ "revoked": ended }), |_| {
        format!("{ended} sessions of {whose} are ended\n")
    })
}

fn view(session: &FamilySummary, now: Timestamp) -> SessionView<'_> {
    let family = &session.family;
    SessionView {
        sid: &family.id,
        client_id: &family.client_id,
        sub: &family.subject,
        username: session.username.as_deref(),
        scope: &family.scope,
        created_at: family.created_at,
        last_used_at: session.last_used_at,
        expires_at: expires_at(family),
        state: state(family, now),
        revoke_reason: family.ended.map(|ended| ended.reason.as_str()),
    }
}

fn expires_at(family: &Family) -> Timestamp {
    family.ends_at()
}

fn state(family: &Family, now: Timestamp) -> &'static str {
    match family.ended {
        Some(_) => "revoked",
        None if now >= expires_at(family) => "expired",
        None => "active",
    }
}
