//! The file that says what clients, resources and roles there are to be, and the checks that need nothing else.

use std::collections::BTreeSet;

use serde::Deserialize;
use vouchsafe_protocol::{
    ClientAuthMethod, ClientId, GrantType, ResourceUri, RoleName, ScopeSet, SigningAlgorithm,
};
use vouchsafe_store::{ApplicationType, Rotation};

use super::AdminError;
use super::client::ClientDraft;

/// What a file wants.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Desired {
    /// `[[client]]`.
    pub client: Vec<DesiredClient>,
    /// `[[resource]]`.
    pub resource: Vec<DesiredResource>,
    /// `[[role]]`.
    pub role: Vec<DesiredRole>,
}

/// One client; members carry the names of RFC 7591 and OpenID Connect.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesiredClient {
    pub(super) client_id: ClientId,
    client_name: Option<String>,
    token_endpoint_auth_method: Option<ClientAuthMethod>,
    application_type: Option<String>,
    grant_types: Option<Vec<GrantType>>,
    scope: Option<ScopeSet>,
    resources: Option<Vec<ResourceUri>>,
    redirect_uris: Option<Vec<String>>,
    post_logout_redirect_uris: Option<Vec<String>>,
    backchannel_logout_uri: Option<String>,
    pub(super) access_token_signed_response_alg: Option<SigningAlgorithm>,
    id_token_signed_response_alg: Option<SigningAlgorithm>,
    subject_type: Option<String>,
    pkce_optional: Option<bool>,
    skip_consent: Option<bool>,
    client_uri: Option<String>,
    logo_uri: Option<String>,
    policy_uri: Option<String>,
    tos_uri: Option<String>,
    brand_color: Option<String>,
    pub(super) access_ttl: Option<i64>,
    refresh_idle_ttl: Option<i64>,
    refresh_absolute_ttl: Option<i64>,
    refresh_rotation: Option<String>,
}

/// One resource.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesiredResource {
    pub(super) uri: ResourceUri,
    #[serde(default)]
    pub(super) scope: ScopeSet,
    #[serde(default)]
    pub(super) by_role: bool,
    #[serde(default)]
    pub(super) closed: bool,
    pub(super) server: Option<ClientId>,
    pub(super) access_token_signed_response_alg: Option<SigningAlgorithm>,
    pub(super) access_ttl: Option<i64>,
}

/// One role.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesiredRole {
    pub(super) name: RoleName,
    #[serde(default)]
    pub(super) permissions: ScopeSet,
    #[serde(default)]
    pub(super) includes: Vec<RoleName>,
}

impl DesiredClient {
    pub(super) fn draft(&self) -> Result<ClientDraft, AdminError> {
        let application_type: Option<ApplicationType> = self
            .application_type
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(AdminError::Invalid)?;
        let rotation: Option<Rotation> = self
            .refresh_rotation
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(AdminError::Invalid)?;
        Ok(ClientDraft {
            name: self.client_name.clone(),
            auth_method: self.token_endpoint_auth_method,
            application_type,
            grants: self.grant_types.clone(),
            scope: self.scope.clone(),
            resources: self.resources.clone(),
            redirect_uris: self.redirect_uris.clone(),
            post_logout_redirect_uris: self.post_logout_redirect_uris.clone(),
            backchannel_logout_uri: self.backchannel_logout_uri.clone(),
            signing_algorithm: self.access_token_signed_response_alg,
            id_token_algorithm: self.id_token_signed_response_alg,
            pairwise: self.subject_type.as_deref().map(pairwise).transpose()?,
            pkce_optional: self.pkce_optional,
            skip_consent: self.skip_consent,
            client_uri: self.client_uri.clone(),
            logo_uri: self.logo_uri.clone(),
            policy_uri: self.policy_uri.clone(),
            tos_uri: self.tos_uri.clone(),
            brand_color: self.brand_color.clone(),
            access_ttl: self.access_ttl,
            refresh_idle_ttl: self.refresh_idle_ttl,
            refresh_absolute_ttl: self.refresh_absolute_ttl,
            rotation,
            disabled: None,
        })
    }
}

/// OpenID Connect Core 8.
fn pairwise(subject_type: &str) -> Result<bool, AdminError> {
    match subject_type {
        "public" => Ok(false),
        "pairwise" => Ok(true),
        _ => Err(AdminError::invalid("subject_type is public or pairwise")),
    }
}

/// Roles with every included one before it, where the file names both.
pub(super) fn in_order(roles: &[DesiredRole]) -> Result<Vec<&DesiredRole>, AdminError> {
    let mut waiting: Vec<&DesiredRole> = roles.iter().collect();
    let mut ordered = Vec::with_capacity(roles.len());
    while !waiting.is_empty() {
        let (ready, later): (Vec<_>, Vec<_>) = waiting
            .iter()
            .copied()
            .partition(|role| !waiting.iter().any(|other| role.includes.contains(&other.name)));
        if ready.is_empty() {
            return Err(AdminError::invalid(
                "the roles of the file include each other in a circle",
            ));
        }
        ordered.extend(ready);
        waiting = later;
    }
    Ok(ordered)
}

/// Refuses a file that names one thing twice.
pub(super) fn check_names(desired: &Desired) -> Result<(), AdminError> {
    let mut seen = BTreeSet::new();
    let clients = desired
        .client
        .iter()
        .map(|client| ("client", client.client_id.as_str()));
    let resources = desired
        .resource
        .iter()
        .map(|resource| ("resource", resource.uri.as_str()));
    let roles = desired.role.iter().map(|role| ("role", role.name.as_str()));
    for (kind, name) in clients.chain(resources).chain(roles) {
        if !seen.insert((kind, name)) {
            return Err(AdminError::invalid(format!("the file names {kind} {name} twice")));
        }
    }
    Ok(())
}
