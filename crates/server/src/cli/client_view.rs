//! A client as it is printed, in the names of RFC 7591 and OpenID Connect.

use serde::Serialize;
use vouchsafe_issuer::Client;
use vouchsafe_protocol::{
    ClientAuthMethod, ClientId, GrantType, ResourceUri, ScopeSet, SecretString, SigningAlgorithm, Timestamp,
};

use super::failure::Failure;
use super::output::{Output, record, table};
use super::time::{lifetime, utc};

/// One client (RFC 7591 3.2.1).
#[derive(Serialize)]
pub(super) struct ClientView<'a> {
    client_id: &'a ClientId,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    /// 0 is never; required beside a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<i64>,
    client_id_issued_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<&'a str>,
    token_endpoint_auth_method: ClientAuthMethod,
    application_type: &'static str,
    grant_types: &'a [GrantType],
    scope: &'a ScopeSet,
    resources: &'a [ResourceUri],
    redirect_uris: &'a [String],
    post_logout_redirect_uris: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    backchannel_logout_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token_signed_response_alg: Option<SigningAlgorithm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token_signed_response_alg: Option<SigningAlgorithm>,
    subject_type: &'static str,
    pkce_optional: bool,
    skip_consent: bool,
    origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logo_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tos_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    brand_color: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_ttl: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_idle_ttl: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_absolute_ttl: Option<i64>,
    refresh_rotation: &'static str,
    disabled: bool,
    /// Its live secrets by name and age; left out of lists, which do not read them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    client_secrets: Vec<SecretView<'a>>,
}

/// One live secret, without the secret.
#[derive(Serialize)]
struct SecretView<'a> {
    id: &'a str,
    created_at: Timestamp,
}

impl<'a> ClientView<'a> {
    /// A client without a word of its secrets.
    pub(super) fn new(client: &'a Client) -> Self {
        Self {
            client_id: &client.id,
            client_secret: None,
            client_secret_expires_at: None,
            client_id_issued_at: client.created_at,
            client_name: client.name.as_deref(),
            token_endpoint_auth_method: client.auth_method,
            application_type: client.application_type.as_str(),
            grant_types: &client.grants,
            scope: &client.scope,
            resources: &client.resources,
            redirect_uris: &client.redirect_uris,
            post_logout_redirect_uris: &client.post_logout_redirect_uris,
            backchannel_logout_uri: client.backchannel_logout_uri.as_deref(),
            access_token_signed_response_alg: client.signing_algorithm,
            id_token_signed_response_alg: client.id_token_algorithm,
            subject_type: if client.pairwise { "pairwise" } else { "public" },
            pkce_optional: client.pkce_optional,
            skip_consent: client.skip_consent,
            origin: client.origin.as_str(),
            client_uri: client.client_uri.as_deref(),
            logo_uri: client.logo_uri.as_deref(),
            policy_uri: client.policy_uri.as_deref(),
            tos_uri: client.tos_uri.as_deref(),
            brand_color: client.brand_color.as_deref(),
            access_ttl: client.access_ttl,
            refresh_idle_ttl: client.refresh_idle_ttl,
            refresh_absolute_ttl: client.refresh_absolute_ttl,
            refresh_rotation: client.rotation.as_str(),
            disabled: client.disabled_at.is_some(),
            client_secrets: client
                .secrets
                .iter()
                .map(|secret| SecretView {
                    id: &secret.id,
                    created_at: secret.created_at,
                })
                .collect(),
        }
    }

    /// The same with a secret that was made just now.
    pub(super) fn with_secret(mut self, secret: &'a SecretString) -> Self {
        self.client_secret = Some(secret.expose());
        self.client_secret_expires_at = Some(0);
        self
    }

    /// Whether a secret would be printed.
    pub(super) fn shows_a_secret(&self) -> bool {
        self.client_secret.is_some()
    }

    fn state(&self) -> &'static str {
        if self.disabled { "disabled" } else { "enabled" }
    }
}

/// Prints one client.
pub(super) fn show_one(view: &ClientView<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
    out.show(view, |client| {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let secrets: Vec<String> = client
            .client_secrets
            .iter()
            .map(|secret| utc(secret.created_at))
            .collect();
        record([
            ("client_id", client.client_id.to_string()),
            ("client_secret", text(client.client_secret)),
            ("name", text(client.client_name)),
            ("state", client.state().to_owned()),
            ("auth", client.token_endpoint_auth_method.to_string()),
            ("application type", client.application_type.to_owned()),
            ("grants", words(client.grant_types)),
            ("scope", client.scope.to_string()),
            ("resources", words(client.resources)),
            ("redirect URIs", words(client.redirect_uris)),
            ("after sign-out", words(client.post_logout_redirect_uris)),
            ("back channel", text(client.backchannel_logout_uri)),
            (
                "algorithm",
                client
                    .access_token_signed_response_alg
                    .map(|alg| alg.to_string())
                    .unwrap_or_default(),
            ),
            (
                "ID tokens",
                client
                    .id_token_signed_response_alg
                    .map(|alg| alg.to_string())
                    .unwrap_or_default(),
            ),
            ("subjects", client.subject_type.to_owned()),
            (
                "PKCE",
                if client.pkce_optional {
                    "optional"
                } else {
                    "required"
                }
                .to_owned(),
            ),
            (
                "consent",
                if client.skip_consent { "skipped" } else { "asked" }.to_owned(),
            ),
            ("made by", client.origin.to_owned()),
            ("access token", lifetime(client.access_ttl)),
            ("refresh idle", lifetime(client.refresh_idle_ttl)),
            ("refresh at most", lifetime(client.refresh_absolute_ttl)),
            ("rotation", client.refresh_rotation.to_owned()),
            ("created", utc(client.client_id_issued_at)),
            ("secrets made", secrets.join(", ")),
        ])
    })
}

/// Prints many.
pub(super) fn show_all(clients: &[Client], out: &mut Output<'_>) -> Result<(), Failure> {
    let views: Vec<ClientView<'_>> = clients.iter().map(ClientView::new).collect();
    out.show(&views, |views| {
        table(
            ["CLIENT ID", "NAME", "AUTH", "GRANTS", "STATE", "CREATED"],
            views.iter().map(|client| {
                [
                    client.client_id.to_string(),
                    client.client_name.unwrap_or_default().to_owned(),
                    client.token_endpoint_auth_method.to_string(),
                    words(client.grant_types),
                    client.state().to_owned(),
                    utc(client.client_id_issued_at),
                ]
            }),
        )
    })
}

fn words<T: ToString>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use vouchsafe_issuer::{ApplicationType, ClientOrigin, Rotation};

    use super::*;

    #[test]
    fn members_carry_their_registered_names_and_a_secret_its_expiry() {
        let client = Client {
            id: ClientId::parse("web").unwrap(),
            name: Some("Web".to_owned()),
            auth_method: ClientAuthMethod::ClientSecretBasic,
            application_type: ApplicationType::Web,
            grants: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            scope: ScopeSet::parse("openid items:read").unwrap(),
            resources: vec![ResourceUri::parse("https://api.example/").unwrap()],
            redirect_uris: vec!["https://app.example/cb".to_owned()],
            post_logout_redirect_uris: Vec::new(),
            backchannel_logout_uri: None,
            signing_algorithm: None,
            id_token_algorithm: None,
            pairwise: false,
            sector_identifier: None,
            pkce_optional: false,
            skip_consent: false,
            origin: ClientOrigin::Operator,
            registration: None,
            document_expires_at: None,
            client_uri: None,
            logo_uri: None,
            policy_uri: None,
            tos_uri: None,
            brand_color: None,
            access_ttl: Some(300),
            refresh_idle_ttl: None,
            refresh_absolute_ttl: None,
            rotation: Rotation::Always,
            disabled_at: None,
            created_at: Timestamp::from_unix(1_700_000_000),
            updated_at: Timestamp::from_unix(1_700_000_000),
            secrets: Vec::new(),
        };
        let secret = SecretString::new("sesame".to_owned());
        let printed = serde_json::to_value(ClientView::new(&client).with_secret(&secret)).unwrap();
        let expected = serde_json::json!({
            "client_id": "web",
            "client_secret": "sesame",
            "client_secret_expires_at": 0,
            "client_id_issued_at": 1_700_000_000,
            "client_name": "Web",
            "token_endpoint_auth_method": "client_secret_basic",
            "application_type": "web",
            "grant_types": ["authorization_code", "refresh_token"],
            "scope": "items:read openid",
            "resources": ["https://api.example/"],
            "redirect_uris": ["https://app.example/cb"],
            "post_logout_redirect_uris": [],
            "access_ttl": 300,
            "refresh_rotation": "always",
            "disabled": false,
            "subject_type": "public",
            "pkce_optional": false,
            "skip_consent": false,
            "origin": "operator",
        });
        assert_eq!(printed, expected);
        let without = serde_json::to_value(ClientView::new(&client)).unwrap();
        assert_eq!(without.get("client_secret"), None);
    }
}
