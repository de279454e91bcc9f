//! What is answered over HTTP: one file an endpoint, one table of routes, one table of errors.

mod authorization;
mod bearer;
mod device_authorization;
mod discovery;
mod document;
pub(crate) mod error;
mod form;
mod introspect;
mod jwks;
pub(crate) mod limits;
mod management;
mod par;
mod refresh;
mod register;
mod revoke;
mod routes;
mod security_scheme;
mod state;
mod token;
mod token_answer;
mod userinfo;

use poem::endpoint::BoxEndpoint;
use poem::{EndpointExt as _, Route};
use poem_openapi::{OpenApiService, Tags};

pub(crate) use management::endpoint as management_endpoint;
pub(crate) use routes::{MANAGEMENT_ROUTES, routes_under};
pub(crate) use state::ApiState;

/// Whether a request brings a form.
pub(crate) fn is_form(request: &poem::Request) -> bool {
    form::media_type(request) == Some(form::FORM)
}

/// The groups of the description.
#[derive(Tags)]
enum Tag {
    /// For client applications.
    Clients,
    /// For resource servers.
    ResourceServers,
    /// For anybody who needs to know this issuer.
    Metadata,
}

type Api = (
    token::TokenApi,
    refresh::RefreshApi,
    introspect::IntrospectApi,
    revoke::RevokeApi,
    jwks::JwksApi,
    discovery::DiscoveryApi,
    par::ParApi,
    device_authorization::DeviceAuthorizationApi,
    userinfo::UserinfoApi,
    register::RegisterApi,
);

fn service(server: Option<&str>) -> OpenApiService<Api, ()> {
    let api = (
        token::TokenApi,
        refresh::RefreshApi,
        introspect::IntrospectApi,
        revoke::RevokeApi,
        jwks::JwksApi,
        discovery::DiscoveryApi,
        par::ParApi,
        device_authorization::DeviceAuthorizationApi,
        userinfo::UserinfoApi,
        register::RegisterApi,
    );
    let service = OpenApiService::new(api, "Vouchsafe", env!("CARGO_PKG_VERSION"))
        .description("A standalone OAuth 2 and OpenID Connect token issuer.");
    match server {
        Some(url) => service.server(url),
        None => service,
    }
}

/// The public endpoints of one issuer.
pub(crate) fn endpoint(state: &ApiState) -> BoxEndpoint<'static> {
    let url = &state.issuer.config().issuer;
    let document = document::Document::new(url.to_string());
    let route = Route::new()
        .at("/openapi.json", poem::get(document.clone().description()))
        .at("/docs", poem::get(document.page()))
        .nest("/", service(Some(url.as_str())).data(state.clone()));
    let route = crate::pages::routes(state, route);
    match url.path() {
        "" => route.map_to_response().boxed(),
        path => Route::new()
            .at(
                format!("/.well-known/oauth-authorization-server{path}"),
                poem::get(discovery::inserted(state)),
            )
            .nest(path, route)
            .map_to_response()
            .boxed(),
    }
}

/// The OpenAPI description, pretty printed, of no issuer in particular.
#[must_use]
pub fn description() -> String {
    document::description_of(None)
}
