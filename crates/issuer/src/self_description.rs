//! What a client says of itself, made into a client: it gets what a stranger may have, whatever else it asked for, and
//! what only an operator gives stays as it is.

use std::collections::BTreeSet;

use url::Url;
use vouchsafe_protocol::{
    ClientMetadata, ErrorCode, GrantType, OFFLINE_ACCESS, OPENID, Reason, ResourceUri, ScopeSet, ScopeToken,
    redirect_uri,
};
use vouchsafe_store::{ApplicationType, Client};

use crate::admin::client_rules::check_callback;
use crate::{AdminError, Error, Issuer, OutboundError};

/// The grants that a stranger may use: each needs a person.
const GRANTS: [GrantType; 3] = [
    GrantType::AuthorizationCode,
    GrantType::RefreshToken,
    GrantType::DeviceCode,
];
/// Without a word of its own, a client keeps people signed in, whether or not it knows `offline_access`.
const DEFAULT_GRANTS: [GrantType; 2] = [GrantType::AuthorizationCode, GrantType::RefreshToken];
const OIDC_SCOPES: [&str; 6] = [OPENID, "profile", "email", "address", "phone", OFFLINE_ACCESS];

/// A description that is refused, for a reason that has no code of its own.
pub(crate) fn bad_metadata(reason: Reason) -> Error {
    Error::refused(ErrorCode::InvalidClientMetadata, reason)
}

fn bad_redirect(reason: Reason) -> Error {
    Error::refused(ErrorCode::InvalidRedirectUri, reason)
}

impl Issuer {
    /// The audiences that a client which no operator made may ask for.
    pub(crate) fn open_resources(&self) -> Vec<ResourceUri> {
        let catalog = self.catalog.load();
        let open = catalog.resources().filter(|resource| !resource.closed);
        let mut uris: Vec<ResourceUri> = open.map(|resource| resource.uri.clone()).collect();
        uris.sort();
        uris
    }

    /// Lays what a client says of itself over `client`; what is not said takes its default (RFC 7591 2, RFC 7592 2.2).
    /// Its way to authenticate and its audiences are settled before.
    pub(crate) async fn described(&self, client: Client, said: &ClientMetadata) -> Result<Client, Error> {
        let mut client = Client {
            name: said.client_name.clone(),
            client_uri: said.client_uri.clone(),
            logo_uri: said.logo_uri.clone(),
            policy_uri: said.policy_uri.clone(),
            tos_uri: said.tos_uri.clone(),
            application_type: application_type(said),
            grants: grants(said)?,
            scope: self.scope_at(&client.resources, said.scope.as_ref()),
            redirect_uris: said.redirect_uris.clone(),
            post_logout_redirect_uris: said.post_logout_redirect_uris.clone(),
            backchannel_logout_uri: said.backchannel_logout_uri.clone(),
            id_token_algorithm: said.id_token_signed_response_alg,
            pairwise: said.pairwise,
            ..client
        };
        check_redirects(&client)?;
        self.check_client(&client).map_err(|error| match error {
            AdminError::Failed(error) => error,
            _ => bad_metadata(Reason::InvalidParameter),
        })?;
        let signs = &self.config.key_policy.algorithms;
        if client
            .id_token_algorithm
            .is_some_and(|algorithm| !signs.contains(&algorithm))
        {
            return Err(bad_metadata(Reason::InvalidParameter));
        }
        self.check_backchannel(&client).await?;
        client.sector_identifier = self.sector_of(said).await?;
        Ok(client)
    }

    /// The scopes at these audiences, of those asked for; nothing asked means as many as a client may hold.
    fn scope_at(&self, resources: &[ResourceUri], asked: Option<&ScopeSet>) -> ScopeSet {
        let catalog = self.catalog.load();
        let of_oidc = OIDC_SCOPES
            .iter()
            .filter_map(|scope| ScopeToken::parse(scope).ok());
        let known = resources.iter().filter_map(|uri| catalog.resource(uri.as_str()));
        let of_resources = known.flat_map(|resource| resource.scope.iter().cloned());
        let offered = of_oidc.chain(of_resources);
        if let Some(asked) = asked {
            return offered.filter(|token| asked.contains(token.as_str())).collect();
        }
        let mut held = ScopeSet::empty();
        for token in offered {
            let mut more = held.clone();
            more.insert(token);
            if !more.is_within_limits() {
                break;
            }
            held = more;
        }
        held
    }

    /// What is told of a sign-out leads nowhere inside; it is judged again when it is sent.
    async fn check_backchannel(&self, client: &Client) -> Result<(), Error> {
        let Some(uri) = &client.backchannel_logout_uri else {
            return Ok(());
        };
        let refused = || bad_metadata(Reason::InvalidParameter);
        let url = Url::parse(uri).map_err(|_| refused())?;
        match self.outbound.judge(&url).await {
            Err(OutboundError::Refused(_)) => Err(refused()),
            // A name that nobody knows yet may be known when it is needed.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What the names of people at a pairwise client are shared by (OpenID Connect Core 8.1); none where the one host of
    /// its redirect URIs is it.
    async fn sector_of(&self, said: &ClientMetadata) -> Result<Option<String>, Error> {
        let refused = || bad_metadata(Reason::InvalidParameter);
        if !said.pairwise {
            return Ok(None);
        }
        let Some(uri) = &said.sector_identifier_uri else {
            let hosts: BTreeSet<_> = said
                .redirect_uris
                .iter()
                .map(|uri| redirect_uri::host_of(uri))
                .collect();
            let one = hosts.len() == 1 && !hosts.contains(&None);
            return if one { Ok(None) } else { Err(refused()) };
        };
        let url = Url::parse(uri).map_err(|_| refused())?;
        let fetched = self.stranger_document(&url).await?.ok_or_else(refused)?;
        // OpenID Connect Registration 5.
        let listed: BTreeSet<String> = serde_json::from_slice(&fetched.body).map_err(|_| refused())?;
        if said.redirect_uris.iter().all(|uri| listed.contains(uri)) {
            redirect_uri::host_of(uri).map(Some).ok_or_else(refused)
        } else {
            Err(refused())
        }
    }
}

/// Its word; without one, whoever is sent back to a machine or an application of the person is native.
fn application_type(said: &ClientMetadata) -> ApplicationType {
    let elsewhere = |uri: &String| !uri.starts_with("https://");
    let native = said
        .native
        .unwrap_or_else(|| said.redirect_uris.iter().any(elsewhere));
    if native {
        ApplicationType::Native
    } else {
        ApplicationType::Web
    }
}

/// Those asked for that a stranger may use; refused when none is left.
fn grants(said: &ClientMetadata) -> Result<Vec<GrantType>, Error> {
    let Some(asked) = &said.grant_types else {
        return Ok(DEFAULT_GRANTS.to_vec());
    };
    let allowed: Vec<GrantType> = GRANTS.into_iter().filter(|grant| asked.contains(grant)).collect();
    if allowed.is_empty() {
        return Err(bad_metadata(Reason::GrantNotAllowed));
    }
    Ok(allowed)
}

fn check_redirects(client: &Client) -> Result<(), Error> {
    if client.grants.contains(&GrantType::AuthorizationCode) && client.redirect_uris.is_empty() {
        return Err(bad_redirect(Reason::MissingParameter));
    }
    client.redirect_uris.iter().try_for_each(|uri| {
        check_callback(uri, client.application_type).map_err(|_| bad_redirect(Reason::InvalidParameter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(json: &str) -> ClientMetadata {
        ClientMetadata::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn c04_a_stranger_gets_no_grant_without_a_person() {
        let of = |json: &str| grants(&said(json)).ok();
        assert_eq!(of("{}"), Some(DEFAULT_GRANTS.to_vec()));
        let mixed =
            r#"{"grant_types": ["client_credentials", "password", "refresh_token", "authorization_code"]}"#;
        assert_eq!(of(mixed), Some(DEFAULT_GRANTS.to_vec()));
        assert_eq!(of(r#"{"grant_types": ["client_credentials"]}"#), None);
        assert_eq!(of(r#"{"grant_types": ["password"]}"#), None);
    }

    #[test]
    fn cl16_who_is_sent_back_to_a_persons_machine_is_native_unless_it_says_otherwise() {
        for (json, expected) in [
            ("{}", ApplicationType::Web),
            (
                r#"{"redirect_uris": ["https://app.example/cb"]}"#,
                ApplicationType::Web,
            ),
            (
                r#"{"redirect_uris": ["http://localhost/cb"]}"#,
                ApplicationType::Native,
            ),
            (
                r#"{"redirect_uris": ["com.example.app:/cb"]}"#,
                ApplicationType::Native,
            ),
            (
                r#"{"redirect_uris": ["http://localhost/cb"], "application_type": "web"}"#,
                ApplicationType::Web,
            ),
            (r#"{"application_type": "native"}"#, ApplicationType::Native),
        ] {
            assert_eq!(application_type(&said(json)), expected, "{json}");
        }
    }
}
