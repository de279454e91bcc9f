//! What is answered over HTTP: one file an endpoint, one table of routes, one table of errors.

mod authorization;
mod discovery;
mod document;
mod error;
mod form;
mod introspect;
mod jwks;
mod limits;
mod management;
mod refresh;
mod revoke;
mod routes;
mod state;
mod token;
mod token_answer;

use poem::endpoint::BoxEndpoint;
use poem::{EndpointExt as _, Route};
use poem_openapi::{OpenApiService, Tags};

pub(crate) use management::endpoint as management_endpoint;
pub(crate) use routes::{MANAGEMENT_ROUTES, routes_under};
pub(crate) use state::ApiState;

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
);

fn service(server: Option<&str>) -> OpenApiService<Api, ()> {
    let api = (
        token::TokenApi,
        refresh::RefreshApi,
        introspect::IntrospectApi,
        revoke::RevokeApi,
        jwks::JwksApi,
        discovery::DiscoveryApi,
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
