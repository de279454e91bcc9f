//! The issuer itself: what it holds, and how it starts.

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use vouchsafe_keys::{KeyRing, MasterKey};
use vouchsafe_protocol::{Clock, Entropy, Timestamp};
use vouchsafe_store::{Store, Swept};

use crate::authority::Catalog;
use crate::client_cache::ClientCache;
use crate::document::Documents;
use crate::high_water::Past;
use crate::login::SignInLimits;
use crate::view::View;
use crate::{DatabaseClock, Error, IssuerConfig, Outbound, PasswordHasher};

/// Time and randomness, as arguments.
#[derive(Clone)]
pub struct Machine {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// The clock above, where it shows the database's time; none where time is the machine's own.
    pub database_clock: Option<Arc<DatabaseClock>>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Machine")
    }
}

/// One issuer over one store. Every request, page, task and command goes through it.
pub struct Issuer {
    pub(crate) config: IssuerConfig,
    pub(crate) store: Store,
    pub(crate) machine: Machine,
    pub(crate) master: Arc<MasterKey>,
    pub(crate) keys: ArcSwap<KeyRing>,
    pub(crate) key_version: Mutex<i64>,
    /// The latest `iat` minted here, in Unix seconds: a revocation covers it also after the clock stepped back.
    pub(crate) newest_iat: AtomicI64,
    /// When the keys in use were read, in Unix seconds.
    pub(crate) keys_read: AtomicI64,
    /// When the keys ask for something again, in Unix seconds.
    pub(crate) keys_due: AtomicI64,
    pub(crate) catalog: ArcSwap<Catalog>,
    pub(crate) clients: ClientCache,
    pub(crate) view: View,
    pub(crate) past: Past,
    pub(crate) hasher: PasswordHasher,
    pub(crate) sign_ins: SignInLimits,
    pub(crate) outbound: Arc<dyn Outbound>,
    pub(crate) documents: Documents,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer")
            .field("issuer", &self.config.issuer)
            .finish_non_exhaustive()
    }
}

impl Issuer {
    /// Opens an issuer: reads keys, resources and roles and follows the logs up to now. Makes the first keys if
    /// there are none; what the clock asks of keys otherwise is [`Issuer::advance_keys`].
    ///
    /// # Errors
    /// The store's; [`Error::Keys`] when the master key does not open the keys.
    pub async fn open(
        config: IssuerConfig,
        store: Store,
        machine: Machine,
        master: MasterKey,
        outbound: Arc<dyn Outbound>,
    ) -> Result<Self, Error> {
        let ring = KeyRing::open(&[], &master, &config.key_policy, machine.clock.now())?;
        let issuer = Self {
            hasher: PasswordHasher::new(config.password_cost),
            sign_ins: SignInLimits::new(),
            outbound,
            documents: Documents::new(),
            clients: ClientCache::new(),
            view: View::new(),
            past: Past::new(&config.key_policy),
            keys: ArcSwap::from_pointee(ring),
            key_version: Mutex::new(0),
            newest_iat: AtomicI64::new(0),
            keys_read: AtomicI64::new(0),
            keys_due: AtomicI64::new(0),
            catalog: ArcSwap::from_pointee(Catalog::default()),
            config,
            store,
            machine,
            master: Arc::new(master),
        };
        issuer.follow().await?;
        issuer.reload_catalog().await?;
        if issuer.read_keys().await?.0.is_empty() {
            issuer.advance_keys().await?;
        }
        issuer.open_keys().await?;
        issuer.wrote();
        Ok(issuer)
    }

    /// The limits it keeps.
    #[must_use]
    pub fn config(&self) -> &IssuerConfig {
        &self.config
    }

    /// The store under it.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The instant that every decision of one request uses.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.machine.clock.now()
    }

    /// Removes at most `batch` rows of each kind that nothing can need any more; says how many. None while this process
    /// may not forget.
    ///
    /// # Errors
    /// The store's; what was removed before it stays removed.
    pub async fn sweep(&self, batch: u32) -> Result<Swept, Error> {
        if !self.may_forget() {
            return Ok(Swept::default());
        }
        let swept = self
            .store
            .sweep(self.now(), self.config.audit_retention, batch)
            .await?;
        if swept.most() >= u64::from(batch) {
            tracing::debug!(event = "sweep_full", ?swept);
        }
        Ok(swept)
    }

    /// How many rows wait to be swept, each kind counted up to 100,000.
    ///
    /// # Errors
    /// The store's.
    pub async fn sweep_backlog(&self) -> Result<Swept, Error> {
        Ok(self
            .store
            .sweep_backlog(self.now(), self.config.audit_retention)
            .await?)
    }

    /// The time since some instant in the past, which never steps.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.machine.clock.monotonic()
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.machine.entropy
    }
}
