//! `vouchsafe role`: create, list, delete.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use vouchsafe_issuer::Role;
use vouchsafe_protocol::{RoleName, ScopeSet, ScopeToken, Timestamp};

use super::failure::Failure;
use super::flags::{Care, union};
use super::output::{record, table};
use super::time::utc;
use super::work::Work;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add a role: what it permits, and the roles it includes
    Create(CreateArgs),
    /// List every role
    List,
    /// Remove a role and take it from everyone who had it
    Delete {
        /// Its name
        name: RoleName,
        #[command(flatten)]
        care: Care,
    },
}

/// A role to be made.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Its name
    name: RoleName,
    /// Scopes it permits; repeat it, or separate them by spaces
    #[arg(long, value_name = "SCOPE")]
    permission: Vec<ScopeSet>,
    /// A role whose permissions it has too; repeat it
    #[arg(long, value_name = "ROLE")]
    include: Vec<RoleName>,
}

/// One role, as it is printed.
#[derive(Serialize)]
struct RoleView<'a> {
    name: &'a RoleName,
    permissions: Vec<&'a ScopeToken>,
    includes: &'a [RoleName],
    created_at: Timestamp,
}

pub(super) async fn run(verb: Verb, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    match verb {
        Verb::Create(args) => create(args, work).await,
        Verb::List => list(work).await,
        Verb::Delete { name, care } => delete(&name, care, work).await,
    }
}

async fn create(args: CreateArgs, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let role = Role {
        name: args.name,
        permissions: union(args.permission).unwrap_or_default(),
        includes: args.include,
        created_at: work.issuer.now(),
    };
    work.issuer.create_role(&role, &work.actor).await?;
    work.out.show(&view(&role), |_| {
        record([
            ("name", role.name.to_string()),
            ("permissions", role.permissions.to_string()),
            ("includes", names(&role.includes)),
        ])
    })
}

async fn list(work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let roles = work.issuer.list_roles().await?;
    let views: Vec<RoleView<'_>> = roles.iter().map(view).collect();
    work.out.show(&views, |_| {
        table(
            ["NAME", "PERMISSIONS", "INCLUDES", "CREATED"],
            roles.iter().map(|role| {
                [
                    role.name.to_string(),
                    role.permissions.to_string(),
                    names(&role.includes),
                    utc(role.created_at),
                ]
            }),
        )
    })
}

async fn delete(name: &RoleName, care: Care, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let known = work
        .issuer
        .list_roles()
        .await?
        .iter()
        .any(|role| role.name == *name);
    if !known {
        return Err(Failure::not_found(format!("there is no role {name}")));
    }
    if !work.may(
        care,
        &format!("delete role {name} and take it from everyone who has it"),
    )? {
        return Ok(());
    }
    work.issuer.delete_role(name, &work.actor).await?;
    work.out.show(&json!({ "deleted": true, "name": name }), |_| {
        format!("role {name} is deleted\n")
    })
}

fn view(role: &Role) -> RoleView<'_> {
    RoleView {
        name: &role.name,
        permissions: role.permissions.iter().collect(),
        includes: &role.includes,
        created_at: role.created_at,
    }
}

/// Roles in one cell.
pub(super) fn names(roles: &[RoleName]) -> String {
    roles.iter().map(RoleName::as_str).collect::<Vec<_>>().join(" ")
}
