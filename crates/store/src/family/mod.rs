//! Refresh-token families: one row each, at most one live head, and no row per token.

mod begin;
mod decision;
mod end;
mod model;
mod queue;
mod read;
mod recent;
mod rotate;

pub(crate) use begin::{give_birth, is_user, may_be_born, may_decide};
pub use decision::{Decision, Presented, decide};
pub use end::Signed;
pub(crate) use end::{
    end_of_all, end_of_client, end_of_consent, end_of_mac_key, end_of_session, end_of_subject, move_families,
};
pub use model::{Ended, Family, NewFamily, RevokeReason};
pub(crate) use queue::RotationQueue;
pub use read::{FamilyFilter, FamilySummary};
pub use recent::Recent;
pub use rotate::{RotateJob, RotateOutcome};
