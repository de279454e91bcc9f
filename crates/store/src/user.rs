//! People: their account, password hash, roles and failed sign-ins.

use sea_orm::{ConnectionTrait, FromQueryResult};
use vouchsafe_protocol::{RoleName, SecretString, Subject, Timestamp};

use crate::backend::{Gate, Write, retrying};
use crate::family::end_of_subject;
use crate::log::conclude;
use crate::profile::Profile;
use crate::sign_in::forget_attempts;
use crate::sql::{Cell, all, execute, instant, one};
use crate::{AuditEntry, ChangeKind, NewRevocation, RevokeReason, Store, StoreError};

/// A person's account without its password hash.
#[derive(Clone, Debug)]
pub struct User {
    /// The immutable id, `sub` of their tokens.
    pub subject: Subject,
    /// The name as it was chosen.
    pub username: String,
    /// Where mail reaches them.
    pub email: Option<String>,
    /// True when somebody made sure of that.
    pub email_verified: bool,
    /// What else is said of them.
    pub profile: Profile,
    /// Their direct roles, by name.
    pub roles: Vec<RoleName>,
    /// True when a password is set.
    pub has_password: bool,
    /// Since when they may not sign in.
    pub locked_at: Option<Timestamp>,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The immutable id.
    pub subject: Subject,
    /// The name as it was chosen.
    pub username: String,
    /// The name as it is looked up: normalised and case-folded.
    pub name_key: String,
    /// The name as a reader's eye sees it: look-alikes share it.
    pub name_skeleton: String,
    /// Where mail reaches them.
    pub email: Option<String>,
    /// A PHC string, when a password is set.
    pub password_hash: Option<SecretString>,
    /// Their direct roles.
    pub roles: Vec<RoleName>,
    /// When.
    pub created_at: Timestamp,
}

#[derive(FromQueryResult)]
struct Row {
    subject: String,
    username: String,
    email: Option<String>,
    has_password: i64,
    locked_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
    email_verified: i64,
    profile: Option<String>,
}

const COLUMNS: &str = "subject, username, email, CAST(CASE WHEN password_hash IS NULL THEN 0 ELSE 1 END AS BIGINT) AS has_password, \
    locked_at, created_at, updated_at, email_verified, profile";

impl Row {
    fn into_user(self, roles: Vec<RoleName>) -> Result<User, StoreError> {
        let cell = |column| Cell {
            table: "user_account",
            column,
            id: &self.subject,
        };
        let profile = self.profile.as_deref();
        Ok(User {
            subject: cell("subject").parse(&self.subject)?,
            profile: profile
                .map(|text| cell("profile").json(text))
                .transpose()?
                .unwrap_or_default(),
            username: self.username,
            email: self.email,
            email_verified: self.email_verified != 0,
            roles,
            has_password: self.has_password != 0,
            locked_at: self.locked_at.map(instant),
            created_at: instant(self.created_at),
            updated_at: instant(self.updated_at),
        })
    }
}

/// A person's direct roles, by name.
pub(crate) async fn roles_of(db: &impl ConnectionTrait, subject: &str) -> Result<Vec<RoleName>, StoreError> {
    #[derive(FromQueryResult)]
    struct RoleRow {
        role: String,
    }
    let sql = "SELECT role FROM user_role WHERE subject = $1 ORDER BY role";
    let rows: Vec<RoleRow> = all(db, sql, [subject.into()]).await?;
    rows.iter()
        .map(|row| {
            Cell {
                table: "user_role",
                column: "role",
                id: subject,
            }
            .parse(&row.role)
        })
        .collect()
}

/// Replaces the direct roles of a person. Roles are held before rows of the table between, as whoever removes one does.
async fn put_roles(write: &Write, subject: &Subject, roles: &[RoleName]) -> Result<(), StoreError> {
    #[derive(FromQueryResult)]
    struct Held {
        name: String,
    }
    let mut names: Vec<&str> = roles.iter().map(RoleName::as_str).collect();
    names.sort_unstable();
    names.dedup();
    for name in &names {
        let sql = format!("SELECT name FROM role WHERE name = $1{}", write.for_share());
        let held: Option<Held> = one(&**write, &sql, [(*name).into()]).await?;
        if held.is_none_or(|held| held.name != *name) {
            return Err(StoreError::NotFound { what: "role" });
        }
    }
    let sql = "DELETE FROM user_role WHERE subject = $1";
    execute(&**write, sql, [subject.as_str().into()]).await?;
    for name in names {
        let sql = "INSERT INTO user_role (subject, role) VALUES ($1, $2)";
        execute(&**write, sql, [subject.as_str().into(), name.into()]).await?;
    }
    Ok(())
}

impl Store {
    /// A person by their subject, or none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn user(&self, subject: &Subject) -> Result<Option<User>, StoreError> {
        self.user_where("subject", subject.as_str()).await
    }

    /// A person by the normalised form of their name, or none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn user_by_name(&self, name_key: &str) -> Result<Option<User>, StoreError> {
        self.user_where("name_key", name_key).await
    }

    async fn user_where(&self, column: &'static str, value: &str) -> Result<Option<User>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM user_account WHERE {column} = $1");
        let row: Option<Row> = one(self.db.reader(), &sql, [value.into()]).await?;
        match row {
            Some(row) => {
                let roles = roles_of(self.db.reader(), &row.subject).await?;
                Ok(Some(row.into_user(roles)?))
            }
            None => Ok(None),
        }
    }

    /// At most `limit` people after the name `after`, by normalised name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn users(&self, after: &str, limit: u32) -> Result<Vec<User>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM user_account WHERE name_key > $1 ORDER BY name_key LIMIT $2");
        let rows: Vec<Row> = all(self.db.reader(), &sql, [after.into(), i64::from(limit).into()]).await?;
        let mut users = Vec::with_capacity(rows.len());
        for row in rows {
            let roles = roles_of(self.db.reader(), &row.subject).await?;
            users.push(row.into_user(roles)?);
        }
        Ok(users)
    }

    /// Adds a person.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the name or a look-alike is taken; [`StoreError::NotFound`] for an unknown role;
    /// [`StoreError::Unavailable`].
    pub async fn insert_user(&self, user: &NewUser, audit: &AuditEntry) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "INSERT INTO user_account (subject, username, name_key, name_skeleton, email, password_hash, \
                       created_at, updated_at) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $7)";
            let values = [
                user.subject.as_str().into(),
                user.username.clone().into(),
                user.name_key.clone().into(),
                user.name_skeleton.clone().into(),
                user.email.clone().into(),
                user.password_hash
                    .as_ref()
                    .map(|hash| hash.expose().to_owned())
                    .into(),
                user.created_at.as_unix().into(),
            ];
            execute(&*write, sql, values)
                .await
                .map_err(|error| error.or_exists("user"))?;
            put_roles(&write, &user.subject, &user.roles).await?;
            conclude(write, ChangeKind::User, user.subject.as_str(), audit).await
        })
        .await
    }

    /// Replaces a person's direct roles.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown person or role; [`StoreError::Unavailable`].
    pub async fn set_roles(
        &self,
        subject: &Subject,
        roles: &[RoleName],
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "UPDATE user_account SET updated_at = $2 WHERE subject = $1";
            if execute(&*write, sql, [subject.as_str().into(), audit.at.as_unix().into()]).await? == 0 {
                return Err(StoreError::NotFound { what: "user" });
            }
            put_roles(&write, subject, roles).await?;
            conclude(write, ChangeKind::User, subject.as_str(), audit).await
        })
        .await
    }

    /// Locks a person out, ending all they were granted, or (with no revocation) lets them in again. Failed sign-ins
    /// counted under `attempts` are forgotten.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    pub async fn set_locked(
        &self,
        subject: &Subject,
        attempts: &str,
        revocation: Option<&NewRevocation>,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            write.close_gate(Gate::User(subject.as_str())).await?;
            let sql = "UPDATE user_account SET locked_at = $2, updated_at = $3 \
                       WHERE subject = $1";
            let locked_at = revocation.map(|revocation| revocation.at.as_unix());
            if execute(
                &*write,
                sql,
                [
                    subject.as_str().into(),
                    locked_at.into(),
                    audit.at.as_unix().into(),
                ],
            )
            .await?
                == 0
            {
                return Err(StoreError::NotFound { what: "user" });
            }
            forget_attempts(&*write, attempts).await?;
            if let Some(revocation) = revocation {
                end_of_subject(
                    &write,
                    subject,
                    || self.stamped(revocation),
                    RevokeReason::UserLocked,
                )
                .await?;
            }
            conclude(write, ChangeKind::User, subject.as_str(), audit).await
        })
        .await
    }

    /// Removes a person and ends all they were granted.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    pub async fn delete_user(
        &self,
        subject: &Subject,
        revocation: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            write.close_gate(Gate::User(subject.as_str())).await?;
            if execute(
                &*write,
                "DELETE FROM user_account WHERE subject = $1",
                [subject.as_str().into()],
            )
            .await?
                == 0
            {
                return Err(StoreError::NotFound { what: "user" });
            }
            end_of_subject(
                &write,
                subject,
                || self.stamped(revocation),
                RevokeReason::UserDeleted,
            )
            .await?;
            // After the sessions, under which consent is given.
            for table in ["user_role", "consent", "pairwise_subject"] {
                let sql = format!("DELETE FROM {table} WHERE subject = $1");
                execute(&*write, &sql, [subject.as_str().into()]).await?;
            }
            conclude(write, ChangeKind::User, subject.as_str(), audit).await
        })
        .await
    }
}
