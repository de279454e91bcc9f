//! The rules that hold between the properties of a client.

use std::collections::BTreeSet;

use url::Url;
use vouchsafe_protocol::{ClientAuthMethod, GrantType, redirect_uri};
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
    pub(crate) fn check_client(&self, client: &Client) -> Result<(), AdminError> {
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
        let chosen = [client.signing_algorithm, client.id_token_algorithm];
        let kept = &self.config.key_policy.algorithms;
        if chosen.iter().flatten().any(|algorithm| !kept.contains(algorithm)) {
            return Err(AdminError::invalid("no key signs with this algorithm here"));
        }
        check_face(client)?;
        check_sector(client)?;
        let callbacks = client
            .redirect_uris
            .iter()
            .chain(&client.post_logout_redirect_uris);
        callbacks
            .chain(&client.backchannel_logout_uri)
            .try_for_each(|uri| check_callback(uri, client.application_type))
    }
}

/// What a client shows of itself: pages and pictures over TLS, and a colour.
fn check_face(client: &Client) -> Result<(), AdminError> {
    let addresses = [
        ("client_uri", &client.client_uri),
        ("logo_uri", &client.logo_uri),
        ("policy_uri", &client.policy_uri),
        ("tos_uri", &client.tos_uri),
    ];
    for (name, address) in addresses {
        let good = |address: &String| address.starts_with("https://") && redirect_uri::is_plain(address);
        if address.as_ref().is_some_and(|address| !good(address)) {
            return Err(AdminError::invalid(format!("{name} is no https address")));
        }
    }
    let is_color = |color: &String| {
        let digits = color.strip_prefix('#').unwrap_or_default();
        digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if client.brand_color.as_ref().is_some_and(|color| !is_color(color)) {
        return Err(AdminError::invalid("a colour is written as #rrggbb"));
    }
    if client.pkce_optional && client.auth_method == ClientAuthMethod::None {
        return Err(AdminError::invalid(
            "a public client always needs PKCE (RFC 9700 2.1.1)",
        ));
    }
    Ok(())
}

/// What the names of people at a pairwise client are shared by must be one.
fn check_sector(client: &Client) -> Result<(), AdminError> {
    if client.pairwise && client.sector_identifier.is_none() && has_several_hosts(client) {
        return Err(AdminError::invalid(
            "a client with pairwise subjects has redirect URIs of one host (OpenID Connect Core 8.1)",
        ));
    }
    Ok(())
}

/// Whether the redirect URIs of a client lead to more than one place.
pub(crate) fn has_several_hosts(client: &Client) -> bool {
    let uris = client.redirect_uris.iter();
    let hosts: BTreeSet<Option<String>> = uris.map(|uri| redirect_uri::host_of(uri)).collect();
    hosts.len() > 1
}

/// A redirect target: https, http on a loopback host, or for native applications a scheme with a dot (RFC 8252 7.1).
pub(crate) fn check_callback(uri: &str, application_type: ApplicationType) -> Result<(), AdminError> {
    let bad = |why: &str| Err(AdminError::invalid(format!("redirect target {uri:?}: {why}")));
    if !redirect_uri::is_plain(uri) {
        return bad("not an absolute URI in plain characters");
    }
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
