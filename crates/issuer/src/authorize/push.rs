//! Pushed authorization requests (RFC 9126): judged whole when they come, kept for some minutes, used for one code.

use std::sync::Arc;
use std::time::Duration;

use vouchsafe_protocol::{ErrorCode, Form, Reason, Refusal};
use vouchsafe_store::PushedRequest;

use super::answer::AuthorizeError;
use crate::opaque::Opaque;
use crate::{Authenticated, Error, Issuer};

/// RFC 9126 2.2.
const URN: &str = "urn:ietf:params:oauth:request_uri:";
/// Long enough for a person to sign in meanwhile, and less than the ten minutes of FAPI 2.0.
const LIFE: Duration = Duration::from_secs(540);

/// A request that was kept.
#[derive(Clone)]
pub struct Pushed {
    /// What the client names at the authorization endpoint instead of the parameters.
    pub request_uri: String,
    /// How long it may.
    pub expires_in: Duration,
}

/// Whoever knows the request URI may go on with the request.
impl std::fmt::Debug for Pushed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pushed")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// The random part of a request URI of ours.
pub(super) fn reference_of(request_uri: &str) -> Option<&str> {
    request_uri.strip_prefix(URN)
}

impl Issuer {
    /// Keeps the request of a client that proved who it is; its credentials were taken out of `form`.
    ///
    /// # Errors
    /// What the authorization endpoint would have refused; the store's.
    pub async fn push_authorization(&self, client: &Authenticated, form: Form) -> Result<Pushed, Error> {
        if form.get("request_uri").is_some() {
            return Err(Error::refused(
                ErrorCode::InvalidRequest,
                Reason::InvalidParameter,
            ));
        }
        let parameters = form.encoded();
        let known = Arc::new((**client).clone());
        self.judge(known, form, None).await.map_err(|error| match error {
            AuthorizeError::Page(error) => error,
            AuthorizeError::Answer { refusal, .. } => Error::Refused(refusal),
        })?;
        let Opaque { token, hash } = Opaque::random(self.entropy());
        let now = self.now();
        let request = PushedRequest {
            reference: hash,
            client_id: client.id.clone(),
            parameters,
            created_at: now,
            expires_at: now.plus(LIFE),
        };
        self.store.push_request(&request).await?;
        Ok(Pushed {
            request_uri: format!("{URN}{}", token.expose()),
            expires_in: LIFE,
        })
    }
}

/// What says that a request refers to one that was pushed and is gone.
pub(super) const USED_BEFORE: Refusal = Refusal::new(ErrorCode::InvalidRequestUri, Reason::DecidedBefore);
