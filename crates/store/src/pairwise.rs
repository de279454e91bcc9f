//! Names under which people are known to some clients only (OpenID Connect Core 8.1): drawn at random, kept for good, and
//! derived from no key that could be lost.

use sea_orm::FromQueryResult;
use vouchsafe_protocol::Subject;

use crate::backend::retrying;
use crate::sql::{Cell, execute, one};
use crate::{Store, StoreError};

#[derive(FromQueryResult)]
struct Name {
    sub: String,
}

impl Store {
    /// The name of a person in a sector; `fresh` becomes it if they have none yet.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn pairwise_subject(
        &self,
        subject: &Subject,
        sector: &str,
        fresh: &Subject,
    ) -> Result<Subject, StoreError> {
        if let Some(known) = self.known_name(subject, sector).await? {
            return Ok(known);
        }
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "INSERT INTO pairwise_subject (subject, sector, sub) VALUES ($1, $2, $3) \
                       ON CONFLICT (subject, sector) DO NOTHING";
            let values = [subject.as_str().into(), sector.into(), fresh.as_str().into()];
            execute(&*write, sql, values).await?;
            write.commit().await
        })
        .await?;
        self.known_name(subject, sector)
            .await?
            .ok_or(StoreError::NotFound {
                what: "pairwise subject",
            })
    }

    async fn known_name(&self, subject: &Subject, sector: &str) -> Result<Option<Subject>, StoreError> {
        let sql = "SELECT sub FROM pairwise_subject WHERE subject = $1 AND sector = $2";
        let row: Option<Name> = one(self.db.reader(), sql, [subject.as_str().into(), sector.into()]).await?;
        row.map(|row| {
            Cell {
                table: "pairwise_subject",
                column: "sub",
                id: subject.as_str(),
            }
            .parse(&row.sub)
        })
        .transpose()
    }
}
