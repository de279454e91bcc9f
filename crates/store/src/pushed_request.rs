//! Authorization requests that clients pushed ahead (RFC 9126): kept for some minutes, used once.

use sea_orm::{FromQueryResult, Value};
use vouchsafe_protocol::{ClientId, Timestamp};

use crate::backend::{Write, retrying};
use crate::sql::{execute, one};
use crate::{Store, StoreError};

/// A request as it was pushed.
#[derive(Clone, Debug)]
pub struct PushedRequest {
    /// A digest of the random part of its request URI.
    pub reference: String,
    /// The client that pushed it.
    pub client_id: ClientId,
    /// The parameters, form-encoded.
    pub parameters: String,
    /// When it was pushed.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Store {
    /// Keeps a pushed request.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn push_request(&self, request: &PushedRequest) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "INSERT INTO pushed_request (reference, client_id, parameters, created_at, expires_at) \
                       VALUES ($1, $2, $3, $4, $5)";
            let values: [Value; 5] = [
                request.reference.as_str().into(),
                request.client_id.as_str().into(),
                request.parameters.as_str().into(),
                request.created_at.as_unix().into(),
                request.expires_at.as_unix().into(),
            ];
            execute(&*write, sql, values).await?;
            write.commit().await
        })
        .await
    }

    /// The parameters of a pushed request that its client may use now, or none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn pushed_request(
        &self,
        reference: &str,
        client_id: &ClientId,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        #[derive(FromQueryResult)]
        struct Parameters {
            parameters: String,
        }
        let sql = "SELECT parameters FROM pushed_request \
                   WHERE reference = $1 AND client_id = $2 AND expires_at > $3 AND used_at IS NULL";
        let values = [reference.into(), client_id.as_str().into(), now.as_unix().into()];
        let row: Option<Parameters> = one(self.db.reader(), sql, values).await?;
        Ok(row.map(|row| row.parameters))
    }
}

/// Uses a pushed request up inside the caller's transaction; false when somebody did before.
pub(crate) async fn use_up(write: &Write, reference: &str, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE pushed_request SET used_at = $2 WHERE reference = $1 AND used_at IS NULL";
    Ok(execute(&**write, sql, [reference.into(), now.as_unix().into()]).await? == 1)
}
