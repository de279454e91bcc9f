//! `vouchsafe user`: create, list, show, lock, unlock, set a password, set roles, delete.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, json};
use vouchsafe_issuer::{Profile, User, UserDraft};
use vouchsafe_protocol::{RoleName, Subject, Timestamp};

use super::failure::Failure;
use super::flags::Care;
use super::input;
use super::output::{record, table};
use super::profile::{self, ProfileArgs};
use super::role::names;
use super::time::{utc, utc_or_empty};
use super::work::{EVERYTHING, Work};

const EXAMPLES: &str = "Examples:
  vouchsafe user create alice --email alice@example.org --role editor --password-file alice.password
  pwgen -s 20 1 | tee /dev/tty | vouchsafe user create bob --password-file -";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make an account
    #[command(after_help = EXAMPLES)]
    Create(CreateArgs),
    /// List every account
    List,
    /// Show an account
    Show {
        /// Their name, or their subject
        name: String,
    },
    /// Lock a person out and end all they were granted
    Lock {
        /// Their name, or their subject
        name: String,
    },
    /// Let a person in again
    Unlock {
        /// Their name, or their subject
        name: String,
    },
    /// Set a new password and end everything granted under the old one
    SetPassword {
        /// Their name, or their subject
        name: String,
        /// The password, 8 bytes or more; `-` is standard input
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// Say more of a person, for whom apps are told it; what is not said stays
    SetProfile(Box<ProfileArgs>),
    /// Replace a person's roles; the next token knows them
    SetRoles {
        /// Their name, or their subject
        name: String,
        /// A role they shall have; repeat it, or leave it out to take all away
        #[arg(long)]
        role: Vec<RoleName>,
    },
    /// Delete an account and end all it was granted
    Delete {
        /// Their name, or their subject
        name: String,
        #[command(flatten)]
        care: Care,
    },
}

/// An account to be made.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Their name
    name: String,
    /// Where mail reaches them
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// A role they have; repeat it
    #[arg(long)]
    role: Vec<RoleName>,
    /// Their password, 8 bytes or more; `-` is standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// One account, as it is printed.
#[derive(Serialize)]
struct UserView<'a> {
    sub: &'a Subject,
    username: &'a str,
    email: Option<&'a str>,
    email_verified: bool,
    #[serde(skip_serializing_if = "Map::is_empty")]
    profile: &'a Profile,
    roles: &'a [RoleName],
    locked: bool,
    has_password: bool,
    created_at: Timestamp,
}

pub(super) async fn run(verb: Verb, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    match verb {
        Verb::Create(args) => create(args, work).await,
        Verb::List => list(work).await,
        Verb::Show { name } => show(&name, work).await,
        Verb::Lock { name } => set_locked(&name, true, work).await,
        Verb::Unlock { name } => set_locked(&name, false, work).await,
        Verb::SetPassword { name, password_file } => {
            let password = input::secret(&password_file)?;
            work.issuer
                .set_user_password(&name, &password, &work.actor)
                .await?;
            show(&name, work).await
        }
        Verb::SetProfile(args) => {
            let user = profile::set(*args, work).await?;
            show_one(&user, work)
        }
        Verb::SetRoles { name, role } => {
            let user = work.issuer.set_user_roles(&name, &role, &work.actor).await?;
            show_one(&user, work)
        }
        Verb::Delete { name, care } => delete(&name, care, work).await,
    }
}

async fn create(args: CreateArgs, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let draft = UserDraft {
        username: args.name,
        email: args.email,
        password: args.password_file.as_deref().map(input::secret).transpose()?,
        roles: args.role,
    };
    let user = work.issuer.create_user(&draft, &work.actor).await?;
    show_one(&user, work)
}

async fn list(work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let users = work.issuer.list_users("", EVERYTHING).await?;
    let views: Vec<UserView<'_>> = users.iter().map(view).collect();
    work.out.show(&views, |views| {
        table(
            ["NAME", "SUBJECT", "EMAIL", "ROLES", "STATE", "CREATED"],
            views.iter().map(|user| {
                [
                    user.username.to_owned(),
                    user.sub.to_string(),
                    user.email.unwrap_or_default().to_owned(),
                    names(user.roles),
                    user.state().to_owned(),
                    utc(user.created_at),
                ]
            }),
        )
    })
}

async fn show(name: &str, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let user = work.issuer.show_user(name).await?;
    show_one(&user, work)
}

async fn set_locked(name: &str, locked: bool, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    work.issuer.set_user_locked(name, locked, &work.actor).await?;
    show(name, work).await
}

async fn delete(name: &str, care: Care, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let user = work.issuer.show_user(name).await?;
    let username = &user.username;
    if !work.may(
        care,
        &format!("delete user {username} and end all they were granted"),
    )? {
        return Ok(());
    }
    work.issuer
        .delete_user(user.subject.as_str(), &work.actor)
        .await?;
    let told = json!({ "deleted": true, "sub": user.subject, "username": username });
    work.out.show(&told, |_| format!("user {username} is deleted\n"))
}

fn show_one(user: &User, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    work.out.show(&view(user), |view| {
        record([
            ("name", view.username.to_owned()),
            ("subject", view.sub.to_string()),
            ("email", view.email.unwrap_or_default().to_owned()),
            ("profile", said(view.profile)),
            ("roles", names(view.roles)),
            ("state", view.state().to_owned()),
            ("locked", utc_or_empty(user.locked_at)),
            ("created", utc(view.created_at)),
        ])
    })
}

fn said(profile: &Profile) -> String {
    let said = |(claim, value): (&String, &serde_json::Value)| match value.as_str() {
        Some(text) => format!("{claim}: {text}"),
        None => format!("{claim}: {value}"),
    };
    profile.iter().map(said).collect::<Vec<_>>().join(", ")
}

fn view(user: &User) -> UserView<'_> {
    UserView {
        sub: &user.subject,
        username: &user.username,
        email: user.email.as_deref(),
        email_verified: user.email_verified,
        profile: &user.profile,
        roles: &user.roles,
        locked: user.locked_at.is_some(),
        has_password: user.has_password,
        created_at: user.created_at,
    }
}

impl UserView<'_> {
    fn state(&self) -> &'static str {
        match (self.locked, self.has_password) {
            (true, _) => "locked",
            (false, true) => "open",
            (false, false) => "no password",
        }
    }
}
