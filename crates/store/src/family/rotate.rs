//! The rotation of a batch: rows taken in order, each token decided upon, one guarded statement for all that move on.

use std::collections::HashMap;
use std::time::Duration;

use sea_orm::{FromQueryResult, Value};
use vouchsafe_protocol::{ClientId, Clock, FamilyId, Jti, Kid, RoleName, Timestamp};

use super::decision::{Decision, Presented, decide};
use super::end::end_family;
use super::model::{COLUMNS, Family, RevokeReason, Row};
use super::recent::Recent;
use crate::backend::Write;
use crate::sql::{Cell, all, execute, placeholders, tuples};
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
    /// When the request came: what it waits before it is executed counts against nobody.
    pub asked_at: Timestamp,
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

/// What became of one job of a batch, which holds once the batch is committed. None: it has to wait for somebody else, and
/// is to be executed alone.
pub(super) type Done = Option<Result<RotateOutcome, StoreError>>;

/// The time of a batch.
pub(super) struct Moment<'a> {
    /// Asked once the rows are taken, so that waiting counts against nobody.
    pub(super) clock: &'a dyn Clock,
    /// How long the writer last kept callers waiting; the window is longer by that.
    pub(super) stall: Duration,
    /// Whether to wait for rows that somebody else holds.
    pub(super) wait: bool,
}

/// Executes jobs of different families inside the caller's transaction; each is told its own outcome, in their order.
///
/// # Errors
/// When a statement fails: then nothing of the batch may be committed.
pub(super) async fn execute_batch(
    write: &Write,
    jobs: &[&RotateJob],
    moment: &Moment<'_>,
) -> Result<Vec<Done>, StoreError> {
    let mut rows = take(write, jobs, moment.wait).await?;
    let now = moment.clock.now();
    let mut decided = Vec::with_capacity(jobs.len());
    for job in jobs {
        decided.push(match rows.remove(job.sid.as_str()) {
            Some(row) => Decided::of(row.into_family(), job, now, moment.stall),
            None if moment.wait => Decided::Missing,
            None => Decided::Held,
        });
    }
    let both = jobs.iter().zip(&decided);
    let moving: Vec<&RotateJob> = both
        .filter(|(_, decided)| matches!(decided, Decided::Family(_, Decision::Rotate)))
        .map(|(job, _)| *job)
        .collect();
    let mut advanced = advance(write, &moving, now).await?;
    let roles = roles_of_all(write, &decided).await?;
    let mut done = Vec::with_capacity(jobs.len());
    for (job, decided) in jobs.iter().zip(decided) {
        done.push(conclude(write, job, decided, (&mut advanced, &roles), (now, moment.wait)).await?);
    }
    Ok(done)
}

/// What a row says about a job.
enum Decided {
    Family(Box<Family>, Decision),
    Corrupt(StoreError),
    Missing,
    Held,
}

impl Decided {
    fn of(family: Result<Family, StoreError>, job: &RotateJob, now: Timestamp, stall: Duration) -> Self {
        let family = match family {
            Ok(family) => family,
            Err(error) => return Self::Corrupt(error),
        };
        let presented = Presented {
            client_id: &job.client_id,
            seq: job.seq,
            jti: &job.jti,
        };
        let waited = now.since(job.asked_at);
        let decision = decide(&family, presented, now, job.window + waited + stall);
        Self::Family(Box::new(family), decision)
    }
}

/// Reads the families of the jobs and holds them until the commit.
async fn take(write: &Write, jobs: &[&RotateJob], wait: bool) -> Result<HashMap<String, Row>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM refresh_family WHERE id IN ({}) ORDER BY id{}",
        placeholders(1, jobs.len()),
        if wait {
            write.for_update()
        } else {
            write.for_update_of_free()
        }
    );
    let ids = jobs.iter().map(|job| Value::from(job.sid.as_str()));
    let rows: Vec<Row> = all(&**write, &sql, ids).await?;
    Ok(rows.into_iter().map(|row| (row.id().to_owned(), row)).collect())
}

type Families = HashMap<String, Family>;
type Roles = HashMap<String, Vec<RoleName>>;

/// Turns a decision into an outcome, executing what is not yet done of it.
async fn conclude(
    write: &Write,
    job: &RotateJob,
    decided: Decided,
    (advanced, roles): (&mut Families, &Roles),
    (now, wait): (Timestamp, bool),
) -> Result<Done, StoreError> {
    let (family, decision) = match decided {
        Decided::Family(family, decision) => (*family, decision),
        Decided::Corrupt(error) => return Ok(Some(Err(error))),
        Decided::Missing => {
            // A family is swept only after its absolute end, which the token's own expiry already guards.
            return Ok(Some(Ok(RotateOutcome::Rollback(None))));
        }
        Decided::Held => return Ok(None),
    };
    let roles = roles.get(family.subject.as_str()).cloned().unwrap_or_default();
    let outcome = match decision {
        // The guard and the decision look at one row that we hold, so only the MAC key can have changed: somebody revoked
        // it and this process does not know yet.
        Decision::Rotate => RotateOutcome::Advanced(
            advanced
                .remove(job.sid.as_str())
                .ok_or(StoreError::Stale { what: "family" })?,
            roles,
        ),
        Decision::Retry => {
            RotateOutcome::Retried(under_mac_key(write, family, &job.new_mac_kid).await?, roles)
        }
        Decision::Superseded => RotateOutcome::Superseded,
        // It takes the head of the log, which others may hold for a while: not with a batch of others behind it.
        Decision::Reuse if !wait => return Ok(None),
        Decision::Reuse => {
            let ending = || NewRevocation {
                not_before: now,
                at: now,
                ..job.ending.clone()
            };
            end_family(write, &job.sid, RevokeReason::Reused, ending, &job.audit).await?;
            RotateOutcome::Reused
        }
        Decision::Rollback => RotateOutcome::Rollback(Some(family.seq)),
        Decision::ClientMismatch => RotateOutcome::ClientMismatch,
        Decision::Ended(reason) => RotateOutcome::Ended(reason),
        Decision::Expired => RotateOutcome::Expired,
    };
    Ok(Some(Ok(outcome)))
}

/// Notes the MAC key that the token is made with again: its revocation ends the family.
async fn under_mac_key(write: &Write, mut family: Family, kid: &Kid) -> Result<Family, StoreError> {
    if family.mac_kid != *kid {
        let sql = "UPDATE refresh_family SET mac_kid = $2 WHERE id = $1 \
                   AND NOT EXISTS (SELECT 1 FROM issuer_key WHERE kid = $2 AND compromised_at IS NOT NULL)";
        if execute(&**write, sql, [family.id.as_str().into(), kid.as_str().into()]).await? == 0 {
            return Err(StoreError::Stale { what: "MAC key" });
        }
        family.mac_kid = kid.clone();
    }
    Ok(family)
}

/// Moves families on, those that rotate and those whose token stays, each in one guarded statement.
async fn advance(write: &Write, jobs: &[&RotateJob], now: Timestamp) -> Result<Families, StoreError> {
    let (rotating, staying): (Vec<&RotateJob>, Vec<&RotateJob>) = jobs.iter().partition(|job| job.rotate);
    let rotate = "seq = refresh_family.seq + 1, previous_jti = refresh_family.current_jti, \
                  current_jti = job.column7, rotated_at = $1, \
                  recent = substr(job.column8 || refresh_family.recent, 1, CAST($2 AS INTEGER))";
    // Mentions $2, which is a parameter of both statements.
    let stay = "recent = substr(refresh_family.recent, 1, CAST($2 AS INTEGER))";
    let mut advanced = Families::new();
    for (jobs, set) in [(rotating, rotate), (staying, stay)] {
        for row in move_on(write, &jobs, set, now).await? {
            let family = row.into_family()?;
            advanced.insert(family.id.to_string(), family);
        }
    }
    Ok(advanced)
}

async fn move_on(
    write: &Write,
    jobs: &[&RotateJob],
    set: &str,
    now: Timestamp,
) -> Result<Vec<Row>, StoreError> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    const WIDTH: usize = 8;
    let sql = format!(
        "UPDATE refresh_family SET {set}, mac_kid = job.column5, idle_expires_at = \
         CASE WHEN job.column6 < absolute_expires_at THEN job.column6 ELSE absolute_expires_at END \
         FROM (VALUES {}) AS job \
         WHERE refresh_family.id = job.column1 AND refresh_family.seq = job.column2 \
         AND refresh_family.current_jti = job.column3 AND refresh_family.client_id = job.column4 \
         AND refresh_family.revoked_at IS NULL AND refresh_family.refreshable = 1 \
         AND refresh_family.absolute_expires_at > $1 AND refresh_family.idle_expires_at > $1 \
         AND NOT EXISTS (SELECT 1 FROM issuer_key WHERE kid = job.column5 AND compromised_at IS NOT NULL) \
         RETURNING {COLUMNS}",
        tuples(3, WIDTH, jobs.len())
    );
    let mut values: Vec<Value> = vec![now.as_unix().into(), Recent::WIDTH.into()];
    for job in jobs {
        values.extend::<[Value; WIDTH]>([
            job.sid.as_str().into(),
            job.seq.into(),
            job.jti.as_str().into(),
            job.client_id.as_str().into(),
            job.new_mac_kid.as_str().into(),
            now.plus(job.idle_ttl).as_unix().into(),
            job.new_jti.as_str().into(),
            Recent::entry(job.seq, now).into(),
        ]);
    }
    all(&**write, &sql, values).await
}

/// The direct roles of everyone whose token is used, by subject.
async fn roles_of_all(write: &Write, decided: &[Decided]) -> Result<Roles, StoreError> {
    #[derive(FromQueryResult)]
    struct RoleRow {
        subject: String,
        role: String,
    }
    let used = |decided: &Decided| match decided {
        Decided::Family(family, Decision::Rotate | Decision::Retry) => {
            Some(Value::from(family.subject.as_str()))
        }
        _ => None,
    };
    let subjects: Vec<Value> = decided.iter().filter_map(used).collect();
    if subjects.is_empty() {
        return Ok(Roles::new());
    }
    let sql = format!(
        "SELECT subject, role FROM user_role WHERE subject IN ({}) ORDER BY subject, role",
        placeholders(1, subjects.len())
    );
    let rows: Vec<RoleRow> = all(&**write, &sql, subjects).await?;
    let mut roles = Roles::new();
    for row in rows {
        let cell = Cell {
            table: "user_role",
            column: "role",
            id: &row.subject,
        };
        let role = cell.parse(&row.role)?;
        roles.entry(row.subject.clone()).or_default().push(role);
    }
    Ok(roles)
}
