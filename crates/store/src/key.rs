//! Rows of the issuer's keys: public half, sealed private half, and the instants that make its state.

use sea_orm::{ConnectionTrait, FromQueryResult};
use vouchsafe_protocol::failpoint::reach;
use vouchsafe_protocol::{Kid, Timestamp};

use crate::backend::{Write, retrying};
use crate::family::end_of_mac_key;
use crate::log::{append_revocation, conclude};
use crate::sql::{Cell, all, execute, instant, one};
use crate::{AuditEntry, ChangeKind, NewRevocation, Store, StoreError};

/// One key as it lies in the database. The words and the sealing are the keys crate's affair.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Its id.
    pub kid: Kid,
    /// Its algorithm.
    pub algorithm: String,
    /// What it is for.
    pub purpose: String,
    /// The public half as JSON.
    pub public_jwk: Option<String>,
    /// The sealed private half; none once destroyed.
    pub sealed: Option<Vec<u8>>,
    /// The id of the master key that sealed it.
    pub sealed_by: Option<String>,
    /// Since when it is published.
    pub published_at: Timestamp,
    /// From when it signs.
    pub activates_at: Timestamp,
    /// From when it no longer signs.
    pub deactivates_at: Option<Timestamp>,
    /// Since when it is known to be compromised.
    pub compromised_at: Option<Timestamp>,
}

/// One change to the set of keys.
#[derive(Clone, Debug)]
pub enum KeyChange {
    /// A new key.
    Insert(KeyRow),
    /// It signs from another instant on.
    Activate(Kid, Timestamp),
    /// It signs no longer from this instant on.
    Deactivate(Kid, Timestamp),
    /// It is compromised.
    Compromise(Kid, Timestamp),
    /// Its private half is erased.
    Destroy(Kid),
    /// Its private half is sealed anew: bytes and the id of the master key.
    Reseal(Kid, Vec<u8>, String),
}

#[derive(FromQueryResult)]
struct Row {
    kid: String,
    algorithm: String,
    purpose: String,
    public_jwk: Option<String>,
    sealed: Option<Vec<u8>>,
    sealed_by: Option<String>,
    published_at: i64,
    activates_at: i64,
    deactivates_at: Option<i64>,
    compromised_at: Option<i64>,
}

const COLUMNS: &str = "kid, algorithm, purpose, public_jwk, sealed, sealed_by, published_at, activates_at, \
    deactivates_at, compromised_at";

impl Row {
    fn into_key(self) -> Result<KeyRow, StoreError> {
        Ok(KeyRow {
            kid: Cell {
                table: "issuer_key",
                column: "kid",
                id: &self.kid,
            }
            .parse(&self.kid)?,
            algorithm: self.algorithm,
            purpose: self.purpose,
            public_jwk: self.public_jwk,
            sealed: self.sealed,
            sealed_by: self.sealed_by,
            published_at: instant(self.published_at),
            activates_at: instant(self.activates_at),
            deactivates_at: self.deactivates_at.map(instant),
            compromised_at: self.compromised_at.map(instant),
        })
    }
}

impl Store {
    /// Every key ever made, and the number of changes that this view of them includes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn keys(&self) -> Result<(Vec<KeyRow>, i64), StoreError> {
        let version = key_version(self.db.follower()).await?;
        let sql = format!("SELECT {COLUMNS} FROM issuer_key ORDER BY activates_at, kid");
        let rows: Vec<Row> = all(self.db.follower(), &sql, []).await?;
        let keys = rows.into_iter().map(Row::into_key).collect::<Result<_, _>>()?;
        Ok((keys, version))
    }

    /// Applies the changes if the set of keys is still the one read at `version`; the loser learns it by
    /// [`StoreError::Stale`] and drops its new keys. `ended_mac` names a refresh MAC key whose families end with it;
    /// says how many did.
    ///
    /// # Errors
    /// [`StoreError::Stale`], [`StoreError::Exists`], [`StoreError::Unavailable`].
    pub async fn change_keys(
        &self,
        version: i64,
        changes: &[KeyChange],
        revocation: Option<&NewRevocation>,
        ended_mac: Option<&Kid>,
        audit: &AuditEntry,
    ) -> Result<u64, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            lock_keys(&write).await?;
            if key_version(&*write).await? != version {
                return Err(StoreError::Stale { what: "set of keys" });
            }
            for change in changes {
                apply(&*write, change, self.now()).await?;
            }
            let revocation = revocation.map(|revocation| self.stamped(revocation));
            let ended = match (ended_mac, &revocation) {
                (Some(kid), Some(revocation)) => end_of_mac_key(&write, kid, revocation).await?,
                _ => 0,
            };
            if let Some(revocation) = &revocation {
                append_revocation(&write, revocation).await?;
            }
            reach("keys.before_commit");
            conclude(write, ChangeKind::Keys, "", audit).await?;
            reach("keys.after_commit");
            Ok(ended)
        })
        .await
    }
}

/// One change of the set of keys after the other: the loser of two waits here and then finds the version changed.
pub(crate) async fn lock_keys(write: &Write) -> Result<(), StoreError> {
    // The row is a lock; the version is the newest change of the log.
    let sql = "UPDATE counter SET n = n WHERE name = 'keys'";
    match execute(&**write, sql, []).await? {
        1 => Ok(()),
        _ => Err(StoreError::Corrupt {
            table: "counter",
            column: "name",
            id: "keys".to_owned(),
        }),
    }
}

/// How many changes the set of keys has seen. Read before the keys: a change in between makes the guard fail, never pass.
pub(crate) async fn key_version(db: &impl ConnectionTrait) -> Result<i64, StoreError> {
    #[derive(FromQueryResult)]
    struct Version {
        version: i64,
    }
    let sql = "SELECT COALESCE(MAX(n), 0) AS version FROM change_log WHERE kind = 'keys'";
    let version: Option<Version> = one(db, sql, []).await?;
    Ok(version.map_or(0, |version| version.version))
}

pub(crate) async fn apply(
    db: &impl ConnectionTrait,
    change: &KeyChange,
    now: Timestamp,
) -> Result<(), StoreError> {
    let touched = match change {
        KeyChange::Insert(key) => insert(db, key).await?,
        KeyChange::Activate(kid, at) => {
            let sql = "UPDATE issuer_key SET activates_at = $2 WHERE kid = $1 AND compromised_at IS NULL";
            execute(db, sql, [kid.as_str().into(), at.as_unix().into()]).await?
        }
        KeyChange::Deactivate(kid, at) => {
            // A key whose end has passed never signs again (K4).
            let sql = "UPDATE issuer_key SET deactivates_at = $2 WHERE kid = $1 \
                       AND (deactivates_at IS NULL OR deactivates_at > $3)";
            execute(
                db,
                sql,
                [kid.as_str().into(), at.as_unix().into(), now.as_unix().into()],
            )
            .await?
        }
        KeyChange::Compromise(kid, at) => {
            let sql = "UPDATE issuer_key SET compromised_at = $2 WHERE kid = $1 AND compromised_at IS NULL";
            execute(db, sql, [kid.as_str().into(), at.as_unix().into()]).await?
        }
        KeyChange::Destroy(kid) => {
            let sql = "UPDATE issuer_key SET sealed = NULL, sealed_by = NULL WHERE kid = $1";
            execute(db, sql, [kid.as_str().into()]).await?
        }
        KeyChange::Reseal(kid, sealed, sealed_by) => {
            let sql =
                "UPDATE issuer_key SET sealed = $2, sealed_by = $3 WHERE kid = $1 AND sealed IS NOT NULL";
            execute(
                db,
                sql,
                [
                    kid.as_str().into(),
                    sealed.clone().into(),
                    sealed_by.clone().into(),
                ],
            )
            .await?
        }
    };
    if touched == 1 {
        Ok(())
    } else {
        Err(StoreError::Stale { what: "key" })
    }
}

async fn insert(db: &impl ConnectionTrait, key: &KeyRow) -> Result<u64, StoreError> {
    let sql = format!("INSERT INTO issuer_key ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
    let values = [
        key.kid.as_str().into(),
        key.algorithm.clone().into(),
        key.purpose.clone().into(),
        key.public_jwk.clone().into(),
        key.sealed.clone().into(),
        key.sealed_by.clone().into(),
        key.published_at.as_unix().into(),
        key.activates_at.as_unix().into(),
        key.deactivates_at.map(Timestamp::as_unix).into(),
        key.compromised_at.map(Timestamp::as_unix).into(),
    ];
    execute(db, &sql, values)
        .await
        .map_err(|error| error.or_exists("key"))
}
