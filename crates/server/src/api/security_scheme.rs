//! How the description says that a request is authenticated.

use poem_openapi::registry::{MetaSecurityScheme, Registry};

/// Describes a scheme of the header `Authorization`: `basic` or `bearer`.
pub(super) fn describe(
    registry: &mut Registry,
    name: &'static str,
    scheme: &'static str,
    description: &'static str,
) {
    registry.create_security_scheme(
        name,
        MetaSecurityScheme {
            ty: "http",
            description: Some(description),
            name: None,
            key_in: None,
            scheme: Some(scheme),
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        },
    );
}
