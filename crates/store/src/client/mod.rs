//! Clients (RFC 7591 2).

mod registered;
mod row;
mod statements;
mod unused;

use std::collections::BTreeSet;
use std::str::FromStr;

use vouchsafe_protocol::{
    ClientAuthMethod, ClientId, GrantType, Kid, ResourceUri, ScopeSet, SigningAlgorithm, Timestamp,
};

use crate::client_secret::ClientSecret;

pub use registered::NewRegistrationToken;
pub(crate) use registered::is_shown_as_before;
pub use unused::UnusedClients;

/// OpenID Connect Registration `application_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationType {
    /// `web`.
    Web,
    /// `native`: loopback redirects may use any port (RFC 8252 7.3).
    Native,
}

/// Whether a refresh replaces the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Each refresh gives a new one.
    Always,
    /// The same one stays; only for clients that authenticate.
    Never,
}

/// Who made a client known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientOrigin {
    /// An operator.
    Operator,
    /// It registered itself (RFC 7591).
    Registered,
    /// A document at the address that is its id (OAuth Client ID Metadata Document).
    Document,
}

/// What a client that registered itself proves to be itself with (RFC 7592 3), as a MAC.
#[derive(Clone)]
pub struct RegistrationMac {
    /// The key of the MAC.
    pub kid: Kid,
    /// HMAC-SHA-256 of the registration access token.
    pub mac: Vec<u8>,
}

impl std::fmt::Debug for RegistrationMac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistrationMac")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),+ }) => {
        impl $name {
            /// The word for it on the wire and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(concat!("expected one of:", $(" ", $word),+).to_owned()),
                }
            }
        }
    };
}

words!(ApplicationType { Web = "web", Native = "native" });
words!(Rotation { Always = "always", Never = "never" });
words!(ClientOrigin { Operator = "operator", Registered = "registered", Document = "document" });

/// A registered client (RFC 7591 2).
#[derive(Clone, Debug)]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// Its name for people.
    pub name: Option<String>,
    /// The one way it authenticates.
    pub auth_method: ClientAuthMethod,
    /// What kind of application it is.
    pub application_type: ApplicationType,
    /// The grants it may use.
    pub grants: Vec<GrantType>,
    /// The scopes it may be granted.
    pub scope: ScopeSet,
    /// The audiences it may ask for.
    pub resources: Vec<ResourceUri>,
    /// Where a browser may be sent back to.
    pub redirect_uris: Vec<String>,
    /// Where a browser may be sent after signing out.
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it hears of a sign-out.
    pub backchannel_logout_uri: Option<String>,
    /// Signs its access tokens, when it differs from the default.
    pub signing_algorithm: Option<SigningAlgorithm>,
    /// Signs its ID tokens, when it differs from the default.
    pub id_token_algorithm: Option<SigningAlgorithm>,
    /// It knows people under names of its own (OpenID Connect Core 8.1).
    pub pairwise: bool,
    /// What those names are shared by: a host; the one of its redirect URIs where there is none.
    pub sector_identifier: Option<String>,
    /// It may leave PKCE out, if it authenticates and sends a nonce.
    pub pkce_optional: bool,
    /// Nobody is asked for consent: it belongs to whoever runs the issuer.
    pub skip_consent: bool,
    /// Who made it known.
    pub origin: ClientOrigin,
    /// What it changes itself with, if it registered itself.
    pub registration: Option<RegistrationMac>,
    /// From when on its document is fetched again.
    pub document_expires_at: Option<Timestamp>,
    /// Its home page.
    pub client_uri: Option<String>,
    /// Its logo.
    pub logo_uri: Option<String>,
    /// What it does with data.
    pub policy_uri: Option<String>,
    /// Its terms.
    pub tos_uri: Option<String>,
    /// Its colour on pages, `#rrggbb`.
    pub brand_color: Option<String>,
    /// Lifetime of its access tokens in seconds, when it differs from the default.
    pub access_ttl: Option<i64>,
    /// Idle lifetime of its refresh tokens in seconds, when it differs from the default.
    pub refresh_idle_ttl: Option<i64>,
    /// Absolute lifetime of its refresh tokens in seconds, when it differs from the default.
    pub refresh_absolute_ttl: Option<i64>,
    /// Whether a refresh replaces its refresh token.
    pub rotation: Rotation,
    /// Since when it may do nothing.
    pub disabled_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Its live secrets, newest first.
    pub secrets: Vec<ClientSecret>,
}

impl Client {
    /// True when nobody vouches for what it says of itself.
    #[must_use]
    pub fn is_stranger(&self) -> bool {
        self.origin != ClientOrigin::Operator
    }

    /// Whether people who are asked about it are shown what they were shown of `other`: its name, and where it leads.
    #[must_use]
    pub fn is_shown_as(&self, other: &Self) -> bool {
        let leads_to = |client: &Self| -> BTreeSet<String> { client.redirect_uris.iter().cloned().collect() };
        self.name == other.name && leads_to(self) == leads_to(other)
    }
}
