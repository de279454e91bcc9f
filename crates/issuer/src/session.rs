//! Who sits at a browser: sessions begin with a password, live on from use, and end with all that was granted in them.

use vouchsafe_protocol::{RevocationKind, SecretString, Timestamp};
use vouchsafe_store::{NewRevocation, NewSession, Session, Signed};

use crate::audit::{Event, Remark, announce};
use crate::login::SignedIn;
use crate::opaque::{Opaque, hash_of};
use crate::{Actor, Error, Issuer};

/// By password (RFC 8176 2).
pub(crate) const AMR_PASSWORD: &str = "pwd";
/// The one context there is: a person who proved it was them.
pub const ACR: &str = "1";
const LONGEST_AGENT: usize = 60;

/// Whoever a browser's request comes from.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// What the cookie digests to, if there is one.
    pub browser: Option<String>,
    /// The session that it names, if that is alive.
    pub session: Option<Session>,
}

/// A session that began just now, and what its cookie is to hold.
#[derive(Debug)]
pub struct BegunSession {
    /// What the cookie is to hold.
    pub cookie: SecretString,
    /// The session.
    pub session: Session,
}

/// Where somebody signs in.
#[derive(Clone, Copy, Debug)]
pub struct Whereabouts<'a> {
    /// The address, for the back-off of wrong passwords.
    pub source: &'a str,
    /// What the browser calls itself, in short.
    pub agent: Option<&'a str>,
}

impl Issuer {
    /// Who sits at a browser with this cookie. A session that is used lives on.
    ///
    /// # Errors
    /// The store's; [`Error::StateRollback`].
    pub async fn visitor(&self, cookie: Option<&str>) -> Result<Visitor, Error> {
        let Some(cookie) = cookie else {
            return Ok(Visitor::default());
        };
        // What ended may be alive in a database that went back.
        self.must_have_its_past()?;
        let (browser, now) = (hash_of(cookie), self.now());
        let session = self.store.session(&browser, now).await?;
        if let Some(session) = &session {
            let idle = now
                .plus(self.config.session_idle_ttl)
                .min(session.absolute_expires_at);
            self.store.touch_session(session, idle, now).await?;
        }
        Ok(Visitor {
            browser: Some(browser),
            session,
        })
    }

    /// What a browser without a cookie is given before anybody signs in at it; no row knows it.
    #[must_use]
    pub fn new_browser(&self) -> (SecretString, String) {
        let Opaque { token, hash } = Opaque::random(self.entropy());
        (token, hash)
    }

    /// Signs a person in at a browser. The session is a new one under a new name, whatever was there before.
    ///
    /// # Errors
    /// `invalid_grant` for a name or password that is wrong, as [`Issuer::token`]; the store's.
    pub async fn begin_session(
        &self,
        visitor: &Visitor,
        (username, password): (&str, &SecretString),
        whereabouts: Whereabouts<'_>,
    ) -> Result<BegunSession, Error> {
        self.must_have_its_past()?;
        let person = self.sign_in(username, password, whereabouts.source).await?;
        self.begin_session_of(&person, visitor, whereabouts.agent).await
    }

    pub(crate) async fn begin_session_of(
        &self,
        person: &SignedIn,
        visitor: &Visitor,
        agent: Option<&str>,
    ) -> Result<BegunSession, Error> {
        let now = self.now();
        let Opaque { token, hash } = Opaque::random(self.entropy());
        let absolute = now.plus(self.config.session_absolute_ttl);
        let session = Session {
            id: hash,
            subject: person.subject.clone(),
            auth_time: now,
            acr: Some(ACR.to_owned()),
            amr: vec![AMR_PASSWORD.to_owned()],
            agent: agent.map(|agent| agent.chars().take(LONGEST_AGENT).collect()),
            created_at: now,
            last_seen_at: now,
            idle_expires_at: now.plus(self.config.session_idle_ttl).min(absolute),
            absolute_expires_at: absolute,
        };
        let audit = Remark::new(Event::SessionBegun, &Actor::User(person.subject.clone()), now)
            .subject(&person.subject)
            .with("amr", AMR_PASSWORD)
            .entry();
        let new = NewSession {
            session,
            password_hash: person.password_hash.clone(),
            // Also one that ran out: what was granted in it goes along.
            replaces: visitor.browser.clone(),
        };
        let sign_out = self.signing_out(now);
        if !self.store.begin_session(&new, &sign_out, &audit).await? {
            return Err(wrong_password());
        }
        announce(&audit);
        if visitor.browser.is_some() {
            self.follow().await?;
        }
        Ok(BegunSession {
            cookie: token,
            session: new.session,
        })
    }

    /// Signs out of a browser: the session ends, and all that was granted in it without `offline_access`; clients that
    /// listen are told. None when it was over.
    ///
    /// # Errors
    /// The store's; [`Error::StateRollback`].
    pub async fn end_session(&self, session: &Session) -> Result<Option<Signed>, Error> {
        self.end_session_of(&session.subject, &session.id).await
    }

    pub(crate) async fn end_session_of(
        &self,
        subject: &vouchsafe_protocol::Subject,
        id: &str,
    ) -> Result<Option<Signed>, Error> {
        self.must_have_its_past()?;
        let now = self.now();
        let audit = Remark::new(Event::SessionEnded, &Actor::User(subject.clone()), now)
            .subject(subject)
            .entry();
        let revocation = self.signing_out(now);
        let signed = self.store.end_session(id, subject, &revocation, &audit).await?;
        if signed.is_some() {
            announce(&audit);
        }
        self.follow().await?;
        Ok(signed)
    }

    /// What the log says of each family that ends with a session.
    fn signing_out(&self, now: Timestamp) -> NewRevocation {
        self.revocation(RevocationKind::Session, "", now)
    }
}

pub(crate) fn wrong_password() -> Error {
    use vouchsafe_protocol::{ErrorCode, Reason};
    Error::refused(ErrorCode::InvalidGrant, Reason::BadPassword)
}
