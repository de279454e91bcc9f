//! One's own account: where one is signed in, what clients hold, another password, and making an account.

use vouchsafe_protocol::{ClientId, FamilyId, SecretString, Subject, Timestamp};
use vouchsafe_store::{Consent, FamilyFilter, RevokeReason, Session, StoreError, User};

use crate::audit::{Event, Remark, announce};
use crate::login::SignedIn;
use crate::names::{AccountName, lookup_key};
use crate::session::wrong_password;
use crate::{Actor, AdminError, BegunSession, Error, Issuer, UserDraft, Visitor, Whereabouts};

/// More than anybody wants to read on one page.
const MOST: u32 = 100;

/// What a person sees of their account.
#[derive(Clone, Debug)]
pub struct AccountView {
    /// The person.
    pub user: User,
    /// Where they are signed in.
    pub sessions: Vec<Session>,
    /// What clients hold.
    pub apps: Vec<AppOfPerson>,
    /// What they allowed, with the name of each client.
    pub consents: Vec<(Consent, String)>,
}

/// What one client holds of a person: a family that lives.
#[derive(Clone, Debug)]
pub struct AppOfPerson {
    /// The family.
    pub sid: FamilyId,
    /// What the client calls itself, else its id.
    pub client: String,
    /// What it may do, and the resource that knows each.
    pub scopes: Vec<(String, Option<String>)>,
    /// Since when.
    pub since: Timestamp,
    /// When it was last used.
    pub last_used_at: Timestamp,
    /// It stays when the browser is signed out.
    pub offline: bool,
}

/// Another password for oneself.
#[derive(Clone, Copy, Debug)]
pub struct NewPassword<'a> {
    /// The one in force.
    pub current: &'a SecretString,
    /// The one that is to be.
    pub new: &'a SecretString,
}

/// What became of making an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUp {
    /// It is made, or the name was taken: nobody learns which.
    Done,
    /// Nobody makes an account for themselves here.
    Closed,
    /// No account can have this name.
    BadName,
    /// This is no mail address.
    BadEmail,
    /// This is no password: too short or too long.
    BadPassword,
}

impl Issuer {
    /// The account of whoever is signed in.
    ///
    /// # Errors
    /// The store's.
    pub async fn account(&self, subject: &Subject) -> Result<Option<AccountView>, Error> {
        let now = self.now();
        let Some(user) = self.store.user(subject).await? else {
            return Ok(None);
        };
        let filter = FamilyFilter {
            subject: Some(subject.clone()),
            client_id: None,
            ended_too: false,
        };
        let mut apps = Vec::new();
        for summary in self.store.families(&filter, now, MOST).await? {
            let family = summary.family;
            let client = self.client(&family.client_id).await?;
            let scopes = client.map(|client| {
                let targets = self.targets_as_they_stand(&client, &family.audience);
                self.scope_lines(&client, &targets, &family.scope)
            });
            apps.push(AppOfPerson {
                client: self.name_of(&family.client_id).await?,
                offline: family.session_id.is_none()
                    || family.scope.contains(vouchsafe_protocol::OFFLINE_ACCESS),
                sid: family.id,
                scopes: scopes.unwrap_or_default(),
                since: family.created_at,
                last_used_at: family.rotated_at,
            });
        }
        let mut consents = Vec::new();
        for consent in self.store.consents_of(subject, MOST).await? {
            let name = self.name_of(&consent.client_id).await?;
            consents.push((consent, name));
        }
        Ok(Some(AccountView {
            sessions: self.store.sessions_of(subject, now, MOST).await?,
            user,
            apps,
            consents,
        }))
    }

    async fn name_of(&self, id: &ClientId) -> Result<String, Error> {
        let client = self.store.client(id).await?;
        Ok(client
            .and_then(|client| client.name)
            .unwrap_or_else(|| id.to_string()))
    }

    /// The name of a person, for their own pages; none when the account is gone.
    ///
    /// # Errors
    /// The store's.
    pub async fn username(&self, subject: &Subject) -> Result<Option<String>, Error> {
        Ok(self.store.user(subject).await?.map(|user| user.username))
    }

    /// Ends one of one's own browser sessions.
    ///
    /// # Errors
    /// The store's.
    pub async fn end_own_session(&self, subject: &Subject, id: &str) -> Result<(), Error> {
        self.end_session_of(subject, id).await.map(drop)
    }

    /// Ends what one client holds of oneself.
    ///
    /// # Errors
    /// The store's.
    pub async fn end_own_app(&self, subject: &Subject, sid: &FamilyId) -> Result<(), Error> {
        let family = self.store.family(sid).await?;
        if family.is_some_and(|family| family.subject == *subject) {
            let actor = Actor::User(subject.clone());
            self.end_family(sid, RevokeReason::EndedByPerson, &actor, None)
                .await?;
        }
        Ok(())
    }

    /// Sets another password for whoever knows the present one, ends everything that was granted under it, and begins a
    /// session in its place.
    ///
    /// # Errors
    /// `invalid_grant` for a wrong password, one that no account may have, and where password or session went meanwhile; the
    /// store's.
    pub async fn change_password(
        &self,
        visitor: &Visitor,
        passwords: NewPassword<'_>,
        whereabouts: Whereabouts<'_>,
    ) -> Result<Option<BegunSession>, Error> {
        let Some(session) = &visitor.session else {
            return Ok(None);
        };
        self.must_have_its_past()?;
        let subject = &session.subject;
        let user = self.store.user(subject).await?.ok_or_else(wrong_password)?;
        let proven = self
            .sign_in(&user.username, passwords.current, whereabouts.source)
            .await?;
        if proven.subject != *subject {
            return Err(wrong_password());
        }
        let old = &proven.password_hash;
        let hash = self.hasher.hash(passwords.new, self.entropy()).await?;
        let now = self.now();
        let attempts = self.attempts_of(&lookup_key(&user.username))?;
        let kind = vouchsafe_protocol::RevocationKind::Subject;
        let revocation = self.revocation(kind, subject.as_str(), now);
        let audit = Remark::new(Event::UserPasswordSet, &Actor::User(subject.clone()), now)
            .subject(subject)
            .entry();
        let replaced = self
            .store
            .replace_own_password(
                (subject, &session.id),
                (old, &hash),
                &attempts,
                &revocation,
                &audit,
            )
            .await?;
        if !replaced {
            return Err(wrong_password());
        }
        announce(&audit);
        self.follow().await?;
        let person = SignedIn {
            subject: subject.clone(),
            password_hash: hash,
        };
        let ended = Visitor::default();
        let begun = self.begin_session_of(&person, &ended, whereabouts.agent).await?;
        Ok(Some(begun))
    }

    /// Whether a password is one that an account may have: 8 to 1,024 bytes.
    #[must_use]
    pub fn is_good_password(password: &SecretString) -> bool {
        crate::password::is_good_length(password)
    }

    /// Makes an account for whoever asks. That a name is taken is told to nobody, and costs the same hash.
    ///
    /// # Errors
    /// [`Error::Busy`]; the store's.
    pub async fn sign_up(
        &self,
        username: &str,
        email: Option<&str>,
        password: SecretString,
    ) -> Result<SignUp, Error> {
        if !self.config.sign_up {
            return Ok(SignUp::Closed);
        }
        self.must_have_its_past()?;
        if AccountName::parse(username).is_err() {
            return Ok(SignUp::BadName);
        }
        if !Self::is_good_password(&password) {
            return Ok(SignUp::BadPassword);
        }
        let draft = UserDraft {
            username: username.to_owned(),
            email: email.map(str::to_owned),
            password: Some(password),
            roles: Vec::new(),
        };
        match self.create_user(&draft, &Actor::System).await {
            Ok(_) | Err(AdminError::Refused(_)) => Ok(SignUp::Done),
            Err(AdminError::Invalid(_)) => Ok(SignUp::BadEmail),
            Err(AdminError::Failed(Error::Store(StoreError::Exists { .. }))) => Ok(SignUp::Done),
            Err(AdminError::Failed(error)) => Err(error),
            Err(AdminError::NotFound { .. } | AdminError::Changed { .. }) => {
                Err(Error::Internal("a new account depends on nothing"))
            }
        }
    }
}
