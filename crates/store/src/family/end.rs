//! The end of families: row and log entry in one transaction, so that a refresh either came before or fails.

use std::time::Duration;

use sea_orm::FromQueryResult;
use vouchsafe_protocol::failpoint::reach;
use vouchsafe_protocol::{ClientId, FamilyId, Kid, OFFLINE_ACCESS, RevocationKind, Subject, Timestamp};

use super::model::RevokeReason;
use crate::backend::{Gate, Write, retrying};
use crate::code::end_codes;
use crate::device_code::forget_devices;
use crate::log::{append_revocation, append_revocations};
use crate::logout_delivery::{tell, tell_of};
use crate::session::{end_all_sessions, end_sessions_of};
use crate::sql::{Which, all, execute, filter_of, values_of};
use crate::{AuditEntry, NewRevocation, Store, StoreError};

/// Families that one statement ends: few enough for the time that a statement has.
const BATCH: usize = 5000;
/// How far the clocks of two replicas may be apart unnoticed, and a second for the rounding.
const CLOCKS_APART: Duration = Duration::from_secs(2);

/// A family that was alive.
#[derive(FromQueryResult)]
struct Ended {
    id: String,
    created_at: i64,
    rotated_at: i64,
    ends_at: i64,
}

/// Ends what is alive, some thousands at a time in the order in which everyone takes them, and shows each to `see`. Their
/// clients are told.
async fn end_alive(
    write: &Write,
    which: Which<'_>,
    (at, reason): (Timestamp, RevokeReason),
    mut see: impl FnMut(Ended),
) -> Result<(), StoreError> {
    let filter = filter_of(which);
    let [after_at, last_at, ended_at, reason_at] = [1, 2, 3, 4].map(|number| which.len() + number);
    let take = format!(
        "SELECT id FROM refresh_family WHERE {filter}revoked_at IS NULL AND id > ${after_at} ORDER BY id LIMIT {BATCH}{}",
        write.for_update()
    );
    let end = format!(
        "UPDATE refresh_family SET revoked_at = ${ended_at}, revoke_reason = ${reason_at} \
         WHERE {filter}revoked_at IS NULL AND id > ${after_at} AND id <= ${last_at} \
         RETURNING id, created_at, rotated_at, \
         CASE WHEN idle_expires_at < absolute_expires_at THEN idle_expires_at ELSE absolute_expires_at END AS ends_at"
    );
    let mut after = String::new();
    loop {
        let values = values_of(which).chain([after.as_str().into()]);
        let taken: Vec<Id> = all(&**write, &take, values).await?;
        let Some(last) = taken.into_iter().next_back() else {
            return Ok(());
        };
        let values = values_of(which).chain([
            after.as_str().into(),
            last.id.as_str().into(),
            at.as_unix().into(),
            reason.as_str().into(),
        ]);
        let ended: Vec<Ended> = all(&**write, &end, values).await?;
        tell_of(write, (&after, &last.id), (at, reason)).await?;
        ended.into_iter().for_each(&mut see);
        after = last.id;
    }
}

#[derive(FromQueryResult)]
struct Id {
    id: String,
}

/// Ends one family inside the caller's transaction; says whether it was alive. `stamp` gives the revocation as of the
/// instant at which it is asked: once the row is ours, so that it covers what was issued while we waited.
pub(super) async fn end_family(
    write: &Write,
    sid: &FamilyId,
    reason: RevokeReason,
    stamp: impl FnOnce() -> NewRevocation,
    audit: &AuditEntry,
) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT id FROM refresh_family WHERE id = $1 AND revoked_at IS NULL{}",
        write.for_update()
    );
    let alive: Vec<Id> = all(&**write, &sql, [sid.as_str().into()]).await?;
    if alive.is_empty() {
        return Ok(false);
    }
    let revocation = stamp();
    let sql = "UPDATE refresh_family SET revoked_at = $2, revoke_reason = $3 WHERE id = $1";
    let at = revocation.at;
    execute(
        &**write,
        sql,
        [sid.as_str().into(), at.as_unix().into(), reason.as_str().into()],
    )
    .await?;
    tell(write, sid.as_str(), (at, reason)).await?;
    append_revocation(write, &revocation).await?;
    crate::audit::write(&**write, audit).await?;
    Ok(true)
}

/// What signing out of a browser came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signed {
    /// Families that ended.
    pub out: u64,
    /// Families that stay, since they were granted with `offline_access`.
    pub in_still: u64,
}

/// Ends the families of a browser session that were granted without `offline_access`, inside the transaction of a caller
/// who ended the session. The clients of the others are told all the same.
pub(crate) async fn end_of_session(
    write: &Write,
    session_id: &str,
    stamp: impl Fn() -> NewRevocation,
) -> Result<Signed, StoreError> {
    #[derive(FromQueryResult)]
    struct Granted {
        id: String,
        scope: String,
    }
    let sql = format!(
        "SELECT id, scope FROM refresh_family WHERE session_id = $1 AND revoked_at IS NULL ORDER BY id{}",
        write.for_update()
    );
    let families: Vec<Granted> = all(&**write, &sql, [session_id.into()]).await?;
    let revocation = stamp();
    let how = (revocation.at, RevokeReason::SignedOut);
    let (mut signed, mut named) = (Signed::default(), Vec::new());
    for family in families {
        tell(write, &family.id, how).await?;
        if family.scope.split(' ').any(|scope| scope == OFFLINE_ACCESS) {
            signed.in_still += 1;
            continue;
        }
        let sql = "UPDATE refresh_family SET revoked_at = $2, revoke_reason = $3 WHERE id = $1";
        let values = [
            family.id.as_str().into(),
            how.0.as_unix().into(),
            how.1.as_str().into(),
        ];
        execute(&**write, sql, values).await?;
        signed.out += 1;
        named.push(family.id);
    }
    append_revocations(write, &sessions(&revocation, named)).await?;
    Ok(signed)
}

/// Gives the families of one browser session to the one that takes its place, inside the caller's transaction.
pub(crate) async fn move_families(write: &Write, from: &str, to: &str) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT id FROM refresh_family WHERE session_id = $1 AND revoked_at IS NULL ORDER BY id{}",
        write.for_update()
    );
    let _held: Vec<Id> = all(&**write, &sql, [from.into()]).await?;
    let sql = "UPDATE refresh_family SET session_id = $2 WHERE session_id = $1 AND revoked_at IS NULL";
    execute(&**write, sql, [from.into(), to.into()]).await.map(drop)
}

/// Ends every family that a person granted to a client, inside the transaction of a caller who closed the person's gate.
pub(crate) async fn end_of_consent(
    write: &Write,
    subject: &Subject,
    client_id: &ClientId,
    stamp: impl Fn() -> NewRevocation,
) -> Result<u64, StoreError> {
    let which = [("subject", subject.as_str()), ("client_id", client_id.as_str())];
    let mut named = Vec::new();
    let how = (stamp().at, RevokeReason::ConsentWithdrawn);
    end_alive(write, &which, how, |ended| named.push(ended.id)).await?;
    let ended = named.len() as u64;
    append_revocations(write, &sessions(&stamp(), named)).await?;
    Ok(ended)
}

/// Ends every family of a person and every access token issued to them up to now, inside the caller's transaction, which
/// closed their gate, so that none is born meanwhile.
pub(crate) async fn end_of_subject(
    write: &Write,
    subject: &Subject,
    stamp: impl Fn() -> NewRevocation,
    reason: RevokeReason,
) -> Result<u64, StoreError> {
    let mut named = Vec::new();
    let which = [("subject", subject.as_str())];
    end_sessions_of(write, subject, stamp().at).await?;
    // Each is named: a person has few, and a clock that stepped back spares none of their tokens.
    end_alive(write, &which, (stamp().at, reason), |ended| named.push(ended.id)).await?;
    let ended = named.len() as u64;
    append_with(write, &stamp(), named).await?;
    Ok(ended)
}

/// Ends every family of a client and every access token issued to it up to now, inside the caller's transaction, which
/// closed its gate, so that none is born meanwhile.
pub(crate) async fn end_of_client(
    write: &Write,
    client_id: &ClientId,
    stamp: impl Fn() -> NewRevocation,
    reason: RevokeReason,
) -> Result<u64, StoreError> {
    let begun = stamp().at;
    let just_now = begun.minus(CLOCKS_APART).as_unix();
    let (mut ended, mut named) = (0, Vec::new());
    // What waits to be redeemed falls with what was.
    let which = [("client_id", client_id.as_str())];
    end_codes(write, &which).await?;
    forget_devices(write, &which).await?;
    end_alive(write, &which, (begun, reason), |family| {
        ended += 1;
        // Its tokens may carry a second that the entry of the client does not cover.
        if family.created_at.max(family.rotated_at) >= just_now {
            named.push(family.id);
        }
    })
    .await?;
    append_with(write, &stamp(), named).await?;
    Ok(ended)
}

/// Ends every family whose live token was made with this MAC key, inside the caller's transaction. Each is named in the
/// log: nothing else in its access tokens tells which key their refresh token had.
pub(crate) async fn end_of_mac_key(
    write: &Write,
    kid: &Kid,
    revocation: &NewRevocation,
) -> Result<u64, StoreError> {
    let mut named = Vec::new();
    let which = [("mac_kid", kid.as_str())];
    let how = (revocation.at, RevokeReason::MacKeyRevoked);
    end_alive(write, &which, how, |ended| named.push(ended.id)).await?;
    let ended = named.len() as u64;
    append_revocations(write, &sessions(revocation, named)).await?;
    Ok(ended)
}

/// Ends every family there is, inside the caller's transaction; says how many were not over by themselves.
pub(crate) async fn end_of_all(write: &Write, now: Timestamp) -> Result<u64, StoreError> {
    let mut alive = 0;
    end_all_sessions(write, now).await?;
    end_alive(write, &[], (now, RevokeReason::Rollback), |ended| {
        alive += u64::from(ended.ends_at > now.as_unix());
    })
    .await?;
    Ok(alive)
}

/// Appends the revocation, and each of these families by name.
async fn append_with(
    write: &Write,
    revocation: &NewRevocation,
    families: Vec<String>,
) -> Result<(), StoreError> {
    let mut entries = vec![revocation.clone()];
    entries.extend(sessions(revocation, families));
    append_revocations(write, &entries).await
}

fn sessions(revocation: &NewRevocation, families: Vec<String>) -> Vec<NewRevocation> {
    let entry = |key| NewRevocation {
        kind: RevocationKind::Session,
        key,
        ..revocation.clone()
    };
    families.into_iter().map(entry).collect()
}

impl Store {
    /// Ends every family of a person and every access token issued to them up to now; says how many families.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn revoke_subject(
        &self,
        subject: &Subject,
        revocation: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<u64, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            write.close_gate(Gate::User(subject.as_str())).await?;
            let stamp = || self.stamped(revocation);
            let ended = end_of_subject(&write, subject, stamp, RevokeReason::Operator).await?;
            crate::audit::write(&*write, audit).await?;
            write.commit().await?;
            Ok(ended)
        })
        .await
    }

    /// Ends every family of a client and every access token issued to it up to now; says how many families.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn revoke_client(
        &self,
        client_id: &ClientId,
        revocation: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<u64, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            write.close_gate(Gate::Client(client_id.as_str())).await?;
            let stamp = || self.stamped(revocation);
            let ended = end_of_client(&write, client_id, stamp, RevokeReason::Operator).await?;
            crate::audit::write(&*write, audit).await?;
            write.commit().await?;
            Ok(ended)
        })
        .await
    }

    /// Ends one family and its access tokens; says whether it was alive. Once this returned, no token of the family
    /// is accepted again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn revoke_family(
        &self,
        sid: &FamilyId,
        reason: RevokeReason,
        revocation: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let ended = end_family(&write, sid, reason, || self.stamped(revocation), audit).await?;
            reach("revoke.before_commit");
            write.commit().await?;
            reach("revoke.after_commit");
            Ok(ended)
        })
        .await
    }
}
