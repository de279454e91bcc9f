//! The rotation: one guarded statement, and the decision when it touches no row.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use vouchsafe_protocol::{ClientId, FamilyId, Jti, Kid, Timestamp};

use super::decision::{Decision, Presented, decide};
use super::end::end_family;
use super::model::{COLUMNS, Family, RevokeReason, Row};
use super::recent::Recent;
use crate::sql::one;
use crate::{AuditEntry, NewRevocation, StoreError};

/// One use of a refresh token whose MAC, type and expiry were checked.
#[derive(Clone, Debug)]
pub struct RotateJob {
    /// The family.
    pub sid: FamilyId,
    /// The authenticated client.
    pub client_id: ClientId,
    /// The number of the presented token.
    pub seq: i64,
    /// The id of the presented token.
    pub jti: Jti,
    /// The id of its successor, should it be replaced.
    pub new_jti: Jti,
    /// The MAC key of its successor.
    pub new_mac_kid: Kid,
    /// False for a client whose refresh token stays the same.
    pub rotate: bool,
    /// The instant of the use.
    pub now: Timestamp,
    /// How long the family lives on from a use.
    pub idle_ttl: Duration,
    /// How long a replaced token may be retried.
    pub window: Duration,
    /// The log entry that ends the family's access tokens, should it have to end.
    pub ending: NewRevocation,
    /// The audit entry of a reuse.
    pub audit: AuditEntry,
}

/// What became of it.
#[derive(Clone, Debug)]
pub enum RotateOutcome {
    /// The family moved on (or, without rotation, was used); mint from this row.
    Advanced(Family),
    /// A retry: the same successor again, from this row.
    Retried(Family),
    /// An older token of a lively client. Nothing changed.
    Superseded,
    /// A reuse: the family is ended.
    Reused,
    /// The family was ended before.
    Ended(RevokeReason),
    /// The family is past its end.
    Expired,
    /// The token is of another client. Nothing changed.
    ClientMismatch,
    /// The database knows less than the token. Nothing changed. Carries the number it knows, if any.
    Rollback(Option<i64>),
}

/// Executes one job inside the caller's transaction.
pub(super) async fn execute(db: &impl ConnectionTrait, job: &RotateJob) -> Result<RotateOutcome, StoreError> {
    if let Some(family) = advance(db, job).await? {
        return Ok(RotateOutcome::Advanced(family));
    }
    let sql = format!("SELECT {COLUMNS} FROM refresh_family WHERE id = $1");
    let row: Option<Row> = one(db, &sql, [job.sid.as_str().into()]).await?;
    let Some(row) = row else {
        // A family is swept only after its absolute end, which the token's own expiry already guards.
        return Ok(RotateOutcome::Rollback(None));
    };
    let family = row.into_family()?;
    let presented = Presented {
        client_id: &job.client_id,
        seq: job.seq,
        jti: &job.jti,
    };
    Ok(match decide(&family, presented, job.now, job.window) {
        Decision::Retry => RotateOutcome::Retried(family),
        Decision::Superseded => RotateOutcome::Superseded,
        Decision::Reuse => {
            end_family(db, &job.sid, RevokeReason::Reused, &job.ending, &job.audit).await?;
            RotateOutcome::Reused
        }
        Decision::Rollback => RotateOutcome::Rollback(Some(family.seq)),
        Decision::ClientMismatch => RotateOutcome::ClientMismatch,
        Decision::Ended(reason) => RotateOutcome::Ended(reason),
        Decision::Expired => RotateOutcome::Expired,
        // The guard and the decision read one row under one lock, so they cannot differ.
        Decision::Rotate => return Err(StoreError::Stale { what: "family" }),
    })
}

async fn advance(db: &impl ConnectionTrait, job: &RotateJob) -> Result<Option<Family>, StoreError> {
    let guard = "WHERE id = $1 AND seq = $2 AND current_jti = $3 AND client_id = $4 AND revoked_at IS NULL \
                 AND refreshable = 1 AND absolute_expires_at > $5 AND idle_expires_at > $5";
    let idle_end = job.now.plus(job.idle_ttl).as_unix();
    let row: Option<Row> = if job.rotate {
        let sql = format!(
            "UPDATE refresh_family SET seq = seq + 1, previous_jti = current_jti, current_jti = $6, mac_kid = $7, \
             rotated_at = $5, recent = substr($8 || recent, 1, $9), \
             idle_expires_at = CASE WHEN $10 < absolute_expires_at THEN $10 ELSE absolute_expires_at END \
             {guard} RETURNING {COLUMNS}"
        );
        let values = [
            job.sid.as_str().into(),
            job.seq.into(),
            job.jti.as_str().into(),
            job.client_id.as_str().into(),
            job.now.as_unix().into(),
            job.new_jti.as_str().into(),
            job.new_mac_kid.as_str().into(),
            Recent::entry(job.seq, job.now).into(),
            Recent::WIDTH.into(),
            idle_end.into(),
        ];
        one(db, &sql, values).await?
    } else {
        let sql = format!(
            "UPDATE refresh_family SET \
             idle_expires_at = CASE WHEN $6 < absolute_expires_at THEN $6 ELSE absolute_expires_at END \
             {guard} RETURNING {COLUMNS}"
        );
        let values = [
            job.sid.as_str().into(),
            job.seq.into(),
            job.jti.as_str().into(),
            job.client_id.as_str().into(),
            job.now.as_unix().into(),
            idle_end.into(),
        ];
        one(db, &sql, values).await?
    };
    row.map(Row::into_family).transpose()
}
