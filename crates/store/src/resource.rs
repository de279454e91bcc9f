//! Resources: audiences that tokens may be for (RFC 8707) and the scopes each of them knows.

use sea_orm::{FromQueryResult, Value};
use vouchsafe_protocol::{ClientId, ResourceUri, ScopeSet, SigningAlgorithm, Timestamp};

use crate::backend::retrying;
use crate::log::conclude;
use crate::sql::{Cell, all, execute, instant, one};
use crate::{AuditEntry, ChangeKind, Store, StoreError};

/// One audience.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its URI, byte for byte as clients send it.
    pub uri: ResourceUri,
    /// The scopes it knows.
    pub scope: ScopeSet,
    /// A person gets only the scopes that their roles permit.
    pub by_role: bool,
    /// Self-registered clients may not ask for it.
    pub closed: bool,
    /// The client that serves it, and so may introspect its tokens.
    pub server_client_id: Option<ClientId>,
    /// Signs its access tokens, when it differs from the default.
    pub signing_algorithm: Option<SigningAlgorithm>,
    /// Lifetime of its access tokens in seconds, when it differs from the default.
    pub access_ttl: Option<i64>,
    /// When it was made.
    pub created_at: Timestamp,
}

#[derive(FromQueryResult)]
struct Row {
    uri: String,
    scope: String,
    by_role: i64,
    closed: i64,
    server_client_id: Option<String>,
    signing_algorithm: Option<String>,
    access_ttl: Option<i64>,
    created_at: i64,
}

const COLUMNS: &str =
    "uri, scope, by_role, closed, server_client_id, signing_algorithm, access_ttl, created_at";

impl Row {
    fn into_resource(self) -> Result<Resource, StoreError> {
        let cell = |column| Cell {
            table: "resource",
            column,
            id: &self.uri,
        };
        Ok(Resource {
            uri: cell("uri").parse(&self.uri)?,
            scope: cell("scope").parse(&self.scope)?,
            by_role: self.by_role != 0,
            closed: self.closed != 0,
            server_client_id: self
                .server_client_id
                .as_deref()
                .map(|text| cell("server_client_id").parse(text))
                .transpose()?,
            signing_algorithm: self
                .signing_algorithm
                .as_deref()
                .map(|text| cell("signing_algorithm").parse(text))
                .transpose()?,
            access_ttl: self.access_ttl,
            created_at: instant(self.created_at),
        })
    }
}

/// The values of every column, in the order of [`COLUMNS`].
fn values_of(resource: &Resource) -> [Value; 8] {
    [
        resource.uri.as_str().into(),
        resource.scope.to_string().into(),
        i64::from(resource.by_role).into(),
        i64::from(resource.closed).into(),
        resource.server_client_id.as_ref().map(ToString::to_string).into(),
        resource
            .signing_algorithm
            .map(|algorithm| algorithm.as_str().to_owned())
            .into(),
        resource.access_ttl.into(),
        resource.created_at.as_unix().into(),
    ]
}

impl Store {
    /// One resource, or none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn resource(&self, uri: &ResourceUri) -> Result<Option<Resource>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM resource WHERE uri = $1");
        let row: Option<Row> = one(self.db.reader(), &sql, [uri.as_str().into()]).await?;
        row.map(Row::into_resource).transpose()
    }

    /// Every resource, by URI.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn resources(&self) -> Result<Vec<Resource>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM resource ORDER BY uri");
        let rows: Vec<Row> = all(self.db.reader(), &sql, []).await?;
        rows.into_iter().map(Row::into_resource).collect()
    }

    /// Adds a resource.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Unavailable`].
    pub async fn insert_resource(&self, resource: &Resource, audit: &AuditEntry) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = format!("INSERT INTO resource ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
            execute(&*write, &sql, values_of(resource))
                .await
                .map_err(|error| error.or_exists("resource"))?;
            conclude(write, ChangeKind::Resource, resource.uri.as_str(), audit).await
        })
        .await
    }

    /// Replaces what a resource knows and how it is served; the URI stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    pub async fn update_resource(&self, resource: &Resource, audit: &AuditEntry) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "UPDATE resource SET scope = $2, by_role = $3, closed = $4, server_client_id = $5, \
                       signing_algorithm = $6, access_ttl = $7, created_at = $8 WHERE uri = $1";
            if execute(&*write, sql, values_of(resource)).await? == 0 {
                return Err(StoreError::NotFound { what: "resource" });
            }
            conclude(write, ChangeKind::Resource, resource.uri.as_str(), audit).await
        })
        .await
    }

    /// Removes a resource: no new token is for it; those that are live end by themselves.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    pub async fn delete_resource(&self, uri: &ResourceUri, audit: &AuditEntry) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            if execute(
                &*write,
                "DELETE FROM resource WHERE uri = $1",
                [uri.as_str().into()],
            )
            .await?
                == 0
            {
                return Err(StoreError::NotFound { what: "resource" });
            }
            conclude(write, ChangeKind::Resource, uri.as_str(), audit).await
        })
        .await
    }
}
