//! An answer on its way through the browser: always to a registered address, always with the issuer's name (RFC 9207).

use url::form_urlencoded;
use vouchsafe_protocol::{Refusal, ResponseMode};

use crate::Error;

/// What the browser carries to the client.
#[derive(Clone)]
pub struct Answer {
    /// The redirect URI, byte for byte as it is registered but for a loopback port.
    pub redirect_uri: String,
    /// How.
    pub mode: ResponseMode,
    /// The parameters.
    pub parameters: Vec<(&'static str, String)>,
}

/// Codes are among the parameters.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.parameters.iter().map(|(name, _)| name).collect();
        f.debug_struct("Answer")
            .field("mode", &self.mode)
            .field("parameters", &names)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// The address to send a browser to, for an answer in the query.
    #[must_use]
    pub fn location(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.parameters);
        let joint = if self.redirect_uri.contains('?') { '&' } else { '?' };
        format!("{}{joint}{}", self.redirect_uri, query.finish())
    }
}

/// Why there is no step to take.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizeError {
    /// There is no address that could be trusted with an answer, or nothing could be decided: the person is told.
    #[error(transparent)]
    Page(#[from] Error),
    /// The client is told.
    #[error("refused: {}", .refusal.reason.as_str())]
    Answer {
        /// What it is told.
        answer: Box<Answer>,
        /// Why.
        refusal: Refusal,
        /// Nobody vouches for the client, and it did not ask to be answered without a page: the person is shown where the
        /// answer would go (RFC 9700 4.11.2).
        stranger: bool,
    },
}

impl From<Refusal> for AuthorizeError {
    fn from(refusal: Refusal) -> Self {
        Self::Page(refusal.into())
    }
}

impl From<vouchsafe_store::StoreError> for AuthorizeError {
    fn from(error: vouchsafe_store::StoreError) -> Self {
        Self::Page(error.into())
    }
}
