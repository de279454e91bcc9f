//! What Vouchsafe remembers. One public function is one write transaction, and this is the only crate that
//! names sea-orm and writes SQL.
//!
//! Statements are written as SQL, one text for every database: hot columns are 64-bit integers, text and bytes.

mod audit;
mod backend;
mod client;
mod client_secret;
mod code;
mod consent;
mod device_code;
mod error;
mod family;
mod key;
mod log;
mod logout_delivery;
mod mark;
mod pairwise;
mod password;
mod profile;
mod pushed_request;
mod resource;
mod role;
mod session;
mod sign_in;
mod sql;
mod store;
mod sweep;
mod user;

pub use audit::{AuditEntry, AuditRecord};
pub use backend::{Database, SchemaLock, Wake};
pub use client::{
    ApplicationType, Client, ClientOrigin, NewRegistrationToken, RegistrationMac, Rotation, UnusedClients,
};
pub use client_secret::{ClientSecret, NewSecret};
pub use code::{Code, FoundCode, Issued, NewCode, Redeemed};
pub use consent::Consent;
pub use device_code::{Approval, DeviceCode, DeviceState, FoundDeviceCode};
pub use error::StoreError;
pub use family::{
    Decision, Ended, Family, FamilyFilter, FamilySummary, NewFamily, Presented, Recent, RevokeReason,
    RotateJob, RotateOutcome, Signed, decide,
};
pub use key::{KeyChange, KeyRow};
pub use log::{ChangeEntry, ChangeKind, LogHeads, NewRevocation};
pub use logout_delivery::LogoutDelivery;
pub use mark::{Accepted, Beat, Found, Mark, Rollback};
pub use profile::Profile;
pub use pushed_request::PushedRequest;
pub use resource::Resource;
pub use role::Role;
pub use session::{NewSession, Session};
pub use sign_in::{BackOff, LoginCandidate};
pub use store::Store;
pub use sweep::Swept;
pub use user::{NewUser, User};
