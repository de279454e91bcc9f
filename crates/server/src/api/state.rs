//! What every endpoint holds: the issuer and the limits on failures.

use std::sync::Arc;

use vouchsafe_issuer::Issuer;

use super::limits::FailureLimits;

/// Shared by all endpoints; cloning is cheap.
#[derive(Clone)]
pub(crate) struct ApiState {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) limits: Arc<FailureLimits>,
}

impl ApiState {
    pub(crate) fn new(issuer: Arc<Issuer>) -> Self {
        Self {
            issuer,
            limits: Arc::new(FailureLimits::new()),
        }
    }
}
