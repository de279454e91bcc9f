//! `POST /register` (RFC 7591) and `/register/{client_id}` (RFC 7592): clients that say themselves what they are.

use std::marker::PhantomData;
use std::net::IpAddr;

use poem::web::Data;
use poem::{Request, RequestBody};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, Object, OpenApi};
use vouchsafe_issuer::{Client, Error, Registered};
use vouchsafe_protocol::{ClientAuthMethod, ClientMetadata, GrantType, Refusal, SecretString, Timestamp};

use super::Tag;
use super::bearer::bearer_of;
use super::error::ApiError;
use super::form::{FORM, media_type, no_query, take, unsupported_media_type};
use super::limits::Source;
use super::security_scheme;
use super::state::ApiState;
use crate::http::address::ClientAddress;

const SCHEME: &str = "RegistrationToken";
const LONGEST_TOKEN: usize = 512;

pub(super) struct RegisterApi;

/// What a client says of itself (RFC 7591 2). Other members are passed over.
#[derive(Object)]
#[oai(rename = "ClientMetadata")]
pub(super) struct MetadataFields {
    /// Where a browser may be sent back to: https, http on loopback, or for a native application a scheme with a dot.
    redirect_uris: Option<Vec<String>>,
    /// `none`, `client_secret_basic` or `client_secret_post`; none means `client_secret_basic`.
    token_endpoint_auth_method: Option<String>,
    /// Of `authorization_code`, `refresh_token` and `urn:ietf:params:oauth:grant-type:device_code`; none means the
    /// first two.
    grant_types: Option<Vec<String>>,
    /// `code`.
    response_types: Option<Vec<String>>,
    /// `web` or `native`.
    application_type: Option<String>,
    /// Its name for people.
    client_name: Option<String>,
    /// Its home page, https.
    client_uri: Option<String>,
    /// Its logo, https.
    logo_uri: Option<String>,
    /// What it does with data, https.
    policy_uri: Option<String>,
    /// Its terms, https.
    tos_uri: Option<String>,
    /// The scopes it may ask for, separated by spaces; none means all that are open to it.
    scope: Option<String>,
    /// Where a browser may be sent after signing out.
    post_logout_redirect_uris: Option<Vec<String>>,
    /// Where it hears of a sign-out.
    backchannel_logout_uri: Option<String>,
    /// Signs its ID tokens.
    id_token_signed_response_alg: Option<String>,
    /// `public` or `pairwise`.
    subject_type: Option<String>,
    /// Lists the redirect URIs of a pairwise client that has several hosts.
    sector_identifier_uri: Option<String>,
    /// In an update: the client itself.
    client_id: Option<String>,
}

/// A JSON object of metadata.
pub(super) struct MetadataBody(ClientMetadata, PhantomData<MetadataFields>);

impl<'a> ApiExtractor<'a> for MetadataBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        MetadataFields::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema: MetadataFields::schema_ref(),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        no_query(request)?;
        if media_type(request).is_none_or(|media_type| media_type == FORM) {
            return Err(unsupported_media_type().into());
        }
        let bytes = take(body).await?;
        let said = ClientMetadata::parse(&bytes).map_err(|bad| ApiError::from(Refusal::from(bad)))?;
        Ok(Self(said, PhantomData))
    }
}

/// The bearer token, if any, and where the request comes from.
pub(super) struct RegistrationAccess {
    token: Option<SecretString>,
    address: Option<IpAddr>,
}

impl<'a> ApiExtractor<'a> for RegistrationAccess {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        security_scheme::describe(
            registry,
            SCHEME,
            "bearer",
            "To register: an initial access token, where one is needed. After that: the registration access \
                     token of the client.",
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    fn has_security_fallback() -> bool {
        true
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self {
            token: bearer_of(request.headers(), LONGEST_TOKEN)?,
            address: ClientAddress::of(request),
        })
    }
}

impl RegistrationAccess {
    /// A refusal, with the challenge that fits what was brought.
    fn refused(&self, error: Error) -> ApiError {
        ApiError::from(error).for_token(self.token.as_ref())
    }
}

/// A client as it is registered (RFC 7591 3.2.1).
#[derive(Object)]
#[oai(rename = "RegisteredClient", skip_serializing_if_is_none)]
pub(super) struct ClientBody {
    /// Its id.
    client_id: String,
    /// When it was registered, in Unix seconds.
    client_id_issued_at: i64,
    /// Its secret, when it was made just now; it is not shown again.
    client_secret: Option<String>,
    /// Always 0: a secret has no end.
    client_secret_expires_at: Option<i64>,
    /// Reads, changes and removes the client (RFC 7592).
    registration_access_token: Option<String>,
    /// Where that is done.
    registration_client_uri: String,
    /// Where a browser may be sent back to.
    redirect_uris: Vec<String>,
    /// How it authenticates.
    token_endpoint_auth_method: String,
    /// The grants it may use.
    grant_types: Vec<String>,
    /// `code`, or none.
    response_types: Vec<String>,
    /// `web` or `native`.
    application_type: String,
    /// The scopes it may ask for, separated by spaces; `offline_access` too if it may refresh.
    scope: String,
    /// `public` or `pairwise`.
    subject_type: String,
    /// Its name for people.
    client_name: Option<String>,
    /// Its home page.
    client_uri: Option<String>,
    /// Its logo.
    logo_uri: Option<String>,
    /// What it does with data.
    policy_uri: Option<String>,
    /// Its terms.
    tos_uri: Option<String>,
    /// Where a browser may be sent after signing out.
    post_logout_redirect_uris: Option<Vec<String>>,
    /// Where it hears of a sign-out.
    backchannel_logout_uri: Option<String>,
    /// Signs its ID tokens, when it differs from the default.
    id_token_signed_response_alg: Option<String>,
}

impl ClientBody {
    fn new(state: &ApiState, client: Client, token: Option<&SecretString>) -> Self {
        let by_code = client.grants.contains(&GrantType::AuthorizationCode);
        let subject_type = if client.pairwise { "pairwise" } else { "public" };
        let path = format!("/register/{}", client.id);
        let confidential = client.auth_method != ClientAuthMethod::None;
        let scope = state.issuer.scope_as_told(&client).to_string();
        Self {
            client_id: client.id.to_string(),
            client_id_issued_at: client.created_at.as_unix(),
            client_secret: None,
            client_secret_expires_at: confidential.then_some(0),
            registration_access_token: token.map(|token| token.expose().to_owned()),
            registration_client_uri: state.issuer.config().issuer.join(&path),
            redirect_uris: client.redirect_uris,
            token_endpoint_auth_method: client.auth_method.to_string(),
            grant_types: client.grants.iter().map(GrantType::to_string).collect(),
            response_types: by_code.then(|| "code".to_owned()).into_iter().collect(),
            application_type: client.application_type.as_str().to_owned(),
            scope,
            subject_type: subject_type.to_owned(),
            client_name: client.name,
            client_uri: client.client_uri,
            logo_uri: client.logo_uri,
            policy_uri: client.policy_uri,
            tos_uri: client.tos_uri,
            post_logout_redirect_uris: Some(client.post_logout_redirect_uris).filter(|uris| !uris.is_empty()),
            backchannel_logout_uri: client.backchannel_logout_uri,
            id_token_signed_response_alg: client.id_token_algorithm.map(|algorithm| algorithm.to_string()),
        }
    }

    fn of_new(state: &ApiState, registered: Registered) -> Self {
        let token = Some(&registered.registration_access_token);
        Self {
            client_secret: registered.secret.map(|secret| secret.expose().to_owned()),
            ..Self::new(state, registered.client, token)
        }
    }
}

/// An answer to a registration.
#[derive(ApiResponse)]
pub(super) enum RegisterAnswer {
    /// The client.
    #[oai(status = 201)]
    Registered(Json<ClientBody>),
}

/// An answer to a question or an update.
#[derive(ApiResponse)]
pub(super) enum ClientAnswer {
    /// The client as it is now.
    #[oai(status = 200)]
    Known(Json<ClientBody>),
}

/// An answer to a removal.
#[derive(ApiResponse)]
pub(super) enum RemovalAnswer {
    /// The client, its sessions and its tokens are gone.
    #[oai(status = 204)]
    Removed,
}

#[OpenApi]
impl RegisterApi {
    /// Register a client
    #[oai(
        path = "/register",
        method = "post",
        tag = "Tag::Clients",
        operation_id = "register"
    )]
    async fn register(
        &self,
        state: Data<&ApiState>,
        access: RegistrationAccess,
        body: MetadataBody,
    ) -> Result<RegisterAnswer, ApiError> {
        let now = counted(state.0, &access)?;
        let registered = state.issuer.register_client(&body.0, access.token.as_ref(), now);
        let registered = registered.await.map_err(|error| access.refused(error))?;
        Ok(RegisterAnswer::Registered(Json(ClientBody::of_new(
            state.0, registered,
        ))))
    }

    /// Read a client that registered itself
    #[oai(
        path = "/register/:client_id",
        method = "get",
        tag = "Tag::Clients",
        operation_id = "registered_client"
    )]
    async fn read(
        &self,
        state: Data<&ApiState>,
        access: RegistrationAccess,
        client_id: Path<String>,
    ) -> Result<ClientAnswer, ApiError> {
        counted(state.0, &access)?;
        let token = access.token.as_ref();
        let client = state.issuer.registered_client(&client_id.0, token).await;
        let client = client.map_err(|error| access.refused(error))?;
        Ok(ClientAnswer::Known(Json(ClientBody::new(state.0, client, token))))
    }

    /// Replace what a client said of itself
    #[oai(
        path = "/register/:client_id",
        method = "put",
        tag = "Tag::Clients",
        operation_id = "update_client"
    )]
    async fn update(
        &self,
        state: Data<&ApiState>,
        access: RegistrationAccess,
        client_id: Path<String>,
        body: MetadataBody,
    ) -> Result<ClientAnswer, ApiError> {
        let now = counted(state.0, &access)?;
        let token = access.token.as_ref();
        let updated = state.issuer.update_registered(&client_id.0, token, &body.0, now);
        let client = updated.await.map_err(|error| access.refused(error))?;
        Ok(ClientAnswer::Known(Json(ClientBody::new(state.0, client, token))))
    }

    /// Remove a client that registered itself
    #[oai(
        path = "/register/:client_id",
        method = "delete",
        tag = "Tag::Clients",
        operation_id = "delete_client"
    )]
    async fn remove(
        &self,
        state: Data<&ApiState>,
        access: RegistrationAccess,
        client_id: Path<String>,
    ) -> Result<RemovalAnswer, ApiError> {
        let now = counted(state.0, &access)?;
        let token = access.token.as_ref();
        let removed = state.issuer.delete_registered(&client_id.0, token, now).await;
        removed.map_err(|error| access.refused(error))?;
        Ok(RemovalAnswer::Removed)
    }
}

/// Counts the request by its address, whatever becomes of it.
fn counted(state: &ApiState, access: &RegistrationAccess) -> Result<Timestamp, ApiError> {
    let now = state.issuer.now();
    let source = Source::new(access.address, "");
    state.limits.may_register(&source, now)?;
    Ok(now)
}
