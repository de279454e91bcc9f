//! Roles: the permissions each one gives and the roles it includes.

use sea_orm::FromQueryResult;
use vouchsafe_protocol::{RoleName, ScopeSet, Timestamp};

use crate::backend::retrying;
use crate::log::conclude;
use crate::sql::{Cell, all, execute, instant, json};
use crate::{AuditEntry, ChangeKind, Store, StoreError};

/// One role.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// The scopes it permits at resources that go by role.
    pub permissions: ScopeSet,
    /// The roles it includes.
    pub includes: Vec<RoleName>,
    /// When it was made.
    pub created_at: Timestamp,
}

#[derive(FromQueryResult)]
struct Row {
    name: String,
    permissions: String,
    includes: String,
    created_at: i64,
}

impl Row {
    fn into_role(self) -> Result<Role, StoreError> {
        let cell = |column| Cell {
            table: "role",
            column,
            id: &self.name,
        };
        Ok(Role {
            name: cell("name").parse(&self.name)?,
            permissions: cell("permissions").parse(&self.permissions)?,
            includes: cell("includes").json(&self.includes)?,
            created_at: instant(self.created_at),
        })
    }
}

impl Store {
    /// Every role, by name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn roles(&self) -> Result<Vec<Role>, StoreError> {
        let sql = "SELECT name, permissions, includes, created_at FROM role ORDER BY name";
        let rows: Vec<Row> = all(self.db.reader(), sql, []).await?;
        rows.into_iter().map(Row::into_role).collect()
    }

    /// Adds a role.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Unavailable`].
    pub async fn insert_role(&self, role: &Role, audit: &AuditEntry) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "INSERT INTO role (name, permissions, includes, created_at) VALUES ($1, $2, $3, $4)";
            let values = [
                role.name.as_str().into(),
                role.permissions.to_string().into(),
                json(&role.includes),
                role.created_at.as_unix().into(),
            ];
            execute(&*write, sql, values)
                .await
                .map_err(|error| error.or_exists("role"))?;
            conclude(write, ChangeKind::Role, role.name.as_str(), audit).await
        })
        .await
    }

    /// Replaces what a role permits and includes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    pub async fn update_role(&self, role: &Role, audit: &AuditEntry) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "UPDATE role SET permissions = $2, includes = $3 WHERE name = $1";
            let values = [
                role.name.as_str().into(),
                role.permissions.to_string().into(),
                json(&role.includes),
            ];
            if execute(&*write, sql, values).await? == 0 {
                return Err(StoreError::NotFound { what: "role" });
            }
            conclude(write, ChangeKind::Role, role.name.as_str(), audit).await
        })
        .await
    }

    /// Removes a role and takes it from everyone who had it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    pub async fn delete_role(&self, name: &RoleName, audit: &AuditEntry) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            if execute(
                &*write,
                "DELETE FROM role WHERE name = $1",
                [name.as_str().into()],
            )
            .await?
                == 0
            {
                return Err(StoreError::NotFound { what: "role" });
            }
            execute(
                &*write,
                "DELETE FROM user_role WHERE role = $1",
                [name.as_str().into()],
            )
            .await?;
            conclude(write, ChangeKind::Role, name.as_str(), audit).await
        })
        .await
    }
}
