//! `vouchsafe resource`: create, list, delete.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use vouchsafe_issuer::Resource;
use vouchsafe_protocol::{ClientId, ResourceUri, ScopeSet, SigningAlgorithm, Timestamp};

use super::failure::Failure;
use super::flags::{Care, Seconds, signing_algorithm, union};
use super::output::{record, table};
use super::time::{lifetime, utc};
use super::work::Work;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add an audience and the scopes it knows
    Create(CreateArgs),
    /// List every resource
    List,
    /// Remove a resource: no new token is for it
    Delete {
        /// Its URI
        uri: ResourceUri,
        #[command(flatten)]
        care: Care,
    },
}

/// A resource to be made.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Its URI, byte for byte as clients will send it
    uri: ResourceUri,
    /// Scopes it knows; repeat it, or separate them by spaces
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<ScopeSet>,
    /// Give people only the scopes that their roles permit
    #[arg(long)]
    by_role: bool,
    /// Keep it from self-registered clients
    #[arg(long)]
    closed: bool,
    /// The client that serves it, and so may introspect its tokens
    #[arg(long, value_name = "CLIENT_ID")]
    server: Option<ClientId>,
    /// Signs its access tokens
    #[arg(long, value_name = "ALG", value_parser = signing_algorithm())]
    access_token_signing_alg: Option<SigningAlgorithm>,
    /// Lifetime of its access tokens, such as 5m
    #[arg(long, value_name = "TIME")]
    access_ttl: Option<Seconds>,
}

/// One resource, as it is printed.
#[derive(Serialize)]
struct ResourceView<'a> {
    uri: &'a ResourceUri,
    scope: &'a ScopeSet,
    by_role: bool,
    closed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token_signed_response_alg: Option<SigningAlgorithm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_ttl: Option<i64>,
    created_at: Timestamp,
}

pub(super) async fn run(verb: Verb, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    match verb {
        Verb::Create(args) => create(args, work).await,
        Verb::List => list(work).await,
        Verb::Delete { uri, care } => delete(&uri, care, work).await,
    }
}

async fn create(args: CreateArgs, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let resource = Resource {
        uri: args.uri,
        scope: union(args.scope).unwrap_or_default(),
        by_role: args.by_role,
        closed: args.closed,
        server_client_id: args.server,
        signing_algorithm: args.access_token_signing_alg,
        access_ttl: args.access_ttl.map(|Seconds(seconds)| seconds),
        created_at: work.issuer.now(),
    };
    work.issuer.create_resource(&resource, &work.actor).await?;
    work.out.show(&view(&resource), |resource| {
        record([
            ("uri", resource.uri.to_string()),
            ("scope", resource.scope.to_string()),
            ("by role", word(resource.by_role, "yes")),
            ("closed", word(resource.closed, "yes")),
            (
                "server",
                resource.server.map(ToString::to_string).unwrap_or_default(),
            ),
            (
                "algorithm",
                resource
                    .access_token_signed_response_alg
                    .map(|alg| alg.to_string())
                    .unwrap_or_default(),
            ),
            ("access token", lifetime(resource.access_ttl)),
        ])
    })
}

async fn list(work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let resources = work.issuer.list_resources().await?;
    let views: Vec<ResourceView<'_>> = resources.iter().map(view).collect();
    work.out.show(&views, |views| {
        table(
            ["URI", "SCOPE", "BY ROLE", "CLOSED", "SERVER", "CREATED"],
            views.iter().map(|resource| {
                [
                    resource.uri.to_string(),
                    resource.scope.to_string(),
                    word(resource.by_role, "by role"),
                    word(resource.closed, "closed"),
                    resource.server.map(ToString::to_string).unwrap_or_default(),
                    utc(resource.created_at),
                ]
            }),
        )
    })
}

async fn delete(uri: &ResourceUri, care: Care, work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let known = work
        .issuer
        .list_resources()
        .await?
        .iter()
        .any(|resource| resource.uri == *uri);
    if !known {
        return Err(Failure::not_found(format!("there is no resource {uri}")));
    }
    if !work.may(
        care,
        &format!("delete resource {uri}: no new token would be for it"),
    )? {
        return Ok(());
    }
    work.issuer.delete_resource(uri, &work.actor).await?;
    work.out.show(&json!({ "deleted": true, "uri": uri }), |_| {
        format!("resource {uri} is deleted\n")
    })
}

fn view(resource: &Resource) -> ResourceView<'_> {
    ResourceView {
        uri: &resource.uri,
        scope: &resource.scope,
        by_role: resource.by_role,
        closed: resource.closed,
        server: resource.server_client_id.as_ref(),
        access_token_signed_response_alg: resource.signing_algorithm,
        access_ttl: resource.access_ttl,
        created_at: resource.created_at,
    }
}

fn word(flag: bool, word: &str) -> String {
    if flag { word.to_owned() } else { String::new() }
}
