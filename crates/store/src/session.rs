//! Browser sessions: who is signed in at which browser. What the cookie holds is not here, only its digest.

use std::time::Duration;

use sea_orm::{FromQueryResult, Value};
use vouchsafe_protocol::{SecretString, Subject, Timestamp};

use crate::backend::{Gate, Write, retrying};
use crate::device_code::forget_devices;
use crate::family::{Signed, end_of_session, is_user, move_families};
use crate::sql::{Cell, all, execute, instant, json, one};
use crate::{AuditEntry, NewRevocation, Store, StoreError};

/// How often a use is noted: more often would be a write for every page.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// How often one form is taken for posted again.
const MOST_REPLACED: usize = 8;

/// One browser in which a person signed in.
#[derive(Clone, Debug)]
pub struct Session {
    /// A digest of what its cookie holds.
    pub id: String,
    /// Who signed in.
    pub subject: Subject,
    /// When they proved who they are.
    pub auth_time: Timestamp,
    /// How well.
    pub acr: Option<String>,
    /// By which means (RFC 8176).
    pub amr: Vec<String>,
    /// What the browser calls itself, in short.
    pub agent: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_seen_at: Timestamp,
    /// When it ends unless it is used.
    pub idle_expires_at: Timestamp,
    /// When it ends.
    pub absolute_expires_at: Timestamp,
}

/// A session to begin.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The row as it will be.
    pub session: Session,
    /// The hash that the person's password was checked against; a change of it meanwhile forbids the session.
    pub password_hash: SecretString,
    /// The session of the same browser that this one takes the place of.
    pub replaces: Option<String>,
}

#[derive(FromQueryResult)]
struct Row {
    id: String,
    subject: String,
    auth_time: i64,
    acr: Option<String>,
    amr: String,
    agent: Option<String>,
    created_at: i64,
    last_seen_at: i64,
    idle_expires_at: i64,
    absolute_expires_at: i64,
}

const COLUMNS: &str = "id, subject, auth_time, acr, amr, agent, created_at, last_seen_at, idle_expires_at, \
    absolute_expires_at";

/// What a living session meets; `$2` is now.
const ALIVE: &str = "ended_at IS NULL AND idle_expires_at > $2 AND absolute_expires_at > $2";

impl Row {
    fn into_session(self) -> Result<Session, StoreError> {
        let cell = |column| Cell {
            table: "session",
            column,
            id: &self.id,
        };
        Ok(Session {
            subject: cell("subject").parse(&self.subject)?,
            auth_time: instant(self.auth_time),
            acr: self.acr.clone(),
            amr: cell("amr").json(&self.amr)?,
            agent: self.agent.clone(),
            created_at: instant(self.created_at),
            last_seen_at: instant(self.last_seen_at),
            idle_expires_at: instant(self.idle_expires_at),
            absolute_expires_at: instant(self.absolute_expires_at),
            id: self.id,
        })
    }
}

impl Store {
    /// A living session, or none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn session(&self, id: &str, now: Timestamp) -> Result<Option<Session>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM session WHERE id = $1 AND {ALIVE}");
        let row: Option<Row> = one(self.db.reader(), &sql, [id.into(), now.as_unix().into()]).await?;
        row.map(Row::into_session).transpose()
    }

    /// The living sessions of a person, the one used last first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn sessions_of(
        &self,
        subject: &Subject,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM session WHERE subject = $1 AND {ALIVE} ORDER BY last_seen_at DESC, id LIMIT $3"
        );
        let values = [
            subject.as_str().into(),
            now.as_unix().into(),
            i64::from(limit).into(),
        ];
        let rows: Vec<Row> = all(self.db.reader(), &sql, values).await?;
        rows.into_iter().map(Row::into_session).collect()
    }

    /// Begins a session, unless the person was locked, removed or given another password since they were checked: then
    /// false, and nothing is written. The one that it replaces ends: a person who signed in again takes their families
    /// along, those of somebody else are signed out with them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin_session(
        &self,
        new: &NewSession,
        sign_out: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let session = &new.session;
            let user = Gate::User(session.subject.as_str());
            write.enter_gates([user, user]).await?;
            if !is_user(&write, session.subject.as_str(), Some(&new.password_hash)).await? {
                return Ok(false);
            }
            insert(&write, session).await?;
            if let Some(replaced) = &new.replaces {
                self.replace(&write, (replaced, session), sign_out).await?;
            }
            crate::audit::write(&*write, audit).await?;
            write.commit().await?;
            Ok(true)
        })
        .await
    }

    /// A form that was posted twice names the same session twice: the one that took its place meanwhile is replaced too, or
    /// it would live on with a cookie that nobody holds.
    async fn replace(
        &self,
        write: &Write,
        (replaced, by): (&str, &Session),
        sign_out: &NewRevocation,
    ) -> Result<(), StoreError> {
        let mut replaced = replaced.to_owned();
        for _ in 0..MOST_REPLACED {
            if let Some(subject) = end_row(write, &replaced, by.created_at).await? {
                let sql = "UPDATE session SET replaced_by = $2 WHERE id = $1";
                execute(&**write, sql, [replaced.as_str().into(), by.id.as_str().into()]).await?;
                return if subject == by.subject.as_str() {
                    move_families(write, &replaced, &by.id).await
                } else {
                    forget_devices(write, &[("session_id", replaced.as_str())]).await?;
                    let stamp = || self.stamped(sign_out);
                    end_of_session(write, &replaced, stamp).await.map(drop)
                };
            }
            match successor(write, &replaced).await? {
                Some(next) => replaced = next,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Notes that a session was used, so that it lives on. Nothing is written more than once a minute.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn touch_session(
        &self,
        session: &Session,
        idle_expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if now.since(session.last_seen_at) < NOTED_EVERY {
            return Ok(());
        }
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = format!(
                "UPDATE session SET last_seen_at = $2, idle_expires_at = $3 WHERE id = $1 AND {ALIVE} AND last_seen_at < $2"
            );
            let values: [Value; 3] = [
                session.id.as_str().into(),
                now.as_unix().into(),
                idle_expires_at.as_unix().into(),
            ];
            execute(&*write, &sql, values).await?;
            write.commit().await
        })
        .await
    }

    /// Signs a browser out: the session ends, and its families that were granted without `offline_access`. Their clients
    /// are told. Says how many families ended, or none when the session was over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn end_session(
        &self,
        id: &str,
        subject: &Subject,
        revocation: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<Option<Signed>, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            match end_row(&write, id, audit.at).await? {
                Some(owner) if owner == subject.as_str() => {}
                _ => return Ok(None),
            }
            forget_devices(&write, &[("session_id", id)]).await?;
            let signed = end_of_session(&write, id, || self.stamped(revocation)).await?;
            crate::audit::write(&*write, audit).await?;
            write.commit().await?;
            Ok(Some(signed))
        })
        .await
    }
}

/// The session that took the place of one that ended.
async fn successor(write: &Write, id: &str) -> Result<Option<String>, StoreError> {
    #[derive(FromQueryResult)]
    struct Next {
        replaced_by: Option<String>,
    }
    let sql = "SELECT replaced_by FROM session WHERE id = $1";
    let row: Option<Next> = one(&**write, sql, [id.into()]).await?;
    Ok(row.and_then(|row| row.replaced_by))
}

#[derive(FromQueryResult)]
struct Owner {
    subject: String,
}

async fn insert(write: &Write, session: &Session) -> Result<(), StoreError> {
    let sql = format!("INSERT INTO session ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
    let values: [Value; 10] = [
        session.id.as_str().into(),
        session.subject.as_str().into(),
        session.auth_time.as_unix().into(),
        session.acr.clone().into(),
        json(&session.amr),
        session.agent.clone().into(),
        session.created_at.as_unix().into(),
        session.last_seen_at.as_unix().into(),
        session.idle_expires_at.as_unix().into(),
        session.absolute_expires_at.as_unix().into(),
    ];
    execute(&**write, &sql, values).await.map(drop)
}

/// Ends the row; gives its person, if it had not ended.
async fn end_row(write: &Write, id: &str, at: Timestamp) -> Result<Option<String>, StoreError> {
    let sql = "UPDATE session SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL RETURNING subject";
    let ended: Option<Owner> = one(&**write, sql, [id.into(), at.as_unix().into()]).await?;
    Ok(ended.map(|ended| ended.subject))
}

/// Ends every session of a person inside the caller's transaction, which closed their gate; devices that they let in and
/// that have no tokens yet get none.
pub(crate) async fn end_sessions_of(
    write: &Write,
    subject: &Subject,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE session SET ended_at = $2 WHERE subject = $1 AND ended_at IS NULL";
    let values = [subject.as_str().into(), at.as_unix().into()];
    execute(&**write, sql, values).await?;
    forget_devices(write, &[("subject", subject.as_str())]).await
}

/// Ends every session there is inside the caller's transaction, and what a database that went back would let happen a
/// second time: what devices wait for, pushed requests, tokens for one registration. What people allowed is asked anew,
/// since it may have been taken back.
pub(crate) async fn end_all_sessions(write: &Write, at: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE session SET ended_at = $1 WHERE ended_at IS NULL";
    execute(&**write, sql, [at.as_unix().into()]).await?;
    for table in ["device_code", "pushed_request", "registration_token", "consent"] {
        execute(&**write, &format!("DELETE FROM {table}"), []).await?;
    }
    Ok(())
}

/// Keeps a session from being ended until the commit; false when it is over.
pub(crate) async fn hold_session(write: &Write, id: &str, now: Timestamp) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT subject FROM session WHERE id = $1 AND {ALIVE}{}",
        write.for_share()
    );
    let held: Option<Owner> = one(&**write, &sql, [id.into(), now.as_unix().into()]).await?;
    Ok(held.is_some())
}
