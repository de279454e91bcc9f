//! The birth of a family: its user and client are held and checked again in the transaction that makes the row, so that
//! whoever locks them out either comes before and is seen, or comes after and finds the family.

use sea_orm::FromQueryResult;
use vouchsafe_protocol::failpoint::reach;
use vouchsafe_protocol::{ClientId, SecretString, Subject};

use super::model::{COLUMNS, Family, NewFamily};
use crate::backend::{Gate, Write, retrying};
use crate::sql::{execute, json, one, placeholders};
use crate::{AuditEntry, Store, StoreError};

const VALUES: usize = 22;

#[derive(FromQueryResult)]
struct Held {
    #[expect(dead_code, reason = "that there is a row is all that is asked")]
    id: String,
}

impl Store {
    /// Makes the row, unless the person was locked, removed or given another password, or the client disabled or
    /// removed, since they were checked: then false, and nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin_family(&self, new: &NewFamily, audit: &AuditEntry) -> Result<bool, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            if !may_be_born(&write, new).await? {
                return Ok(false);
            }
            give_birth(&write, new, audit).await?;
            reach("family.before_commit");
            write.commit().await?;
            reach("family.after_commit");
            Ok(true)
        })
        .await
    }
}

/// Holds the person and the client until the commit; false when one of them is no longer good. Nothing else of the birth
/// may be locked before.
pub(crate) async fn may_be_born(write: &Write, new: &NewFamily) -> Result<bool, StoreError> {
    let (client, user) = (new.family.client_id.as_str(), new.family.subject.as_str());
    write
        .enter_gates([Gate::Client(client), Gate::User(user)])
        .await?;
    Ok(is_client(write, client).await? && is_user(write, user, new.password_hash.as_ref()).await?)
}

/// The same for a decision that a family may follow from.
pub(crate) async fn may_decide(
    write: &Write,
    client_id: &ClientId,
    subject: &Subject,
) -> Result<bool, StoreError> {
    write
        .enter_gates([Gate::Client(client_id.as_str()), Gate::User(subject.as_str())])
        .await?;
    Ok(is_client(write, client_id.as_str()).await? && is_user(write, subject.as_str(), None).await?)
}

/// Makes the row and its audit entry inside the transaction of a caller who held what it is born of.
pub(crate) async fn give_birth(write: &Write, new: &NewFamily, audit: &AuditEntry) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO refresh_family ({COLUMNS}) SELECT {} \
         WHERE NOT EXISTS (SELECT 1 FROM issuer_key WHERE kid = $13 AND compromised_at IS NOT NULL)",
        placeholders(1, VALUES)
    );
    if execute(&**write, &sql, values_of(&new.family)).await? == 0 {
        // Somebody revoked the MAC key, and this process does not know yet.
        return Err(StoreError::Stale { what: "MAC key" });
    }
    crate::audit::write(&**write, audit).await
}

async fn is_client(write: &Write, id: &str) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT id FROM client WHERE id = $1 AND disabled_at IS NULL{}",
        write.for_share()
    );
    let held: Option<Held> = one(&**write, &sql, [id.into()]).await?;
    Ok(held.is_some())
}

pub(crate) async fn is_user(
    write: &Write,
    subject: &str,
    hash: Option<&SecretString>,
) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT subject AS id FROM user_account WHERE subject = $1 AND locked_at IS NULL \
         AND ($2 IS NULL OR password_hash = $2){}",
        write.for_share()
    );
    let hash = hash.map(|hash| hash.expose().to_owned());
    let held: Option<Held> = one(&**write, &sql, [subject.into(), hash.into()]).await?;
    Ok(held.is_some())
}

/// The values of every column, in the order of [`COLUMNS`].
fn values_of(family: &Family) -> [sea_orm::Value; VALUES] {
    [
        family.id.as_str().into(),
        family.client_id.as_str().into(),
        family.subject.as_str().into(),
        family.scope.to_string().into(),
        json(&family.audience),
        family.auth_time.as_unix().into(),
        family.acr.clone().into(),
        json(&family.amr),
        i64::from(family.refreshable).into(),
        family.seq.into(),
        family.current_jti.as_str().into(),
        None::<String>.into(),
        family.mac_kid.as_str().into(),
        family.rotated_at.as_unix().into(),
        "".into(),
        family.created_at.as_unix().into(),
        family.idle_expires_at.as_unix().into(),
        family.absolute_expires_at.as_unix().into(),
        None::<i64>.into(),
        None::<String>.into(),
        family.session_id.clone().into(),
        family.claims.clone().into(),
    ]
}
