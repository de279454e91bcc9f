//! Reading families: one for introspection, many for operators.

use sea_orm::FromQueryResult;
use vouchsafe_protocol::{ClientId, FamilyId, Subject, Timestamp};

use super::model::{COLUMNS, Family, Row};
use crate::sql::{all, one};
use crate::{Store, StoreError};

/// Which families an operator asks for.
#[derive(Clone, Debug, Default)]
pub struct FamilyFilter {
    /// Only this person's.
    pub subject: Option<Subject>,
    /// Only this client's.
    pub client_id: Option<ClientId>,
    /// Also those that ended.
    pub ended_too: bool,
}

/// One family as an operator sees it.
#[derive(Clone, Debug)]
pub struct FamilySummary {
    /// The family.
    pub family: Family,
    /// The name of its person, while the account exists.
    pub username: Option<String>,
    /// When it was last refreshed or begun.
    pub last_used_at: Timestamp,
}

impl Store {
    /// One family, or none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn family(&self, sid: &FamilyId) -> Result<Option<Family>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM refresh_family WHERE id = $1");
        let row: Option<Row> = one(self.db.questions(), &sql, [sid.as_str().into()]).await?;
        row.map(Row::into_family).transpose()
    }

    /// The newest `limit` families that the filter lets through, newest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn families(
        &self,
        filter: &FamilyFilter,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<FamilySummary>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM refresh_family WHERE ($1 IS NULL OR subject = $1) AND ($2 IS NULL OR client_id = $2) \
             AND ($3 = 1 OR (revoked_at IS NULL AND idle_expires_at > $4 AND absolute_expires_at > $4)) \
             ORDER BY created_at DESC, id LIMIT $5"
        );
        let values = [
            filter.subject.as_ref().map(ToString::to_string).into(),
            filter.client_id.as_ref().map(ToString::to_string).into(),
            i64::from(filter.ended_too).into(),
            now.as_unix().into(),
            i64::from(limit).into(),
        ];
        let rows: Vec<Row> = all(self.db.reader(), &sql, values).await?;
        let mut summaries = Vec::with_capacity(rows.len());
        for row in rows {
            let family = row.into_family()?;
            let username = self.username(&family.subject).await?;
            let last_used_at = family.rotated_at;
            summaries.push(FamilySummary {
                family,
                username,
                last_used_at,
            });
        }
        Ok(summaries)
    }

    async fn username(&self, subject: &Subject) -> Result<Option<String>, StoreError> {
        #[derive(FromQueryResult)]
        struct Name {
            username: String,
        }
        let sql = "SELECT username FROM user_account WHERE subject = $1";
        let name: Option<Name> = one(self.db.reader(), sql, [subject.as_str().into()]).await?;
        Ok(name.map(|name| name.username))
    }
}
