//! The rotation: one guarded statement, and the decision when it touches no row.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use vouchsafe_protocol::{ClientId, FamilyId, Jti, Kid, RoleName, Timestamp};

use super::decision::{Decision, Presented, decide};
use super::end::end_family;
use super::model::{COLUMNS, Family, RevokeReason, Row};
use super::recent::Recent;
use crate::sql::{self, one};
use crate::user::roles_of;
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
    /// The family moved on (or, without rotation, was used); mint from this row, with the person's direct roles.
    Advanced(Family, Vec<RoleName>),
    /// A retry: the same successor again, from this row.
    Retried(Family, Vec<RoleName>),
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

/// When a job is executed: after its transaction began, so that waiting for the writer counts against nobody.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Timestamp,
    /// How long the writer last kept callers waiting; the window is longer by that.
    pub(super) stall: Duration,
}

/// Executes one job inside the caller's transaction.
pub(super) async fn execute(
    db: &impl ConnectionTrait,
    job: &RotateJob,
    moment: Moment,
) -> Result<RotateOutcome, StoreError> {
    if let Some(family) = advance(db, job, moment.now).await? {
        let roles = roles_of(db, family.subject.as_str()).await?;
        return Ok(RotateOutcome::Advanced(family, roles));
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
    Ok(
        match decide(&family, presented, moment.now, job.window + moment.stall) {
            Decision::Retry => {
                let family = under_mac_key(db, family, &job.new_mac_kid).await?;
                let roles = roles_of(db, family.subject.as_str()).await?;
                RotateOutcome::Retried(family, roles)
            }
            Decision::Superseded => RotateOutcome::Superseded,
            Decision::Reuse => {
                let ending = NewRevocation {
                    not_before: moment.now,
                    at: moment.now,
                    ..job.ending.clone()
                };
                end_family(db, &job.sid, RevokeReason::Reused, &ending, &job.audit).await?;
                RotateOutcome::Reused
            }
            Decision::Rollback => RotateOutcome::Rollback(Some(family.seq)),
            Decision::ClientMismatch => RotateOutcome::ClientMismatch,
            Decision::Ended(reason) => RotateOutcome::Ended(reason),
            Decision::Expired => RotateOutcome::Expired,
            // The guard and the decision read one row under one lock, so they cannot differ.
            Decision::Rotate => return Err(StoreError::Stale { what: "family" }),
        },
    )
}

/// Notes the MAC key that the token is made with again: its revocation ends the family.
async fn under_mac_key(
    db: &impl ConnectionTrait,
    mut family: Family,
    kid: &Kid,
) -> Result<Family, StoreError> {
    if family.mac_kid != *kid {
        let sql = "UPDATE refresh_family SET mac_kid = $2 WHERE id = $1";
        sql::execute(db, sql, [family.id.as_str().into(), kid.as_str().into()]).await?;
        family.mac_kid = kid.clone();
    }
    Ok(family)
}

async fn advance(
    db: &impl ConnectionTrait,
    job: &RotateJob,
    now: Timestamp,
) -> Result<Option<Family>, StoreError> {
    let guard = "WHERE id = $1 AND seq = $2 AND current_jti = $3 AND client_id = $4 AND revoked_at IS NULL \
                 AND refreshable = 1 AND absolute_expires_at > $5 AND idle_expires_at > $5";
    let idle_end = now.plus(job.idle_ttl).as_unix();
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
            now.as_unix().into(),
            job.new_jti.as_str().into(),
            job.new_mac_kid.as_str().into(),
            Recent::entry(job.seq, now).into(),
            Recent::WIDTH.into(),
            idle_end.into(),
        ];
        one(db, &sql, values).await?
    } else {
        let sql = format!(
            "UPDATE refresh_family SET mac_kid = $7, \
             idle_expires_at = CASE WHEN $6 < absolute_expires_at THEN $6 ELSE absolute_expires_at END \
             {guard} RETURNING {COLUMNS}"
        );
        let values = [
            job.sid.as_str().into(),
            job.seq.into(),
            job.jti.as_str().into(),
            job.client_id.as_str().into(),
            now.as_unix().into(),
            idle_end.into(),
            job.new_mac_kid.as_str().into(),
        ];
        one(db, &sql, values).await?
    };
    row.map(Row::into_family).transpose()
}
