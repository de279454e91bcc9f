//! What Vouchsafe decides: who a client is, what it is granted, what is minted, and what is revoked.
//! No HTTP and no SQL in here.

mod access_token;
mod account;
mod admin;
mod audience;
mod audit;
mod authority;
mod authorize;
mod backchannel;
mod client_auth;
mod client_cache;
mod config;
mod consent;
mod database_clock;
mod device;
mod document;
mod error;
mod grant;
mod high_water;
mod id_token;
mod introspect;
mod issuer;
mod key_ring;
mod key_rows;
mod login;
mod logout;
mod mint;
mod names;
mod opaque;
mod outbound;
mod password;
mod person_claims;
mod refresh_token;
mod registration;
mod revoke;
mod self_description;
mod session;
mod subject;
mod ticket;
mod token;
mod upheld_keys;
mod userinfo;
mod view;

pub use account::{AccountView, AppOfPerson, NewPassword, SignUp};
pub use admin::client::{ClientDraft, CreatedClient};
pub use admin::keys::KeyView;
pub use admin::profile::ProfileDraft;
pub use admin::rollback::AcceptedRollback;
pub use admin::session::SessionQuery;
pub use admin::token::TokenReport;
pub use admin::user::UserDraft;
pub use admin::{AdminError, apply};
pub use audit::Actor;
pub use authorize::{Answer, AuthorizeError, ConsentQuestion, Judged, Proofs, Pushed, Step};
pub use client_auth::{Authenticated, Credentials};
pub use config::{IssuerConfig, LONGEST_ACCESS_TTL, PasswordCost, RegistrationMode};
pub use database_clock::DatabaseClock;
pub use device::{DeviceAuthorization, DeviceRequest};
pub use error::Error;
pub use high_water::{HighWater, Standing};
pub use introspect::{ActiveToken, Introspection};
pub use issuer::{Issuer, Machine};
pub use logout::{Logout, LogoutRequest};
pub use names::{AccountName, BadName, lookup_key};
pub use outbound::{Asked, Fetched, Outbound, OutboundError};
pub use password::{HashError, PasswordHasher};
pub use person_claims::supported_claims;
pub use registration::Registered;
pub use session::{ACR, BegunSession, Visitor, Whereabouts};
pub use ticket::{Ticket, TicketPurpose};
pub use token::TokenGrant;
pub use vouchsafe_keys::{Jwks, KeyPolicy, MasterKey};
pub use vouchsafe_store::{
    ApplicationType, Beat, Client, ClientOrigin, Consent, Family, FamilySummary, Found, Mark, Profile,
    Resource, Role, Rotation, Session, Signed, Store, StoreError, Swept, User,
};
