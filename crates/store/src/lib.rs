//! What Vouchsafe remembers. One public function is one write transaction, and this is the only crate that
//! names sea-orm and writes SQL.
//!
//! Statements are written as SQL, one text for every database: hot columns are 64-bit integers, text and bytes.

mod audit;
mod backend;
mod client;
mod client_secret;
mod error;
mod family;
mod key;
mod log;
mod mark;
mod resource;
mod role;
mod sign_in;
mod sql;
mod store;
mod sweep;
mod user;

pub use audit::{AuditEntry, AuditRecord};
pub use backend::{Database, SchemaLock, Wake};
pub use client::{ApplicationType, Client, Rotation};
pub use client_secret::{ClientSecret, NewSecret};
pub use error::StoreError;
pub use family::{
    Decision, Ended, Family, FamilyFilter, FamilySummary, NewFamily, Presented, Recent, RevokeReason,
    RotateJob, RotateOutcome, decide,
};
pub use key::{KeyChange, KeyRow};
pub use log::{ChangeEntry, ChangeKind, LogHeads, NewRevocation};
pub use mark::{Accepted, Beat, Found, Mark, Rollback};
pub use resource::Resource;
pub use role::Role;
pub use sign_in::{BackOff, LoginCandidate};
pub use store::Store;
pub use sweep::Swept;
pub use user::{NewUser, User};
