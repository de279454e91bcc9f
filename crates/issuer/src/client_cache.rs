//! Clients by id, bounded, forgotten when the change log names them.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use vouchsafe_protocol::ClientId;
use vouchsafe_store::Client;

use crate::{Error, Issuer};

const CAPACITY: u64 = 20_000;
/// A backstop only: the change log is what forgets.
const LONGEST: Duration = Duration::from_secs(60);

/// Known clients, and ids known to be nobody's.
pub(crate) struct ClientCache(Cache<String, Option<Arc<Client>>>);

impl ClientCache {
    pub(crate) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(LONGEST)
                .build(),
        )
    }

    /// A client, as far as it is remembered.
    pub(crate) fn remembered(&self, id: &str) -> Option<Arc<Client>> {
        self.0.get(id).flatten()
    }

    pub(crate) fn forget(&self, id: &str) {
        self.0.invalidate(id);
    }

    pub(crate) fn forget_all(&self) {
        self.0.invalidate_all();
    }
}

impl Issuer {
    /// A client by its id, from memory where it is known.
    pub(crate) async fn client(&self, id: &ClientId) -> Result<Option<Arc<Client>>, Error> {
        if let Some(known) = self.clients.0.get(id.as_str()) {
            return Ok(known);
        }
        let number = self.view.change_number();
        let found = self.store.client(id).await?.map(Arc::new);
        // A change that came meanwhile may be about this client: what was read before it is not kept.
        if number == self.view.change_number() {
            self.clients.0.insert(id.as_str().to_owned(), found.clone());
            if number != self.view.change_number() {
                self.clients.forget(id.as_str());
            }
        }
        Ok(found)
    }
}
