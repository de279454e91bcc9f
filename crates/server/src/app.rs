//! The application: an issuer opened from a configuration, and the pipelines that lead to it. It has no listener and
//! no task of its own; [`crate::serve`] adds both.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vouchsafe_issuer::{
    AcceptedRollback, Actor, AdminError, HighWater, Issuer, IssuerConfig, KeyPolicy, Machine, MasterKey,
    PasswordCost, Store, StoreError,
};
use vouchsafe_store::Database;

use crate::api::{self, ApiState};
use crate::config::{Config, ConfigError};
use crate::http::answer::Asker;
use crate::http::pipeline::{Limits, Pipeline};
use crate::outbound::HttpOutbound;
use crate::pages;
use crate::state::{OnRollback, Outside, Regression, reconcile};

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
    /// The schema of the database is none that this binary can work on.
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
    /// The database lost what the file outside it knows.
    #[error("{0}")]
    Rollback(Regression),
    /// It would not be safe.
    #[error("{0}")]
    Refused(String),
}

impl From<AdminError> for StartError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Failed(error) => Self::Issuer(error),
            other => Self::Refused(other.to_string()),
        }
    }
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
    outside: Arc<Outside>,
}

impl App {
    /// Opens the application.
    ///
    /// # Errors
    /// [`StartError`]; [`StartError::Rollback`] for a database that lost what `state.dir` knows of it.
    pub async fn open(config: Config, machine: Machine) -> Result<Self, StartError> {
        let opened = Self::open_on(config, machine, &OnRollback::Refuse).await;
        opened.map(|(app, _)| app)
    }

    /// Opens the application on a database that may have lost something: what that could have brought back ends first, by
    /// this operator's order. Says what that came to; none when nothing was lost.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open_accepting_rollback(
        config: Config,
        machine: Machine,
        actor: Actor,
    ) -> Result<(Self, Option<AcceptedRollback>), StartError> {
        Self::open_on(config, machine, &OnRollback::Accept(actor)).await
    }

    pub(crate) async fn open_on(
        config: Config,
        machine: Machine,
        on_rollback: &OnRollback,
    ) -> Result<(Self, Option<AcceptedRollback>), StartError> {
        let outside = Arc::new(Outside::of(&config));
        let known = outside.begin()?;
        let opened = open_knowing(&config, machine.clone(), &outside, known.as_ref(), on_rollback);
        let (issuer, accepted) = Box::pin(opened).await?;
        let issuer = Arc::new(issuer);
        issuer.advance_keys().await?;
        let kept = outside.write(&issuer.high_water());
        kept.map_err(|error| StartError::Refused(error.to_string()))?;
        let state = ApiState::new(Arc::clone(&issuer));
        let app = Self {
            issuer,
            config,
            state,
            machine,
            outside,
        };
        Ok((app, accepted))
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
        let base = self.config.issuer.path().to_owned();
        let pipeline = Pipeline::new(
            api::endpoint(&self.state),
            api::routes_under(self.config.issuer.path()),
            Limits::default(),
            proxies,
            !self.config.issuer.is_loopback_http(),
            Arc::clone(&self.machine.clock),
        );
        let teller = move |asker: &Asker, status, refusal| pages::refusal(&base, asker, (refusal, status));
        Ok(Arc::new(pipeline.with_pages(Box::new(teller))))
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
        crate::tasks::start(&self.issuer, &self.outside, shutdown);
    }

    /// One heartbeat: the database is held against what is known of it, and that is kept outside.
    pub async fn heartbeat(&self) {
        crate::tasks::beat(Arc::clone(&self.issuer), Arc::clone(&self.outside)).await;
    }
}

/// Opens the issuer that a configuration describes, over a database whose schema it can work on.
///
/// # Errors
/// [`StartError`].
pub async fn open_issuer(config: &Config, machine: Machine) -> Result<Issuer, StartError> {
    let store = open_store(config, &machine).await?;
    open_over(config, store, machine, &HighWater::default()).await
}

/// Opens the issuer that a configuration describes, unless its database lost what is known of it: then it is refused, or
/// what that could have brought back ends first.
pub(crate) async fn open_knowing(
    config: &Config,
    machine: Machine,
    outside: &Outside,
    known: Option<&HighWater>,
    on_rollback: &OnRollback,
) -> Result<(Issuer, Option<AcceptedRollback>), StartError> {
    let store = open_store(config, &machine).await?;
    let found = outside
        .compare(known, &store, machine.clock.now(), on_rollback)
        .await;
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            store.close().await;
            return Err(error);
        }
    };
    let known = known.cloned().unwrap_or_default();
    let issuer = open_over(config, store, machine, &known).await?;
    let accepted = reconcile(&issuer, &known, found, on_rollback).await?;
    Ok((issuer, accepted))
}

async fn open_store(config: &Config, machine: &Machine) -> Result<Store, StartError> {
    let database = Database::open(config.database.url.expose(), false).await?;
    crate::schema::check(&database).await?;
    let store = Store::new(database, Arc::clone(&machine.clock));
    // Before anything is decided by it.
    if let Some(clock) = &machine.database_clock {
        // The first question may have had to connect, and then took too long to count.
        clock.measure(&store).await?;
        clock.measure(&store).await?;
    }
    Ok(store)
}

async fn open_over(
    config: &Config,
    store: Store,
    machine: Machine,
    known: &HighWater,
) -> Result<Issuer, StartError> {
    let master = MasterKey::parse(config.keys.master_key.expose())
        .map_err(|error| StartError::MasterKey(error.to_string()))?;
    let mut issuer_config = issuer_config(config)?;
    issuer_config.key_policy.denied_kids.clone_from(&known.denied);
    let outbound = HttpOutbound::new(config.outbound.allow_private)
        .map_err(|error| StartError::Refused(format!("TLS for outgoing calls cannot be set up: {error}")))?;
    Ok(Issuer::open(issuer_config, store, machine, master, Arc::new(outbound)).await?)
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
        session_idle_ttl: config.sessions.idle_ttl,
        session_absolute_ttl: config.sessions.absolute_ttl,
        sign_up: config.accounts.sign_up,
        registration: config.registration.mode,
        allow_private: config.outbound.allow_private,
        default_algorithm: config.tokens.default_algorithm,
        audit_retention: config.audit.retention,
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
