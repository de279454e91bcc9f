//! People: create, list, show, lock, unlock, set a password, set roles, delete.

use vouchsafe_protocol::{RevocationKind, RoleName, SecretString, Subject};
use vouchsafe_store::{NewUser, User};

use super::{AdminError, or_not_found};
use crate::audit::{Event, Remark};
use crate::names::{AccountName, lookup_key};
use crate::{Actor, Issuer};

/// An account to be made.
#[derive(Clone, Debug)]
pub struct UserDraft {
    /// The name.
    pub username: String,
    /// Where mail reaches them.
    pub email: Option<String>,
    /// The password, if they get one now.
    pub password: Option<SecretString>,
    /// Their direct roles.
    pub roles: Vec<RoleName>,
}

impl Issuer {
    /// Makes an account.
    ///
    /// # Errors
    /// [`AdminError`]; [`AdminError::Refused`] also when a look-alike of the name is taken.
    pub async fn create_user(&self, draft: &UserDraft, actor: &Actor) -> Result<User, AdminError> {
        let name =
            AccountName::parse(&draft.username).map_err(|error| AdminError::invalid(error.to_string()))?;
        if draft.email.as_deref().is_some_and(|email| !is_address(email)) {
            return Err(AdminError::invalid("this is not a mail address"));
        }
        let password_hash = match &draft.password {
            Some(password) => Some(self.hasher.hash(password, self.entropy()).await?),
            None => None,
        };
        let user = NewUser {
            subject: Subject::random(self.entropy()),
            username: name.shown,
            name_key: name.key,
            name_skeleton: name.skeleton,
            email: draft.email.clone(),
            password_hash,
            roles: draft.roles.clone(),
            created_at: self.now(),
        };
        let audit = Remark::new(Event::UserCreated, actor, self.now())
            .subject(&user.subject)
            .entry();
        or_not_found(
            self.store.insert_user(&user, &audit).await,
            "user",
            &draft.username,
        )?;
        self.concluded(&audit).await?;
        self.show_user(user.subject.as_str()).await
    }

    /// An account by its name or its subject.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Failed`].
    pub async fn show_user(&self, name: &str) -> Result<User, AdminError> {
        let found = match Subject::parse(name) {
            Ok(subject) => self.store.user(&subject).await?,
            Err(_) => self.store.user_by_name(&lookup_key(name)).await?,
        };
        found.ok_or_else(|| AdminError::not_found("user", name))
    }

    /// At most `limit` accounts after the name `after`, by name.
    ///
    /// # Errors
    /// [`AdminError::Failed`].
    pub async fn list_users(&self, after: &str, limit: u32) -> Result<Vec<User>, AdminError> {
        Ok(self.store.users(&lookup_key(after), limit).await?)
    }

    /// Locks a person out and ends all they were granted, or lets them in again.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn set_user_locked(&self, name: &str, locked: bool, actor: &Actor) -> Result<(), AdminError> {
        let now = self.now();
        let user = self.show_user(name).await?;
        let attempts = self.attempts_of(&lookup_key(&user.username))?;
        let subject = user.subject;
        let revocation = locked.then(|| self.revocation(RevocationKind::Subject, subject.as_str(), now));
        let event = if locked {
            Event::UserLocked
        } else {
            Event::UserUnlocked
        };
        let audit = Remark::new(event, actor, now).subject(&subject).entry();
        or_not_found(
            self.store
                .set_locked(&subject, &attempts, revocation.as_ref(), &audit)
                .await,
            "user",
            name,
        )?;
        self.concluded(&audit).await
    }

    /// Sets a new password and ends everything granted under the old one.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn set_user_password(
        &self,
        name: &str,
        password: &SecretString,
        actor: &Actor,
    ) -> Result<(), AdminError> {
        let user = self.show_user(name).await?;
        let attempts = self.attempts_of(&lookup_key(&user.username))?;
        let subject = user.subject;
        let hash = self.hasher.hash(password, self.entropy()).await?;
        let now = self.now();
        let revocation = self.revocation(RevocationKind::Subject, subject.as_str(), now);
        let audit = Remark::new(Event::UserPasswordSet, actor, now)
            .subject(&subject)
            .entry();
        or_not_found(
            self.store
                .set_password(&subject, &hash, &attempts, &revocation, &audit)
                .await,
            "user",
            name,
        )?;
        self.concluded(&audit).await
    }

    /// Replaces a person's direct roles; the next token knows them.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn set_user_roles(
        &self,
        name: &str,
        roles: &[RoleName],
        actor: &Actor,
    ) -> Result<User, AdminError> {
        let subject = self.show_user(name).await?.subject;
        let names: Vec<String> = roles.iter().map(ToString::to_string).collect();
        let audit = Remark::new(Event::UserRolesSet, actor, self.now())
            .subject(&subject)
            .with("roles", names)
            .entry();
        or_not_found(self.store.set_roles(&subject, roles, &audit).await, "user", name)?;
        self.concluded(&audit).await?;
        self.show_user(subject.as_str()).await
    }

    /// Removes an account and ends all it was granted.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn delete_user(&self, name: &str, actor: &Actor) -> Result<(), AdminError> {
        let now = self.now();
        let subject = self.show_user(name).await?.subject;
        let revocation = self.revocation(RevocationKind::Subject, subject.as_str(), now);
        let audit = Remark::new(Event::UserDeleted, actor, now)
            .subject(&subject)
            .entry();
        or_not_found(
            self.store.delete_user(&subject, &revocation, &audit).await,
            "user",
            name,
        )?;
        self.concluded(&audit).await
    }
}

/// Enough of a check to catch a slip: one `@`, no spaces or controls.
pub(super) fn is_address(text: &str) -> bool {
    let mut parts = text.split('@');
    let (local, domain, rest) = (parts.next(), parts.next(), parts.next());
    let plain = text.len() <= 254 && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    plain
        && rest.is_none()
        && local.is_some_and(|part| !part.is_empty())
        && domain.is_some_and(|part| !part.is_empty())
}
