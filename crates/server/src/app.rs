//! The application: an issuer opened from a configuration, and the pipelines that lead to it. It has no listener and
//! no task of its own; [`crate::serve`] adds both.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vouchsafe_issuer::{
    Issuer, IssuerConfig, KeyPolicy, Machine, MasterKey, PasswordCost, Store, StoreError,
};
use vouchsafe_store::Database;

use crate::api::{self, ApiState};
use crate::config::{Config, ConfigError};
use crate::http::pipeline::{Limits, Pipeline};

/// Hashes that may wait for one that runs, for each core: at the cost of OWASP, under a second of waiting.
const QUEUE_PER_CORE: usize = 32;

/// Refresh MAC keys verify this long after they made tokens, whatever lifetime is configured today.
const LONGEST_FAMILY: Duration = Duration::from_secs(2 * 365 * 24 * 3600);

/// Why the application did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The lifetimes of keys and tokens do not fit together.
    #[error("the key policy is refused: {0}")]
    Policy(String),
    /// The master key is no key.
    #[error("the master key is refused: {0}")]
    MasterKey(String),
    /// The schema of the database is not the one that this binary knows.
    #[error("{0}")]
    Schema(String),
    /// The database failed.
    #[error("the database cannot be used")]
    Store(#[from] StoreError),
    /// The issuer could not be opened.
    #[error("the issuer cannot be opened")]
    Issuer(#[from] vouchsafe_issuer::Error),
    /// A file or a socket failed.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        cause: std::io::Error,
    },
    /// It would not be safe.
    #[error("{0}")]
    Refused(String),
}

impl StartError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }
}

/// An opened application.
pub struct App {
    issuer: Arc<Issuer>,
    config: Config,
    state: ApiState,
    machine: Machine,
}

impl App {
    /// Opens the application.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open(config: Config, machine: Machine) -> Result<Self, StartError> {
        let issuer = Arc::new(open_issuer(&config, machine.clone()).await?);
        issuer.advance_keys().await?;
        let state = ApiState::new(Arc::clone(&issuer));
        Ok(Self {
            issuer,
            config,
            state,
            machine,
        })
    }

    /// The issuer in it.
    #[must_use]
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// The configuration it was opened with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The way of a request to the public endpoints.
    ///
    /// # Errors
    /// [`StartError::Refused`] for trusted proxies that cannot be read.
    pub fn public(&self) -> Result<Arc<Pipeline>, StartError> {
        let proxies = self.config.server.trusted_proxies.iter().map(|text| text.parse());
        let proxies = proxies
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| StartError::Refused("server.trusted_proxies cannot be read".to_owned()))?;
        Ok(Arc::new(Pipeline::new(
            api::endpoint(&self.state),
            api::routes_under(self.config.issuer.path()),
            Limits::default(),
            proxies,
            !self.config.issuer.is_loopback_http(),
            Arc::clone(&self.machine.clock),
        )))
    }

    /// The way of a request to the management endpoints.
    #[must_use]
    pub fn management(&self) -> Arc<Pipeline> {
        Arc::new(Pipeline::new(
            api::management_endpoint(&self.state),
            api::MANAGEMENT_ROUTES,
            Limits::default(),
            Vec::new(),
            false,
            Arc::clone(&self.machine.clock),
        ))
    }

    /// Starts the tasks of a running server; they end when `shutdown` turns true.
    pub fn start_tasks(&self, shutdown: &watch::Receiver<bool>) {
        crate::tasks::start(&self.issuer, shutdown);
    }
}

/// Opens the issuer that a configuration describes, over a database whose schema is current.
///
/// # Errors
/// [`StartError`].
pub async fn open_issuer(config: &Config, machine: Machine) -> Result<Issuer, StartError> {
    let master = MasterKey::parse(config.keys.master_key.expose())
        .map_err(|error| StartError::MasterKey(error.to_string()))?;
    let issuer_config = issuer_config(config)?;
    let database = Database::open(config.database.url.expose(), false).await?;
    check_schema(&database).await?;
    Ok(Issuer::open(
        issuer_config,
        Store::new(database, Arc::clone(&machine.clock)),
        machine,
        master,
    )
    .await?)
}

/// Refuses a database that lacks a change of this binary or has one that it does not know.
async fn check_schema(database: &Database) -> Result<(), StartError> {
    let refused = |text: String| StartError::Schema(text);
    let changes = vouchsafe_migrations::status(database.schema_connection()).await;
    let changes =
        changes.map_err(|error| refused(format!("the schema is not known to this binary: {error}")))?;
    match changes.iter().filter(|change| !change.applied).count() {
        0 => Ok(()),
        pending => Err(refused(format!(
            "{pending} schema changes are missing; run `vouchsafe db migrate`"
        ))),
    }
}

/// Checks the lifetimes of keys, tokens and caches against each other (K6).
///
/// # Errors
/// [`StartError::Policy`] with the first rule that is broken, and both values.
pub fn check_lifetimes(config: &Config) -> Result<(), StartError> {
    key_policy(config).map(drop)
}

fn key_policy(config: &Config) -> Result<KeyPolicy, StartError> {
    let defaults = KeyPolicy::default();
    let policy = KeyPolicy {
        algorithms: config.keys.algorithms.clone(),
        rotate_every: config.keys.rotate_every,
        publish_ahead: config.keys.publish_ahead,
        jwks_max_age: config.keys.jwks_max_age,
        retention: config.keys.retention,
        // Families that began under a longer lifetime keep it.
        refresh_mac_retention: (config.tokens.refresh_absolute_ttl + defaults.publish_ahead)
            .max(config.keys.retention)
            .max(LONGEST_FAMILY),
        max_access_ttl: config.tokens.max_access_ttl,
        ..defaults
    };
    policy
        .check()
        .map_err(|error| StartError::Policy(error.to_string()))?;
    Ok(policy)
}

fn issuer_config(config: &Config) -> Result<IssuerConfig, StartError> {
    let key_policy = key_policy(config)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(IssuerConfig {
        issuer: config.issuer.clone(),
        access_ttl: config.tokens.access_ttl,
        max_access_ttl: config.tokens.max_access_ttl,
        refresh_idle_ttl: config.tokens.refresh_idle_ttl,
        refresh_absolute_ttl: config.tokens.refresh_absolute_ttl,
        retry_window: config.tokens.retry_window,
        retry_window_authenticated: config.tokens.retry_window_authenticated,
        default_algorithm: config.tokens.default_algorithm,
        key_policy,
        password_cost: PasswordCost {
            memory_kib: config.passwords.memory_kib,
            iterations: config.passwords.iterations,
            parallelism: config.passwords.parallelism,
            permits: cores,
            queue: cores * QUEUE_PER_CORE,
        },
    })
}
