//! What a client says of itself, made into a client: it gets what a stranger may have, whatever else it asked for, and
//! what only an operator gives stays as it is. What is open to strangers is judged when it is used, not when it was said.

use std::collections::BTreeSet;

use url::Url;
use vouchsafe_protocol::{
    ClientMetadata, ErrorCode, GrantType, OIDC_SCOPES, Reason, ScopeSet, ScopeToken, is_oidc_scope,
    redirect_uri,
};
use vouchsafe_store::{ApplicationType, Client, Resource};

use crate::admin::client_rules::{check_callback, has_several_hosts};
use crate::subject::sector_by_nature;
use crate::{AdminError, Error, Issuer, OutboundError};

/// The grants that a stranger may use: each needs a person.
const GRANTS: [GrantType; 3] = [
    GrantType::AuthorizationCode,
    GrantType::RefreshToken,
    GrantType::DeviceCode,
];
/// Without a word of its own, a client keeps people signed in, whether or not it knows `offline_access`.
const DEFAULT_GRANTS: [GrantType; 2] = [GrantType::AuthorizationCode, GrantType::RefreshToken];

/// A description that is refused, for a reason that has no code of its own.
pub(crate) fn bad_metadata(reason: Reason) -> Error {
    Error::refused(ErrorCode::InvalidClientMetadata, reason)
}

fn bad_redirect(reason: Reason) -> Error {
    Error::refused(ErrorCode::InvalidRedirectUri, reason)
}

impl Issuer {
    /// Whether a client may ask for a resource: one that it was given, and a stranger for any that is open now.
    pub(crate) fn may_ask_for(&self, client: &Client, resource: &Resource) -> bool {
        let given = client.resources.contains(&resource.uri);
        given || (client.is_stranger() && !resource.closed)
    }

    /// The scopes that a client holds now. A stranger holds what is open, of that what it said it wants; one that said
    /// nothing holds all of it, which may be more than can be written.
    pub(crate) fn scope_of_client(&self, client: &Client) -> ScopeSet {
        if !client.is_stranger() {
            return client.scope.clone();
        }
        let reached = self.scope_where(|resource| self.may_ask_for(client, resource));
        if client.scope.is_empty() {
            reached
        } else {
            reached.intersection(&client.scope)
        }
    }

    /// The same, as much of it as can be written.
    #[must_use]
    pub fn scope_as_told(&self, client: &Client) -> ScopeSet {
        within_limits(self.scope_of_client(client))
    }

    /// The scopes of OpenID Connect, and those of every resource that is open to whoever asks.
    #[must_use]
    pub fn open_scopes(&self) -> ScopeSet {
        self.scope_where(|resource| !resource.closed)
    }

    fn scope_where(&self, reached: impl Fn(&Resource) -> bool) -> ScopeSet {
        let catalog = self.catalog.load();
        let resources = catalog.resources().filter(|resource| reached(resource));
        let of_resources = resources.flat_map(|resource| resource.scope.iter().cloned());
        scopes_of_oidc().chain(of_resources).collect()
    }

    /// Lays what a client says of itself over `client`; what is not said takes its default (RFC 7591 2, RFC 7592 2.2).
    /// Its way to authenticate is settled before.
    pub(crate) async fn described(&self, client: Client, said: &ClientMetadata) -> Result<Client, Error> {
        let redirect_uris = of_somebody(&said.redirect_uris);
        if redirect_uris.is_empty() && !said.redirect_uris.is_empty() {
            return Err(bad_redirect(Reason::InvalidParameter));
        }
        let mut client = Client {
            name: said.client_name.clone(),
            client_uri: said.client_uri.clone(),
            logo_uri: said.logo_uri.clone(),
            policy_uri: said.policy_uri.clone(),
            tos_uri: said.tos_uri.clone(),
            application_type: application_type(said),
            grants: grants(said)?,
            scope: said.scope.clone().unwrap_or_default(),
            redirect_uris,
            post_logout_redirect_uris: of_somebody(&said.post_logout_redirect_uris),
            backchannel_logout_uri: said.backchannel_logout_uri.clone(),
            id_token_algorithm: said.id_token_signed_response_alg,
            pairwise: said.pairwise,
            ..client
        };
        check_redirects(&client)?;
        client.sector_identifier = self.settled_sector(&client, said).await?;
        self.check_client(&client).map_err(|error| match error {
            AdminError::Failed(error) => error,
            _ => bad_metadata(Reason::InvalidParameter),
        })?;
        self.check_backchannel(&client).await?;
        Ok(client)
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

    /// What the names of people at a pairwise client are shared by (OpenID Connect Core 8.1), from now on whatever becomes of
    /// its redirect URIs; none where these have several hosts and no document speaks for all of them.
    async fn settled_sector(&self, client: &Client, said: &ClientMetadata) -> Result<Option<String>, Error> {
        if !client.pairwise {
            return Ok(None);
        }
        let listed = match &said.sector_identifier_uri {
            Some(uri) => Some(self.sector_listing(uri, &client.redirect_uris).await?),
            None => None,
        };
        // What a document lists proves nothing of a device.
        let by_device = client.grants.contains(&GrantType::DeviceCode);
        Ok(match listed {
            Some(sector) if !by_device => Some(sector),
            None if has_several_hosts(client) => None,
            _ => Some(sector_by_nature(client)),
        })
    }

    /// The sector whose document lists these redirect URIs (OpenID Connect Registration 5).
    async fn sector_listing(&self, uri: &str, redirect_uris: &[String]) -> Result<String, Error> {
        let refused = || bad_metadata(Reason::InvalidParameter);
        let url = Url::parse(uri).map_err(|_| refused())?;
        let fetched = self.stranger_document(&url).await?.ok_or_else(refused)?;
        let listed: BTreeSet<String> = serde_json::from_slice(&fetched.body).map_err(|_| refused())?;
        if redirect_uris.iter().all(|uri| listed.contains(uri)) {
            redirect_uri::host_of(uri).ok_or_else(refused)
        } else {
            Err(refused())
        }
    }
}

fn scopes_of_oidc() -> impl Iterator<Item = ScopeToken> {
    let parsed = |scope: &str| ScopeToken::parse(scope).ok();
    OIDC_SCOPES.into_iter().filter_map(parsed)
}

/// As much of a scope as can be written, that of OpenID Connect first.
pub(crate) fn within_limits(scope: ScopeSet) -> ScopeSet {
    if scope.is_within_limits() {
        return scope;
    }
    let (of_oidc, others): (Vec<_>, Vec<_>) = scope.iter().partition(|token| is_oidc_scope(token.as_str()));
    let mut held = ScopeSet::empty();
    for token in of_oidc.into_iter().chain(others) {
        let mut more = held.clone();
        more.insert(token.clone());
        if !more.is_within_limits() {
            break;
        }
        held = more;
    }
    held
}

/// Those that are not just any application's: the others are passed over. Clients name them beside better ones.
fn of_somebody(uris: &[String]) -> Vec<String> {
    let passed_over = |uri: &String| redirect_uri::is_anybodys(uri) && !uri.contains('*');
    uris.iter().filter(|uri| !passed_over(uri)).cloned().collect()
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

    #[test]
    fn as_much_of_a_scope_is_told_as_can_be_written() {
        let of = |count: usize| -> ScopeSet {
            let names = (0..count).map(|number| format!("a{number:03}"));
            let tokens = names.filter_map(|name| ScopeToken::parse(&name).ok());
            tokens.chain(scopes_of_oidc()).collect()
        };
        assert_eq!(within_limits(of(94)), of(94));
        let told = within_limits(of(200));
        assert_eq!((told.len(), told.is_within_limits()), (100, true));
        assert!(OIDC_SCOPES.into_iter().all(|scope| told.contains(scope)));
    }

    #[test]
    fn a06_a_scheme_that_any_application_may_claim_is_passed_over() {
        let kept = |uris: &[&str]| {
            let uris: Vec<String> = uris.iter().map(|uri| (*uri).to_owned()).collect();
            of_somebody(&uris)
        };
        let cursor = [
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "http://localhost:8787/callback",
        ];
        assert_eq!(kept(&cursor), kept(&cursor[1..]));
        assert_eq!(kept(&cursor[1..]).len(), 2);
        assert!(kept(&["myapp:/cb"]).is_empty());
        // What could harm is left for the rules to refuse.
        for uri in [
            "javascript:alert(1)",
            "file:///etc/passwd",
            "myapp://*",
            "http://app.example/cb",
        ] {
            assert_eq!(kept(&[uri]).len(), 1, "{uri}");
        }
    }
}
