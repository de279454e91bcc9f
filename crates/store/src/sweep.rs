//! Forgetting in small batches what nothing can need any more: each kind in a transaction of its own, oldest first by
//! an index, and never waiting for a row that somebody holds.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sea_orm::FromQueryResult;
use vouchsafe_protocol::Timestamp;
use vouchsafe_protocol::failpoint::reach;

use crate::backend::retrying;
use crate::mark::BEATS_KEPT;
use crate::sql::{all, one};
use crate::{Store, StoreError};

/// Numbers of rows, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Families past their absolute end. Until then a row stays, ended or not: it recognises every token of its line.
    pub families: u64,
    /// Entries of the revocation log that no token can fall under.
    pub revocations: u64,
    /// Entries of the change log that every cache has followed.
    pub changes: u64,
    /// Expired client secrets.
    pub secrets: u64,
    /// Failed sign-ins that were long ago.
    pub attempts: u64,
    /// Audit rows beyond their retention.
    pub audit: u64,
    /// Beats that nobody asks for any more.
    pub beats: u64,
    /// Browser sessions past their absolute end.
    pub sessions: u64,
    /// Authorization codes of yesterday.
    pub codes: u64,
    /// Pushed authorization requests that ended.
    pub requests: u64,
    /// Device codes that ended.
    pub devices: u64,
    /// Registration tokens that ended.
    pub registrations: u64,
    /// Self-registered clients that came to nothing.
    pub clients: u64,
}

impl Swept {
    /// The largest of the numbers.
    #[must_use]
    pub fn most(&self) -> u64 {
        let of_tokens = self.families.max(self.revocations).max(self.changes);
        let of_people = self.secrets.max(self.attempts).max(self.audit);
        let of_browsers = self.sessions.max(self.codes).max(self.requests);
        let of_clients = self.devices.max(self.registrations).max(self.clients);
        of_tokens
            .max(of_people)
            .max(self.beats)
            .max(of_browsers)
            .max(of_clients)
    }
}

const CLOCKS_APART: Duration = Duration::from_secs(60);
const CHANGES_KEPT: Duration = Duration::from_secs(24 * 3600);
const ATTEMPTS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// A second use of a code is known for one for so long.
const CODES_KEPT: Duration = Duration::from_secs(24 * 3600);
/// A device that asks late is told that its code ended.
const DEVICES_KEPT: Duration = Duration::from_secs(3600);
/// So long a self-registered client has for its first sign-in.
const UNUSED_KEPT: Duration = Duration::from_secs(24 * 3600);
/// The backlog is counted up to here.
const COUNTED: i64 = 100_000;

/// How far the sweep of a kind has come, so that a long one does not walk over what it removed before: PostgreSQL keeps
/// that in the index for a while.
#[derive(Debug)]
pub(crate) struct Position(AtomicI64);

impl Default for Position {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

/// The position of each kind.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    families: Position,
    revocations: Position,
    changes: Position,
    secrets: Position,
    attempts: Position,
    audit: Position,
    beats: Position,
    sessions: Position,
    codes: Position,
    requests: Position,
    devices: Position,
    registrations: Position,
    clients: Position,
}

/// What is swept of one table: rows whose `age` lies before an instant.
struct Kind {
    table: &'static str,
    key: &'static str,
    age: &'static str,
    but: &'static str,
}

const FAMILIES: Kind = kind("refresh_family", "id", "absolute_expires_at");
const REVOCATIONS: Kind = kind("revocation_log", "n", "expires");
const CHANGES: Kind = Kind {
    // The newest entry about keys stays: it is the version that guards their next change.
    but: " AND n <> (SELECT COALESCE(MAX(n), 0) FROM change_log WHERE kind = 'keys')",
    ..kind("change_log", "n", "at")
};
const SECRETS: Kind = kind("client_secret", "id", "expires_at");
const ATTEMPTS: Kind = kind("sign_in_attempt", "name, source", "updated_at");
const AUDIT: Kind = kind("audit", "id", "at");
const BEATS: Kind = kind("beat", "n", "at");
const SESSIONS: Kind = kind("session", "id", "absolute_expires_at");
const CODES: Kind = kind("authorization_code", "code", "expires_at");
const REQUESTS: Kind = kind("pushed_request", "reference", "expires_at");
const DEVICES: Kind = kind("device_code", "device_code", "expires_at");
const REGISTRATIONS: Kind = kind("registration_token", "token", "expires_at");

const fn kind(table: &'static str, key: &'static str, age: &'static str) -> Kind {
    Kind {
        table,
        key,
        age,
        but: "",
    }
}

/// Before which instant rows of each kind are due.
struct Due {
    now: Timestamp,
    audit: Timestamp,
}

impl Due {
    fn new(now: Timestamp, audit_kept: Duration) -> Self {
        let audit = now.minus(audit_kept);
        Self { now, audit }
    }

    /// Not at once: to a replica whose clock is behind, a token may still be good, and a missing row would be an alarm.
    fn families(&self) -> Timestamp {
        self.now.minus(CLOCKS_APART)
    }

    fn changes(&self) -> Timestamp {
        self.now.minus(CHANGES_KEPT)
    }

    fn attempts(&self) -> Timestamp {
        self.now.minus(ATTEMPTS_KEPT)
    }

    fn beats(&self) -> Timestamp {
        self.now.minus(BEATS_KEPT)
    }

    fn codes(&self) -> Timestamp {
        self.now.minus(CODES_KEPT)
    }

    fn devices(&self) -> Timestamp {
        self.now.minus(DEVICES_KEPT)
    }

    fn unused(&self) -> Timestamp {
        self.now.minus(UNUSED_KEPT)
    }
}

impl Store {
    /// Removes at most `batch` rows of each kind; audit rows once they are older than `audit_kept`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; what was removed before it stays removed.
    pub async fn sweep(&self, now: Timestamp, audit_kept: Duration, batch: u32) -> Result<Swept, StoreError> {
        let due = Due::new(now, audit_kept);
        let at = &*self.swept;
        Ok(Swept {
            families: self
                .sweep_kind(&FAMILIES, &at.families, due.families(), batch)
                .await?,
            revocations: self
                .sweep_kind(&REVOCATIONS, &at.revocations, due.now, batch)
                .await?,
            changes: self
                .sweep_kind(&CHANGES, &at.changes, due.changes(), batch)
                .await?,
            secrets: self.sweep_kind(&SECRETS, &at.secrets, due.now, batch).await?,
            attempts: self
                .sweep_kind(&ATTEMPTS, &at.attempts, due.attempts(), batch)
                .await?,
            audit: self.sweep_kind(&AUDIT, &at.audit, due.audit, batch).await?,
            beats: self.sweep_kind(&BEATS, &at.beats, due.beats(), batch).await?,
            sessions: self
                .sweep_kind(&SESSIONS, &at.sessions, due.families(), batch)
                .await?,
            codes: self.sweep_kind(&CODES, &at.codes, due.codes(), batch).await?,
            requests: self
                .sweep_kind(&REQUESTS, &at.requests, due.families(), batch)
                .await?,
            devices: self
                .sweep_kind(&DEVICES, &at.devices, due.devices(), batch)
                .await?,
            registrations: self
                .sweep_kind(&REGISTRATIONS, &at.registrations, due.now, batch)
                .await?,
            clients: self.sweep_clients(&at.clients, &due, batch).await?,
        })
    }

    /// How many rows wait to be swept, each kind counted up to 100,000.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn sweep_backlog(&self, now: Timestamp, audit_kept: Duration) -> Result<Swept, StoreError> {
        let due = Due::new(now, audit_kept);
        Ok(Swept {
            families: self.count_due(&FAMILIES, due.families()).await?,
            revocations: self.count_due(&REVOCATIONS, due.now).await?,
            changes: self.count_due(&CHANGES, due.changes()).await?,
            secrets: self.count_due(&SECRETS, due.now).await?,
            attempts: self.count_due(&ATTEMPTS, due.attempts()).await?,
            audit: self.count_due(&AUDIT, due.audit).await?,
            beats: self.count_due(&BEATS, due.beats()).await?,
            sessions: self.count_due(&SESSIONS, due.families()).await?,
            codes: self.count_due(&CODES, due.codes()).await?,
            requests: self.count_due(&REQUESTS, due.families()).await?,
            devices: self.count_due(&DEVICES, due.devices()).await?,
            registrations: self.count_due(&REGISTRATIONS, due.now).await?,
            // Which of them came to nothing, only a look at each tells.
            clients: 0,
        })
    }

    async fn sweep_kind(
        &self,
        kind: &Kind,
        Position(position): &Position,
        before: Timestamp,
        batch: u32,
    ) -> Result<u64, StoreError> {
        #[derive(FromQueryResult)]
        struct Removed {
            age: i64,
        }
        let from = position.load(Ordering::Relaxed);
        // Most sweeps find nothing: a look costs no write lock.
        if self.count_up_to(kind, (from, before), 1).await? == 0 {
            position.store(i64::MIN, Ordering::Relaxed);
            return Ok(0);
        }
        let Kind {
            table, key, age, but, ..
        } = kind;
        let removed: Vec<Removed> = retrying(|| async {
            let write = self.db.write().await?;
            let free = write.for_update_of_free();
            let sql = format!(
                "DELETE FROM {table} WHERE ({key}) IN \
                 (SELECT {key} FROM {table} WHERE {age} >= $1 AND {age} < $2{but} ORDER BY {age} LIMIT $3{free}) \
                 RETURNING {age} AS age"
            );
            let values = [from.into(), before.as_unix().into(), i64::from(batch).into()];
            let removed = all(&*write, &sql, values).await?;
            reach("sweep.before_commit");
            write.commit().await?;
            reach("sweep.after_commit");
            Ok(removed)
        })
        .await?;
        let full = removed.len() as u64 >= u64::from(batch);
        let furthest = removed.iter().map(|removed| removed.age).max();
        let next = furthest.filter(|_| full).unwrap_or(i64::MIN);
        position.store(next, Ordering::Relaxed);
        Ok(removed.len() as u64)
    }

    /// Most self-registered clients stay, so each sweep looks at the next ones.
    async fn sweep_clients(
        &self,
        Position(position): &Position,
        due: &Due,
        batch: u32,
    ) -> Result<u64, StoreError> {
        let from = Timestamp::from_unix(position.load(Ordering::Relaxed));
        let looked = self
            .remove_unused_clients((from, due.unused()), batch, due.now)
            .await?;
        let next = looked.next.map_or(i64::MIN, Timestamp::as_unix);
        position.store(next, Ordering::Relaxed);
        Ok(looked.removed.len() as u64)
    }

    async fn count_due(&self, kind: &Kind, before: Timestamp) -> Result<u64, StoreError> {
        self.count_up_to(kind, (i64::MIN, before), COUNTED).await
    }

    async fn count_up_to(
        &self,
        kind: &Kind,
        (from, before): (i64, Timestamp),
        limit: i64,
    ) -> Result<u64, StoreError> {
        #[derive(FromQueryResult)]
        struct Count {
            n: i64,
        }
        let Kind { table, age, but, .. } = kind;
        let sql = format!(
            "SELECT COUNT(*) AS n FROM (SELECT 1 AS due FROM {table} WHERE {age} >= $1 AND {age} < $2{but} LIMIT $3) \
             AS rows_due"
        );
        let values = [from.into(), before.as_unix().into(), limit.into()];
        let count: Option<Count> = one(self.db.reader(), &sql, values).await?;
        Ok(count.map_or(0, |count| u64::try_from(count.n).unwrap_or(0)))
    }
}
