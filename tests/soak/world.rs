//! What all actors of a run share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use vouchsafe_tests::Cluster;

use crate::clock::Stopwatch;
use crate::family::Registry;
use crate::history::History;
use crate::options::Options;
use crate::place::{Person, Place};
use crate::rng::Rng;
use crate::servers::Fleet;
use crate::signatures::Signatures;
use crate::wire::{App, Wire};

/// Sign-ins at once: hashing passwords is not what the soak is about.
const SIGN_INS: usize = 4;

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Everything goes on.
    Disturbed,
    /// No more disturbances begin.
    Calm,
    /// Nobody begins anything; what was begun ends.
    Closing,
    /// What was begun is given up.
    Abandoned,
}

/// All that a run consists of.
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) issuer: String,
    pub(crate) fleet: Fleet,
    pub(crate) wire: Wire,
    pub(crate) history: History,
    pub(crate) registry: Registry,
    pub(crate) signatures: Signatures,
    /// The client that serves the audience of all access tokens.
    pub(crate) server: App,
    pub(crate) people: Vec<Person>,
    /// Leave to sign in.
    pub(crate) sign_ins: Semaphore,
    apps: Vec<Arc<App>>,
    watch: Stopwatch,
    phase: AtomicU8,
    /// The database outlives the servers: what stands last is dropped last.
    _cluster: Option<Cluster>,
}

impl World {
    /// The world in this place; the time of its history begins now.
    ///
    /// # Errors
    /// Why no request can be made.
    pub(crate) fn new(options: Options, place: Place) -> Result<Self, String> {
        Ok(Self {
            wire: Wire::new(options.clients)?,
            options,
            issuer: place.issuer,
            fleet: place.fleet,
            history: History::default(),
            registry: Registry::default(),
            signatures: Signatures::default(),
            apps: place.apps,
            server: place.server,
            people: place.people,
            watch: Stopwatch::start(),
            sign_ins: Semaphore::new(SIGN_INS),
            phase: AtomicU8::new(Phase::Disturbed as u8),
            _cluster: place.cluster,
        })
    }

    /// The time since the run began.
    pub(crate) fn now(&self) -> Duration {
        self.watch.now()
    }

    /// Goes on to a later phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }

    /// True once the run has come so far.
    pub(crate) fn has_come_to(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Acquire) >= phase as u8
    }

    /// True when nobody is to begin anything.
    pub(crate) fn is_over(&self) -> bool {
        self.has_come_to(Phase::Closing)
    }

    /// True when what was begun is to be given up.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.has_come_to(Phase::Abandoned)
    }

    /// Any replica.
    pub(crate) fn any_replica(&self, rng: &mut Rng) -> usize {
        rng.below(self.fleet.size())
    }

    /// Any replica but this one, where there is another.
    pub(crate) fn other_replica(&self, replica: usize, rng: &mut Rng) -> usize {
        let others = self.fleet.size().saturating_sub(1);
        let step = rng.below(others).saturating_add(1);
        replica
            .saturating_add(step)
            .checked_rem(others.saturating_add(1))
            .unwrap_or(0)
    }

    /// Any client application.
    pub(crate) fn any_app(&self, rng: &mut Rng) -> Option<Arc<App>> {
        rng.pick(&self.apps).cloned()
    }

    /// The client application that holds no secret.
    pub(crate) fn public_app(&self) -> Option<Arc<App>> {
        self.apps.iter().find(|app| app.is_public()).cloned()
    }
}
