//! A client as its row.

use sea_orm::{FromQueryResult, Value};
use vouchsafe_protocol::{SigningAlgorithm, Timestamp};

use super::{Client, ClientOrigin, RegistrationMac};
use crate::StoreError;
use crate::client_secret::ClientSecret;
use crate::sql::{Cell, instant, json};

/// OpenID Connect Core 8.1.
const PAIRWISE: &str = "pairwise";

#[derive(FromQueryResult)]
pub(super) struct Row {
    id: String,
    name: Option<String>,
    auth_method: String,
    application_type: String,
    grants: String,
    scope: String,
    resources: String,
    redirect_uris: String,
    post_logout_redirect_uris: String,
    backchannel_logout_uri: Option<String>,
    signing_algorithm: Option<String>,
    access_ttl: Option<i64>,
    refresh_idle_ttl: Option<i64>,
    refresh_absolute_ttl: Option<i64>,
    rotation: String,
    disabled_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
    id_token_algorithm: Option<String>,
    subject_type: Option<String>,
    sector_identifier: Option<String>,
    pkce_optional: i64,
    skip_consent: i64,
    origin: Option<String>,
    registration_kid: Option<String>,
    registration_mac: Option<Vec<u8>>,
    document_expires_at: Option<i64>,
    client_uri: Option<String>,
    logo_uri: Option<String>,
    policy_uri: Option<String>,
    tos_uri: Option<String>,
    brand_color: Option<String>,
}

/// Every column, the primary key first.
pub(super) const COLUMNS: [&str; 32] = [
    "id",
    "name",
    "auth_method",
    "application_type",
    "grants",
    "scope",
    "resources",
    "redirect_uris",
    "post_logout_redirect_uris",
    "backchannel_logout_uri",
    "signing_algorithm",
    "access_ttl",
    "refresh_idle_ttl",
    "refresh_absolute_ttl",
    "rotation",
    "disabled_at",
    "created_at",
    "updated_at",
    "id_token_algorithm",
    "subject_type",
    "sector_identifier",
    "pkce_optional",
    "skip_consent",
    "origin",
    "registration_kid",
    "registration_mac",
    "document_expires_at",
    "client_uri",
    "logo_uri",
    "policy_uri",
    "tos_uri",
    "brand_color",
];

impl Row {
    pub(super) fn into_client(self, secrets: Vec<ClientSecret>) -> Result<Client, StoreError> {
        let id = self.id.clone();
        let cell = |column| Cell {
            table: "client",
            column,
            id: &id,
        };
        let algorithm = |column: &'static str, word: Option<String>| {
            word.map(|word| cell(column).parse::<SigningAlgorithm>(&word))
                .transpose()
        };
        let registration = match (self.registration_kid, self.registration_mac) {
            (Some(kid), Some(mac)) => Some(RegistrationMac {
                kid: cell("registration_kid").parse(&kid)?,
                mac,
            }),
            (None, None) => None,
            _ => return Err(cell("registration_mac").corrupt()),
        };
        let pairwise = match self.subject_type.as_deref() {
            None => false,
            Some(PAIRWISE) => true,
            Some(_) => return Err(cell("subject_type").corrupt()),
        };
        Ok(Client {
            id: cell("id").parse(&self.id)?,
            name: self.name,
            auth_method: cell("auth_method").parse(&self.auth_method)?,
            application_type: cell("application_type").parse(&self.application_type)?,
            grants: cell("grants").json(&self.grants)?,
            scope: cell("scope").parse(&self.scope)?,
            resources: cell("resources").json(&self.resources)?,
            redirect_uris: cell("redirect_uris").json(&self.redirect_uris)?,
            post_logout_redirect_uris: cell("post_logout_redirect_uris")
                .json(&self.post_logout_redirect_uris)?,
            backchannel_logout_uri: self.backchannel_logout_uri,
            signing_algorithm: algorithm("signing_algorithm", self.signing_algorithm)?,
            id_token_algorithm: algorithm("id_token_algorithm", self.id_token_algorithm)?,
            pairwise,
            sector_identifier: self.sector_identifier,
            pkce_optional: self.pkce_optional != 0,
            skip_consent: self.skip_consent != 0,
            origin: match self.origin {
                Some(word) => cell("origin").parse(&word)?,
                None => ClientOrigin::Operator,
            },
            registration,
            document_expires_at: self.document_expires_at.map(instant),
            client_uri: self.client_uri,
            logo_uri: self.logo_uri,
            policy_uri: self.policy_uri,
            tos_uri: self.tos_uri,
            brand_color: self.brand_color,
            access_ttl: self.access_ttl,
            refresh_idle_ttl: self.refresh_idle_ttl,
            refresh_absolute_ttl: self.refresh_absolute_ttl,
            rotation: cell("rotation").parse(&self.rotation)?,
            disabled_at: self.disabled_at.map(instant),
            created_at: instant(self.created_at),
            updated_at: instant(self.updated_at),
            secrets,
        })
    }
}

/// The values of every column, in the order of [`COLUMNS`].
pub(super) fn values_of(client: &Client) -> [Value; COLUMNS.len()] {
    let algorithm = |algorithm: Option<SigningAlgorithm>| -> Value {
        algorithm.map(|algorithm| algorithm.as_str().to_owned()).into()
    };
    let origin = match client.origin {
        ClientOrigin::Operator => None,
        other => Some(other.as_str().to_owned()),
    };
    let registration = client.registration.as_ref();
    [
        client.id.as_str().into(),
        client.name.clone().into(),
        client.auth_method.as_str().into(),
        client.application_type.as_str().into(),
        json(&client.grants),
        client.scope.to_string().into(),
        json(&client.resources),
        json(&client.redirect_uris),
        json(&client.post_logout_redirect_uris),
        client.backchannel_logout_uri.clone().into(),
        algorithm(client.signing_algorithm),
        client.access_ttl.into(),
        client.refresh_idle_ttl.into(),
        client.refresh_absolute_ttl.into(),
        client.rotation.as_str().into(),
        client.disabled_at.map(Timestamp::as_unix).into(),
        client.created_at.as_unix().into(),
        client.updated_at.as_unix().into(),
        algorithm(client.id_token_algorithm),
        client.pairwise.then(|| PAIRWISE.to_owned()).into(),
        client.sector_identifier.clone().into(),
        i64::from(client.pkce_optional).into(),
        i64::from(client.skip_consent).into(),
        origin.into(),
        registration.map(|mac| mac.kid.to_string()).into(),
        registration.map(|mac| mac.mac.clone()).into(),
        client.document_expires_at.map(Timestamp::as_unix).into(),
        client.client_uri.clone().into(),
        client.logo_uri.clone().into(),
        client.policy_uri.clone().into(),
        client.tos_uri.clone().into(),
        client.brand_color.clone().into(),
    ]
}
