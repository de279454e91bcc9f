//! What Vouchsafe decides: who a client is, what it is granted, what is minted, and what is revoked.
//! No HTTP and no SQL in here.

mod access_token;
mod admin;
mod audience;
mod audit;
mod authority;
mod client_auth;
mod client_cache;
mod config;
mod database_clock;
mod error;
mod grant;
mod high_water;
mod introspect;
mod issuer;
mod key_ring;
mod key_rows;
mod login;
mod mint;
mod names;
mod password;
mod refresh_token;
mod revoke;
mod token;
mod upheld_keys;
mod view;

pub use admin::client::{ClientDraft, CreatedClient};
pub use admin::keys::KeyView;
pub use admin::rollback::AcceptedRollback;
pub use admin::session::SessionQuery;
pub use admin::token::TokenReport;
pub use admin::user::UserDraft;
pub use admin::{AdminError, apply};
pub use audit::Actor;
pub use client_auth::{Authenticated, Credentials};
pub use config::{IssuerConfig, LONGEST_ACCESS_TTL, PasswordCost};
pub use database_clock::DatabaseClock;
pub use error::Error;
pub use high_water::{HighWater, Standing};
pub use introspect::{ActiveToken, Introspection};
pub use issuer::{Issuer, Machine};
pub use names::{AccountName, BadName, lookup_key};
pub use password::{HashError, PasswordHasher};
pub use token::TokenGrant;
pub use vouchsafe_keys::{Jwks, KeyPolicy, MasterKey};
pub use vouchsafe_store::{
    ApplicationType, Beat, Client, Family, FamilySummary, Found, Mark, Resource, Role, Rotation, Store,
    StoreError, Swept, User,
};
