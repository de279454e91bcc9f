//! What the issuer asks of other hosts, as a trait: that it speaks HTTP, and whom it may reach, is the server's matter.

use std::pin::Pin;
use std::time::Duration;

use url::Url;

/// A future of an answer.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, OutboundError>> + Send + 'a>>;

/// An answer, its body read to the end.
#[derive(Debug)]
pub struct Fetched {
    /// The status; a redirect is not followed.
    pub status: u16,
    /// The body, bounded.
    pub body: Vec<u8>,
    /// How long it may be kept (RFC 9111 5.2.2.1); none where it does not say.
    pub cache_for: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The address may not be asked.
    #[error("the address is refused: {0}")]
    Refused(&'static str),
    /// Nobody answered, or not as HTTP demands.
    #[error("it failed: {0}")]
    Failed(String),
    /// The answer is longer than is read.
    #[error("the answer is too long")]
    TooLarge,
    /// The answer was not there in time.
    #[error("the answer took too long")]
    TooSlow,
}

/// Asks other hosts, within bounds of time, length and place.
pub trait Outbound: Send + Sync + 'static {
    /// Whether addresses of this machine and of private networks may be asked.
    fn allows_private(&self) -> bool;

    /// Whether the address may be asked, so far as is known now; nobody is asked but the resolver of names.
    ///
    /// # Errors
    /// [`OutboundError::Refused`]; the others where the name has no address.
    fn judge<'a>(&'a self, url: &'a Url) -> Asked<'a, ()>;

    /// Reads one document.
    ///
    /// # Errors
    /// [`OutboundError`]. A status is none.
    fn get<'a>(&'a self, url: &'a Url) -> Asked<'a, Fetched>;

    /// Sends one form.
    ///
    /// # Errors
    /// [`OutboundError`]. A status is none.
    fn post_form<'a>(&'a self, url: &'a Url, form: &'a [(&'a str, &'a str)]) -> Asked<'a, Fetched>;
}
