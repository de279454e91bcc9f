//! Tickets of pages: a form is taken only from the browser it was shown in, for what it was shown for, and not for ever.
//! Nothing is stored; a decision that must be made once is kept apart by the ticket's nonce.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use vouchsafe_protocol::{Timestamp, random_token};

use crate::{Error, Issuer};

const NONCE_BYTES: usize = 16;
/// A page may be left open for so long.
const PAGE: Duration = Duration::from_secs(3600);
/// What was proven is good for the request at hand for so long.
const PROOF: Duration = Duration::from_secs(600);
/// Begins every text under a MAC; secrets and names under MACs of this key hold no control character.
const DOMAIN: &[u8] = b"\0vouchsafe ticket\0";

/// What a ticket is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketPurpose {
    /// The form of signing in.
    SignIn,
    /// The form of choosing an account.
    SelectAccount,
    /// The form of consent.
    Consent,
    /// The form of entering a user code.
    DeviceCode,
    /// The form of letting a device in.
    DeviceConfirm,
    /// The form of making an account.
    SignUp,
    /// The forms of one's own account.
    Account,
    /// The form of a new password.
    Password,
    /// The form of signing out.
    SignOut,
    /// Proof that the person signed in for this request.
    SignedIn,
    /// Proof that the person chose the account for this request.
    Selected,
}

impl TicketPurpose {
    const fn word(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::SelectAccount => "select_account",
            Self::Consent => "consent",
            Self::DeviceCode => "device_code",
            Self::DeviceConfirm => "device_confirm",
            Self::SignUp => "sign_up",
            Self::Account => "account",
            Self::Password => "password",
            Self::SignOut => "sign_out",
            Self::SignedIn => "signed_in",
            Self::Selected => "selected",
        }
    }

    const fn life(self) -> Duration {
        match self {
            Self::SignedIn | Self::Selected => PROOF,
            _ => PAGE,
        }
    }
}

/// A ticket that holds.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Names the page that was shown.
    pub(crate) nonce: String,
}

impl Issuer {
    /// A ticket for this browser, named by what its cookie digests to, about one thing.
    ///
    /// # Errors
    /// [`Error::NoSigningKey`].
    pub fn ticket(&self, purpose: TicketPurpose, browser: &str, about: &str) -> Result<String, Error> {
        let (nonce, now) = (random_token(self.entropy(), NONCE_BYTES), self.now());
        let ring = self.keys.load();
        let key = ring.secret_hash(now).ok_or(Error::NoSigningKey)?;
        let mac = key.mac(&text(purpose, (&nonce, now), browser, about));
        Ok(format!(
            "{}.{}.{nonce}.{}",
            key.kid(),
            now.as_unix(),
            URL_SAFE_NO_PAD.encode(mac)
        ))
    }

    /// Opens a ticket; none for one that was made for something else, elsewhere, or too long ago.
    #[must_use]
    pub fn open_ticket(
        &self,
        purpose: TicketPurpose,
        browser: &str,
        about: &str,
        ticket: &str,
    ) -> Option<Ticket> {
        let mut parts = ticket.split('.');
        let (kid, at, nonce, mac) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let at = Timestamp::from_unix(at.parse().ok()?);
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        let now = self.now();
        let ring = self.keys.load();
        let key = ring.secret_hash_by(kid)?;
        let holds = parts.next().is_none()
            && now.since(at) <= purpose.life()
            && key.verify(&text(purpose, (nonce, at), browser, about), &mac);
        holds.then(|| Ticket {
            nonce: nonce.to_owned(),
        })
    }
}

/// Every part with its length, so that no two tickets have one text.
fn text(purpose: TicketPurpose, (nonce, at): (&str, Timestamp), browser: &str, about: &str) -> Vec<u8> {
    let mut text = DOMAIN.to_vec();
    for part in [purpose.word(), nonce, &at.as_unix().to_string(), browser, about] {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    text
}
