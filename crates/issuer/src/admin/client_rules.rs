//! The rules that hold between the properties of a client.

use std::collections::BTreeSet;

use url::Url;
use vouchsafe_protocol::{ClientAuthMethod, GrantType};
use vouchsafe_store::{ApplicationType, Client, Rotation};

use super::AdminError;
use super::client::ClientDraft;
use crate::Issuer;

impl Issuer {
    /// What a draft names must exist; what a client has and was deleted since does not stand in its way.
    pub(super) fn check_resources(&self, draft: &ClientDraft) -> Result<(), AdminError> {
        let catalog = self.catalog.load();
        let mut named = draft.resources.iter().flatten();
        match named.find(|uri| catalog.resource(uri.as_str()).is_none()) {
            Some(unknown) => Err(AdminError::not_found("resource", unknown)),
            None => Ok(()),
        }
    }

    /// The rules that hold between the properties of a client.
    pub(super) fn check_client(&self, client: &Client) -> Result<(), AdminError> {
        let public = client.auth_method == ClientAuthMethod::None;
        if public && client.grants.contains(&GrantType::ClientCredentials) {
            return Err(AdminError::invalid(
                "client_credentials needs a client that authenticates (RFC 6749 4.4)",
            ));
        }
        if client.auth_method == ClientAuthMethod::ClientSecretBasic && client.id.as_str().contains(':') {
            return Err(AdminError::invalid(
                "an id with a colon cannot be sent by HTTP Basic (RFC 7617 2)",
            ));
        }
        if public && client.rotation == Rotation::Never {
            return Err(AdminError::invalid(
                "refresh tokens of a public client always rotate (RFC 9700 4.14.2)",
            ));
        }
        let grants: BTreeSet<GrantType> = client.grants.iter().copied().collect();
        if grants.len() != client.grants.len() || grants.is_empty() {
            return Err(AdminError::invalid("name each grant once, and at least one"));
        }
        if !client.scope.is_within_limits() {
            return Err(AdminError::invalid("a client may hold at most 100 scopes"));
        }
        for ttl in [
            client.access_ttl,
            client.refresh_idle_ttl,
            client.refresh_absolute_ttl,
        ]
        .into_iter()
        .flatten()
        {
            if ttl <= 0 {
                return Err(AdminError::invalid("a lifetime is at least one second"));
            }
        }
        let algorithm = client.signing_algorithm;
        if algorithm.is_some_and(|algorithm| !self.config.key_policy.algorithms.contains(&algorithm)) {
            return Err(AdminError::invalid("no key signs with this algorithm here"));
        }
        let callbacks = client
            .redirect_uris
            .iter()
            .chain(&client.post_logout_redirect_uris);
        callbacks
            .chain(&client.backchannel_logout_uri)
            .try_for_each(|uri| check_callback(uri, client.application_type))
    }
}

/// A redirect target: https, http on a loopback host, or for native applications a scheme with a dot (RFC 8252 7.1).
fn check_callback(uri: &str, application_type: ApplicationType) -> Result<(), AdminError> {
    let bad = |why: &str| Err(AdminError::invalid(format!("redirect target {uri:?}: {why}")));
    let Ok(url) = Url::parse(uri) else {
        return bad("not an absolute URI");
    };
    if url.fragment().is_some() {
        return bad("a fragment is not allowed (RFC 6749 3.1.2)");
    }
    if !url.username().is_empty() || url.password().is_some() || uri.contains('*') {
        return bad("credentials and wildcards are not allowed");
    }
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        "http" => bad("http is for loopback hosts only"),
        scheme if application_type == ApplicationType::Native && scheme.contains('.') => Ok(()),
        _ => bad("use https, http on loopback, or for a native application a scheme with a dot"),
    }
}
