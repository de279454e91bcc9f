//! Clients (RFC 7591 2).

use std::str::FromStr;

use sea_orm::{FromQueryResult, Value};
use vouchsafe_protocol::{
    ClientAuthMethod, ClientId, GrantType, ResourceUri, ScopeSet, SigningAlgorithm, Timestamp,
};

use crate::backend::{Gate, retrying};
use crate::client_secret::{ClientSecret, insert_secret, secrets_of};
use crate::family::end_of_client;
use crate::log::conclude;
use crate::sql::{Cell, all, execute, instant, json, one};
use crate::{AuditEntry, ChangeKind, NewRevocation, RevokeReason, Store, StoreError};

/// OpenID Connect Registration `application_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationType {
    /// `web`.
    Web,
    /// `native`: loopback redirects may use any port (RFC 8252 7.3).
    Native,
}

/// Whether a refresh replaces the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Each refresh gives a new one.
    Always,
    /// The same one stays; only for clients that authenticate.
    Never,
}

macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),+ }) => {
        impl $name {
            /// The word for it on the wire and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(concat!("expected one of:", $(" ", $word),+).to_owned()),
                }
            }
        }
    };
}

words!(ApplicationType { Web = "web", Native = "native" });
words!(Rotation { Always = "always", Never = "never" });

/// A registered client (RFC 7591 2).
#[derive(Clone, Debug)]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// Its name for people.
    pub name: Option<String>,
    /// The one way it authenticates.
    pub auth_method: ClientAuthMethod,
    /// What kind of application it is.
    pub application_type: ApplicationType,
    /// The grants it may use.
    pub grants: Vec<GrantType>,
    /// The scopes it may be granted.
    pub scope: ScopeSet,
    /// The audiences it may ask for.
    pub resources: Vec<ResourceUri>,
    /// Where a browser may be sent back to.
    pub redirect_uris: Vec<String>,
    /// Where a browser may be sent after signing out.
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it hears of a sign-out.
    pub backchannel_logout_uri: Option<String>,
    /// Signs its access tokens, when it differs from the default.
    pub signing_algorithm: Option<SigningAlgorithm>,
    /// Lifetime of its access tokens in seconds, when it differs from the default.
    pub access_ttl: Option<i64>,
    /// Idle lifetime of its refresh tokens in seconds, when it differs from the default.
    pub refresh_idle_ttl: Option<i64>,
    /// Absolute lifetime of its refresh tokens in seconds, when it differs from the default.
    pub refresh_absolute_ttl: Option<i64>,
    /// Whether a refresh replaces its refresh token.
    pub rotation: Rotation,
    /// Since when it may do nothing.
    pub disabled_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Its live secrets, newest first.
    pub secrets: Vec<ClientSecret>,
}

#[derive(FromQueryResult)]
struct Row {
    id: String,
    name: Option<String>,
    auth_method: String,
    application_type: String,
    grants: String,
    scope: String,
    resources: String,
    redirect_uris: String,
    post_logout_redirect_uris: String,
    backchannel_logout_uri: Option<String>,
    signing_algorithm: Option<String>,
    access_ttl: Option<i64>,
    refresh_idle_ttl: Option<i64>,
    refresh_absolute_ttl: Option<i64>,
    rotation: String,
    disabled_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

const COLUMNS: &str = "id, name, auth_method, application_type, grants, scope, resources, redirect_uris, \
    post_logout_redirect_uris, backchannel_logout_uri, signing_algorithm, access_ttl, refresh_idle_ttl, \
    refresh_absolute_ttl, rotation, disabled_at, created_at, updated_at";

impl Row {
    fn into_client(self, secrets: Vec<ClientSecret>) -> Result<Client, StoreError> {
        let id = self.id.clone();
        let cell = |column| Cell {
            table: "client",
            column,
            id: &id,
        };
        Ok(Client {
            id: cell("id").parse(&self.id)?,
            name: self.name,
            auth_method: cell("auth_method").parse(&self.auth_method)?,
            application_type: cell("application_type").parse(&self.application_type)?,
            grants: cell("grants").json(&self.grants)?,
            scope: cell("scope").parse(&self.scope)?,
            resources: cell("resources").json(&self.resources)?,
            redirect_uris: cell("redirect_uris").json(&self.redirect_uris)?,
            post_logout_redirect_uris: cell("post_logout_redirect_uris")
                .json(&self.post_logout_redirect_uris)?,
            backchannel_logout_uri: self.backchannel_logout_uri,
            signing_algorithm: self
                .signing_algorithm
                .map(|text| cell("signing_algorithm").parse(&text))
                .transpose()?,
            access_ttl: self.access_ttl,
            refresh_idle_ttl: self.refresh_idle_ttl,
            refresh_absolute_ttl: self.refresh_absolute_ttl,
            rotation: cell("rotation").parse(&self.rotation)?,
            disabled_at: self.disabled_at.map(instant),
            created_at: instant(self.created_at),
            updated_at: instant(self.updated_at),
            secrets,
        })
    }
}

/// The values of every column, in the order of [`COLUMNS`].
fn values_of(client: &Client) -> [Value; 18] {
    [
        client.id.as_str().into(),
        client.name.clone().into(),
        client.auth_method.as_str().into(),
        client.application_type.as_str().into(),
        json(&client.grants),
        client.scope.to_string().into(),
        json(&client.resources),
        json(&client.redirect_uris),
        json(&client.post_logout_redirect_uris),
        client.backchannel_logout_uri.clone().into(),
        client
            .signing_algorithm
            .map(|algorithm| algorithm.as_str().to_owned())
            .into(),
        client.access_ttl.into(),
        client.refresh_idle_ttl.into(),
        client.refresh_absolute_ttl.into(),
        client.rotation.as_str().into(),
        client.disabled_at.map(Timestamp::as_unix).into(),
        client.created_at.as_unix().into(),
        client.updated_at.as_unix().into(),
    ]
}

impl Store {
    /// One client with its secrets, or none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM client WHERE id = $1");
        let row: Option<Row> = one(self.db.reader(), &sql, [id.as_str().into()]).await?;
        match row {
            Some(row) => Ok(Some(row.into_client(secrets_of(self.db.reader(), id).await?)?)),
            None => Ok(None),
        }
    }

    /// At most `limit` clients after the id `after`, by id, without their secrets.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn clients(&self, after: &str, limit: u32) -> Result<Vec<Client>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM client WHERE id > $1 ORDER BY id LIMIT $2");
        let rows: Vec<Row> = all(self.db.reader(), &sql, [after.into(), i64::from(limit).into()]).await?;
        rows.into_iter().map(|row| row.into_client(Vec::new())).collect()
    }

    /// Adds a client with its secrets.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the id is taken; [`StoreError::Unavailable`].
    pub async fn insert_client(&self, client: &Client, audit: &AuditEntry) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = format!(
                "INSERT INTO client ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
                 $15, $16, $17, $18)"
            );
            execute(&*write, &sql, values_of(client))
                .await
                .map_err(|error| error.or_exists("client"))?;
            for secret in &client.secrets {
                insert_secret(&*write, &client.id, secret).await?;
            }
            conclude(write, ChangeKind::Client, client.id.as_str(), audit).await
        })
        .await
    }

    /// Replaces every property of a client except its secrets. When it becomes disabled, `ending` carries the
    /// revocation that ends its families and tokens.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when it was changed or removed since it was read;
    /// [`StoreError::Unavailable`].
    pub async fn update_client(
        &self,
        client: &Client,
        read_at: Timestamp,
        ending: Option<&NewRevocation>,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            write.close_gate(Gate::Client(client.id.as_str())).await?;
            let sql = format!(
                "UPDATE client SET name = $2, auth_method = $3, application_type = $4, grants = $5, scope = $6, \
                 resources = $7, redirect_uris = $8, post_logout_redirect_uris = $9, backchannel_logout_uri = $10, \
                 signing_algorithm = $11, access_ttl = $12, refresh_idle_ttl = $13, refresh_absolute_ttl = $14, \
                 rotation = $15, disabled_at = $16, created_at = $17, updated_at = $18 \
                 WHERE id = $1 AND updated_at = {}",
                read_at.as_unix()
            );
            if execute(&*write, &sql, values_of(client)).await? == 0 {
                return Err(StoreError::Stale { what: "client" });
            }
            if let Some(revocation) = ending {
                end_of_client(
                    &write,
                    &client.id,
                    || self.stamped(revocation),
                    RevokeReason::ClientDisabled,
                )
                .await?;
            }
            conclude(write, ChangeKind::Client, client.id.as_str(), audit).await
        })
        .await
    }

    /// Removes a client and its secrets, and ends its families and tokens.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    pub async fn delete_client(
        &self,
        id: &ClientId,
        revocation: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            write.close_gate(Gate::Client(id.as_str())).await?;
            if execute(&*write, "DELETE FROM client WHERE id = $1", [id.as_str().into()]).await? == 0 {
                return Err(StoreError::NotFound { what: "client" });
            }
            execute(
                &*write,
                "DELETE FROM client_secret WHERE client_id = $1",
                [id.as_str().into()],
            )
            .await?;
            end_of_client(
                &write,
                id,
                || self.stamped(revocation),
                RevokeReason::ClientDeleted,
            )
            .await?;
            conclude(write, ChangeKind::Client, id.as_str(), audit).await
        })
        .await
    }
}
