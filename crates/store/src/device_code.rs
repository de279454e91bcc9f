//! Device codes (RFC 8628): asked for by a device, decided once by a person, redeemed once. Until then the device asks,
//! and how often it may is kept here.

use std::time::Duration;

use sea_orm::{FromQueryResult, Value};
use vouchsafe_protocol::failpoint::reach;
use vouchsafe_protocol::{ClientId, FamilyId, ScopeSet, Subject, Timestamp, UserCode};

use crate::backend::{Write, retrying};
use crate::code::Redeemed;
use crate::family::{NewFamily, give_birth, may_be_born};
use crate::session::{Session, hold_session};
use crate::sql::{Cell, Which, execute, filter_of, instant, json, one, values_of};
use crate::{AuditEntry, Store, StoreError};

/// What a device that asks too early has to wait longer (RFC 8628 3.5), in seconds.
const LONGER: i64 = 5;
/// It waits no longer than this, in seconds.
const LONGEST: i64 = 60;

/// What a device asked for.
#[derive(Clone, Debug)]
pub struct DeviceCode {
    /// A digest of the device code.
    pub hash: String,
    /// What the person types.
    pub user_code: UserCode,
    /// The client that the device runs.
    pub client_id: ClientId,
    /// The most that may be granted.
    pub scope: ScopeSet,
    /// For which resources; none means the issuer itself.
    pub audience: Vec<String>,
    /// The address that the device asked from.
    pub source: Option<String>,
    /// When it asked.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How long the device waits between two questions.
    pub poll_interval: Duration,
}

/// Who let a device in.
#[derive(Clone, Debug)]
pub struct Approval {
    /// The person.
    pub subject: Subject,
    /// When they proved who they are.
    pub auth_time: Timestamp,
    /// How well.
    pub acr: Option<String>,
    /// By which means.
    pub amr: Vec<String>,
}

/// What became of a device code.
#[derive(Clone, Debug)]
pub enum DeviceState {
    /// Nobody decided yet.
    Pending,
    /// A person let the device in.
    Approved(Approval),
    /// A person turned the device away.
    Denied,
    /// The device was let in, and this family made.
    Redeemed(FamilyId),
}

/// A device code as it is found.
#[derive(Clone, Debug)]
pub struct FoundDeviceCode {
    /// What was asked for.
    pub code: DeviceCode,
    /// What became of it.
    pub state: DeviceState,
    last_polled_at: Option<Timestamp>,
}

#[derive(FromQueryResult)]
struct Row {
    device_code: String,
    user_code: String,
    client_id: String,
    scope: String,
    audience: String,
    source: Option<String>,
    created_at: i64,
    expires_at: i64,
    poll_interval: i64,
    last_polled_at: Option<i64>,
    status: String,
    subject: Option<String>,
    auth_time: Option<i64>,
    acr: Option<String>,
    amr: Option<String>,
    family_id: Option<String>,
}

const ASKED: &str =
    "device_code, user_code, client_id, scope, audience, source, created_at, expires_at, poll_interval";
const BECAME: &str = "last_polled_at, status, subject, auth_time, acr, amr, family_id";

impl Row {
    fn cell(&self, column: &'static str) -> Cell<'_> {
        Cell {
            table: "device_code",
            column,
            id: &self.device_code,
        }
    }

    fn state(&self) -> Result<DeviceState, StoreError> {
        match (self.status.as_str(), &self.family_id) {
            ("pending", None) => Ok(DeviceState::Pending),
            ("denied", None) => Ok(DeviceState::Denied),
            ("approved", None) => Ok(DeviceState::Approved(self.approval()?)),
            ("approved", Some(family)) => Ok(DeviceState::Redeemed(self.cell("family_id").parse(family)?)),
            _ => Err(self.cell("status").corrupt()),
        }
    }

    fn approval(&self) -> Result<Approval, StoreError> {
        let (Some(subject), Some(auth_time), Some(amr)) = (&self.subject, self.auth_time, &self.amr) else {
            return Err(self.cell("subject").corrupt());
        };
        Ok(Approval {
            subject: self.cell("subject").parse(subject)?,
            auth_time: instant(auth_time),
            acr: self.acr.clone(),
            amr: self.cell("amr").json(amr)?,
        })
    }

    fn into_found(self) -> Result<FoundDeviceCode, StoreError> {
        let user_code = UserCode::parse(&self.user_code);
        let poll_interval = u64::try_from(self.poll_interval);
        Ok(FoundDeviceCode {
            state: self.state()?,
            last_polled_at: self.last_polled_at.map(instant),
            code: DeviceCode {
                user_code: user_code.ok_or_else(|| self.cell("user_code").corrupt())?,
                client_id: self.cell("client_id").parse(&self.client_id)?,
                scope: self.cell("scope").parse(&self.scope)?,
                audience: self.cell("audience").json(&self.audience)?,
                created_at: instant(self.created_at),
                expires_at: instant(self.expires_at),
                poll_interval: poll_interval
                    .map(Duration::from_secs)
                    .map_err(|_| self.cell("poll_interval").corrupt())?,
                source: self.source,
                hash: self.device_code,
            },
        })
    }
}

impl Store {
    /// Remembers what a device asks for.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when another device has the user code; [`StoreError::Unavailable`].
    pub async fn begin_device(&self, code: &DeviceCode) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            insert(&write, code).await?;
            write.commit().await
        })
        .await
    }

    /// One device code, whatever became of it, or none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn device_code(&self, hash: &str) -> Result<Option<FoundDeviceCode>, StoreError> {
        let sql = format!("SELECT {ASKED}, {BECAME} FROM device_code WHERE device_code = $1");
        let row: Option<Row> = one(self.db.reader(), &sql, [hash.into()]).await?;
        row.map(Row::into_found).transpose()
    }

    /// What the device with this user code asks for, if nobody decided and it is not over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn pending_device(
        &self,
        user_code: &UserCode,
        now: Timestamp,
    ) -> Result<Option<DeviceCode>, StoreError> {
        let sql = format!(
            "SELECT {ASKED}, {BECAME} FROM device_code \
             WHERE user_code = $1 AND status = 'pending' AND expires_at > $2"
        );
        let values = [user_code.as_str().into(), now.as_unix().into()];
        let row: Option<Row> = one(self.db.reader(), &sql, values).await?;
        let found = row.map(Row::into_found).transpose()?;
        Ok(found.map(|found| found.code))
    }

    /// Writes down what a person decided in a session; false when somebody decided before, or code or session are over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn decide_device(
        &self,
        hash: &str,
        session: &Session,
        allowed: bool,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let good = hold_session(&write, &session.id, audit.at).await?;
            if !good || !mark_decided(&write, hash, (session, allowed), audit.at).await? {
                return Ok(false);
            }
            crate::audit::write(&*write, audit).await?;
            reach("device.before_decision");
            write.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Notes that a device asked while nobody has decided. True when it asked too early, which makes it wait longer.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn poll_device(&self, found: &FoundDeviceCode, now: Timestamp) -> Result<bool, StoreError> {
        if found.last_polled_at == Some(now) && found.code.poll_interval.as_secs() >= LONGEST.unsigned_abs() {
            // Whoever asks without end costs no writes.
            return Ok(true);
        }
        retrying(|| async {
            let write = self.db.write().await?;
            let hash = found.code.hash.as_str();
            let early = !note_in_time(&write, hash, now).await? && note_early(&write, hash, now).await?;
            write.commit().await?;
            Ok(early)
        })
        .await
    }

    /// Ends a code whose time is over, so that it stays over when a clock steps back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn end_device(&self, hash: &str) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "UPDATE device_code SET expires_at = created_at WHERE device_code = $1 AND redeemed_at IS NULL";
            execute(&*write, sql, [hash.into()]).await?;
            write.commit().await
        })
        .await
    }

    /// Redeems the code of a device that was let in and makes its family: one guarded statement decides between racers.
    /// Person and client are held and checked again before.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn redeem_device_code(
        &self,
        code: &DeviceCode,
        new: &NewFamily,
        audit: &AuditEntry,
    ) -> Result<Redeemed, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            if !may_be_born(&write, new).await? {
                return Ok(Redeemed::Refused);
            }
            if !mark_redeemed(&write, code, new).await? {
                return Ok(Redeemed::NotNow);
            }
            give_birth(&write, new, audit).await?;
            reach("device.before_commit");
            write.commit().await?;
            reach("device.after_commit");
            Ok(Redeemed::Now)
        })
        .await
    }
}

/// Forgets the devices with these values that were not given their tokens, inside the caller's transaction.
pub(crate) async fn forget_devices(write: &Write, which: Which<'_>) -> Result<(), StoreError> {
    let sql = format!(
        "DELETE FROM device_code WHERE {}redeemed_at IS NULL",
        filter_of(which)
    );
    execute(&**write, &sql, values_of(which)).await.map(drop)
}

async fn insert(write: &Write, code: &DeviceCode) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO device_code ({ASKED}, status) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'pending')"
    );
    let interval = i64::try_from(code.poll_interval.as_secs()).unwrap_or(LONGEST);
    let values: [Value; 9] = [
        code.hash.as_str().into(),
        code.user_code.as_str().into(),
        code.client_id.as_str().into(),
        code.scope.to_string().into(),
        json(&code.audience),
        code.source.clone().into(),
        code.created_at.as_unix().into(),
        code.expires_at.as_unix().into(),
        interval.into(),
    ];
    execute(&**write, &sql, values)
        .await
        .map_err(|error| error.or_exists("user code"))
        .map(drop)
}

async fn mark_decided(
    write: &Write,
    hash: &str,
    (session, allowed): (&Session, bool),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let status = if allowed { "approved" } else { "denied" };
    let sql = "UPDATE device_code SET status = $3, subject = $4, session_id = $5, auth_time = $6, acr = $7, amr = $8, \
               decided_at = $2 WHERE device_code = $1 AND status = 'pending' AND expires_at > $2";
    let values: [Value; 8] = [
        hash.into(),
        now.as_unix().into(),
        status.into(),
        session.subject.as_str().into(),
        session.id.as_str().into(),
        session.auth_time.as_unix().into(),
        session.acr.clone().into(),
        json(&session.amr),
    ];
    Ok(execute(&**write, sql, values).await? == 1)
}

async fn note_in_time(write: &Write, hash: &str, now: Timestamp) -> Result<bool, StoreError> {
    // Instants are whole seconds: what looks a second early may be on time.
    let sql = "UPDATE device_code SET last_polled_at = $2 WHERE device_code = $1 AND status = 'pending' \
               AND (last_polled_at IS NULL OR last_polled_at + poll_interval <= $2 + 1)";
    Ok(execute(&**write, sql, [hash.into(), now.as_unix().into()]).await? == 1)
}

async fn note_early(write: &Write, hash: &str, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE device_code SET last_polled_at = $2, \
               poll_interval = CASE WHEN poll_interval < $4 THEN poll_interval + $3 ELSE poll_interval END \
               WHERE device_code = $1 AND status = 'pending'";
    let values: [Value; 4] = [hash.into(), now.as_unix().into(), LONGER.into(), LONGEST.into()];
    Ok(execute(&**write, sql, values).await? == 1)
}

async fn mark_redeemed(write: &Write, code: &DeviceCode, new: &NewFamily) -> Result<bool, StoreError> {
    let sql = "UPDATE device_code SET redeemed_at = $2, family_id = $3 WHERE device_code = $1 AND client_id = $4 \
               AND subject = $5 AND status = 'approved' AND redeemed_at IS NULL AND expires_at > $2";
    let values: [Value; 5] = [
        code.hash.as_str().into(),
        new.family.created_at.as_unix().into(),
        new.family.id.as_str().into(),
        code.client_id.as_str().into(),
        new.family.subject.as_str().into(),
    ];
    Ok(execute(&**write, sql, values).await? == 1)
}
