//! Makes, seals, rotates and uses private keys: the only place where private bytes exist.
//!
//! [`plan()`] says what must change and reads no clock, [`generate()`] makes what it asks for, a
//! store commits both, and [`KeyRing`] signs by the clock from whatever snapshot it was opened with.

mod error;
mod generate;
mod jwks;
mod key_ring;
mod master;
mod plan;
mod policy;
mod record;
mod rotate;
mod seal;
mod signer;

pub use crate::error::{ApplyError, KeysError, MasterKeyError, PolicyError, RevokeRefused, RotateRefused};
pub use crate::generate::{GeneratedKey, generate};
pub use crate::jwks::Jwks;
pub use crate::key_ring::KeyRing;
pub use crate::master::MasterKey;
pub use crate::plan::{Step, apply, next_due, plan};
pub use crate::policy::KeyPolicy;
pub use crate::record::{KeyAlgorithm, KeyRecord, KeyState, Purpose, UnknownKeyWord};
pub use crate::rotate::{Urgency, plan_revocation, plan_rotation};
pub use crate::seal::{SealedKey, rewrap};
pub use crate::signer::{SecretHashKey, Signer};
