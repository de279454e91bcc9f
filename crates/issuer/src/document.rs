//! Clients that nobody registered: the id is the address of a document that says what it is (OAuth Client ID Metadata
//! Document). A document is read when its client signs somebody in and what was read of it has grown old.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::{Mutex, Semaphore};
use url::Url;
use vouchsafe_protocol::{
    ClientAuthMethod, ClientId, ClientMetadata, Reason, Refusal, Timestamp, redirect_uri,
};
use vouchsafe_store::{Client, ClientOrigin, StoreError};

use crate::admin::client::blank;
use crate::audit::{Event, Remark, announce};
use crate::self_description::bad_metadata;
use crate::{Actor, Error, Fetched, Issuer};

/// How many documents of strangers are read at once.
const AT_ONCE: usize = 20;
/// Ids that are remembered for a failure, or that somebody waits for.
const CAPACITY: u64 = 10_000;
/// A document that could not be read is not asked for again before.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_secs(5 * 60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// What was read stays good for so much longer while it cannot be read again.
const GRACE: Duration = Duration::from_secs(24 * 3600);

/// What is under way, and what went wrong lately.
pub(crate) struct Documents {
    fetches: Semaphore,
    failed: Cache<String, Timestamp>,
    turns: Cache<String, Arc<Mutex<()>>>,
}

impl Documents {
    pub(crate) fn new() -> Self {
        Self {
            fetches: Semaphore::new(AT_ONCE),
            failed: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(AFTER_FAILURE * 2)
                .build(),
            turns: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_idle(AFTER_FAILURE)
                .build(),
        }
    }

    /// Whoever holds it reads this document; the others wait for what it finds.
    fn turn(&self, id: &ClientId) -> Arc<Mutex<()>> {
        self.turns
            .get_with(id.as_str().to_owned(), || Arc::new(Mutex::new(())))
    }

    fn failed_lately(&self, id: &ClientId, now: Timestamp) -> bool {
        let failed = self.failed.get(id.as_str());
        failed.is_some_and(|at| now < at.plus(AFTER_FAILURE))
    }
}

/// Whether an id is the address of a document: https in its one canonical spelling (so without dot segments), with a path,
/// without query, fragment and credentials. On loopback http will do where `loopback_too`.
pub(crate) fn is_document_id(client_id: &str, loopback_too: bool) -> bool {
    let Ok(url) = Url::parse(client_id) else {
        return false;
    };
    let scheme_fits = match url.scheme() {
        "https" => true,
        "http" => loopback_too && redirect_uri::is_loopback(client_id),
        _ => false,
    };
    scheme_fits
        && url.as_str() == client_id
        && url.path() != "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

/// Whether what is known of a client must be read anew.
fn is_due(client: &Client, now: Timestamp) -> bool {
    client.origin == ClientOrigin::Document
        && client.disabled_at.is_none()
        && client.document_expires_at.is_none_or(|end| end <= now)
}

/// What is known of a client, as long as it serves though it cannot be read anew.
fn still_good(known: Option<Arc<Client>>, now: Timestamp) -> Option<Arc<Client>> {
    known.filter(|client| {
        let end = client.document_expires_at.map(|end| end.plus(GRACE));
        !is_due(client, now) || end.is_some_and(|end| now < end)
    })
}

impl Issuer {
    /// A client by its id; if that is the address of a document, by what the document says.
    pub(crate) async fn document_client(&self, id: &ClientId) -> Result<Option<Arc<Client>>, Error> {
        self.must_be_current().await?;
        let known = self.client(id).await?;
        let read = |known: &Option<Arc<Client>>, now| known.as_deref().is_some_and(|it| !is_due(it, now));
        if !is_document_id(id.as_str(), self.outbound.allows_private()) || read(&known, self.now()) {
            return Ok(known);
        }
        let turn = self.documents.turn(id);
        let _turn = turn.lock().await;
        let (known, now) = (self.client(id).await?, self.now());
        if read(&known, now) || self.documents.failed_lately(id, now) {
            return Ok(still_good(known, now));
        }
        match self.read_document(id, known.as_deref(), now).await {
            Ok(Some(client)) => self.put_document(client, known.is_some(), now).await,
            Ok(None) => {
                self.documents.failed.insert(id.as_str().to_owned(), now);
                Ok(still_good(known, now))
            }
            Err(Error::Busy) => still_good(known, now).map(Some).ok_or(Error::Busy),
            Err(error) => Err(error),
        }
    }

    /// Reads a document of a stranger; none where there is none to be had.
    pub(crate) async fn stranger_document(&self, url: &Url) -> Result<Option<Fetched>, Error> {
        let _permit = self.documents.fetches.try_acquire().map_err(|_| Error::Busy)?;
        let why = match self.outbound.get(url).await {
            Ok(fetched) if fetched.status == 200 => return Ok(Some(fetched)),
            Ok(fetched) => format!("status {}", fetched.status),
            Err(error) => error.to_string(),
        };
        tracing::info!(event = "document_unread", url = url.as_str(), %why);
        Ok(None)
    }

    /// The client as its document says; none where there is no document or it is refused.
    async fn read_document(
        &self,
        id: &ClientId,
        known: Option<&Client>,
        now: Timestamp,
    ) -> Result<Option<Client>, Error> {
        let Ok(url) = Url::parse(id.as_str()) else {
            return Ok(None);
        };
        let Some(fetched) = self.stranger_document(&url).await? else {
            return Ok(None);
        };
        let why = match ClientMetadata::parse(&fetched.body) {
            Ok(said) => match self.client_of_document(id, &url, &said, known, now).await {
                Ok(client) => {
                    let lifetime = fetched.cache_for.unwrap_or_default().clamp(SHORTEST, LONGEST);
                    return Ok(Some(Client {
                        document_expires_at: Some(now.plus(lifetime)),
                        ..client
                    }));
                }
                Err(Error::Refused(refusal)) => refusal.to_string(),
                Err(error) => return Err(error),
            },
            Err(bad) => format!("{}: {bad}", Refusal::from(bad)),
        };
        tracing::info!(event = "document_refused", client_id = id.as_str(), %why);
        Ok(None)
    }

    async fn client_of_document(
        &self,
        id: &ClientId,
        url: &Url,
        said: &ClientMetadata,
        known: Option<&Client>,
        now: Timestamp,
    ) -> Result<Client, Error> {
        if said.client_id.as_deref() != Some(id.as_str()) {
            return Err(bad_metadata(Reason::ClientMismatch));
        }
        // A secret in public is none.
        let method = said.token_endpoint_auth_method.unwrap_or(ClientAuthMethod::None);
        if method != ClientAuthMethod::None || said.client_secret.is_some() || said.has_server_members {
            return Err(bad_metadata(Reason::WrongAuthMethod));
        }
        if said.redirect_uris.is_empty() {
            return Err(bad_metadata(Reason::MissingParameter));
        }
        let mut callbacks = said.redirect_uris.iter().chain(&said.post_logout_redirect_uris);
        if !callbacks.all(|uri| is_at_home(uri, url)) {
            return Err(bad_metadata(Reason::InvalidParameter));
        }
        let before = known.cloned().unwrap_or_else(|| blank(id.clone(), now));
        let changed = known.map(|known| known.updated_at.plus(Duration::from_secs(1)));
        let client = Client {
            auth_method: method,
            resources: self.open_resources(),
            origin: ClientOrigin::Document,
            updated_at: changed.map_or(now, |after| now.max(after)),
            ..before
        };
        self.described(client, said).await
    }

    async fn put_document(
        &self,
        client: Client,
        known: bool,
        now: Timestamp,
    ) -> Result<Option<Arc<Client>>, Error> {
        let event = if known {
            Event::ClientUpdated
        } else {
            Event::ClientCreated
        };
        let audit = Remark::new(event, &Actor::Client(client.id.clone()), now)
            .client(&client.id)
            .with("origin", client.origin.as_str())
            .entry();
        match self.store.put_document_client(&client, &audit).await {
            Ok(()) => {
                announce(&audit);
                self.follow().await?;
                Ok(Some(Arc::new(client)))
            }
            // Somebody else was first.
            Err(StoreError::Exists { .. }) => {
                self.follow().await?;
                self.client(&client.id).await
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a browser stays with whoever wrote the document, or on the person's own machine.
fn is_at_home(uri: &str, document: &Url) -> bool {
    let same_origin = |url: Url| url.scheme() == "https" && url.origin() == document.origin();
    redirect_uri::is_loopback(uri) || Url::parse(uri).is_ok_and(same_origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_canonical_https_address_names_a_document() {
        for id in [
            "https://app.example/client.json",
            "https://app.example:8443/oauth/client",
            "https://app.example/client/",
            "https://xn--bcher-kva.example/client",
        ] {
            assert!(is_document_id(id, false), "{id}");
        }
        for id in [
            "web",
            "app.example/client.json",
            "https://app.example",
            "https://app.example/",
            "https://app.example/x/../client.json",
            "https://app.example/./client.json",
            "https://app.example/%2e%2e/client.json",
            "https://app.example:443/client.json",
            "https://APP.example/client.json",
            "HTTPS://app.example/client.json",
            "https:app.example/client.json",
            "https:///app.example/client.json",
            "https://app.example\\client.json",
            "https://user@app.example/client.json",
            "https://@app.example/client.json",
            "https://app.example/client.json?v=1",
            "https://app.example/client.json?",
            "https://app.example/client.json#x",
            "https://0x7f.1/client.json",
            " https://app.example/client.json",
            "ftp://app.example/client.json",
            "http://app.example/client.json",
        ] {
            assert!(!is_document_id(id, true), "{id}");
        }
    }

    #[test]
    fn cl26_http_on_loopback_is_for_development() {
        for id in [
            "http://127.0.0.1:8000/client.json",
            "http://localhost/client.json",
        ] {
            assert!(is_document_id(id, true) && !is_document_id(id, false), "{id}");
        }
    }

    #[test]
    fn a_document_speaks_for_its_own_origin_and_the_persons_machine() {
        let document = Url::parse("https://app.example/client.json").unwrap();
        for (uri, at_home) in [
            ("https://app.example/cb", true),
            ("https://app.example:443/cb", true),
            ("http://127.0.0.1/cb", true),
            ("http://localhost:3000/cb", true),
            ("http://app.example/cb", false),
            ("https://app.example:8443/cb", false),
            ("https://www.app.example/cb", false),
            ("https://evil.example/cb", false),
            ("com.example.app:/cb", false),
        ] {
            assert_eq!(is_at_home(uri, &document), at_home, "{uri}");
        }
    }

    #[test]
    fn what_was_read_serves_a_day_longer_than_it_is_fresh() {
        let at = Timestamp::from_unix;
        let known = |expires: i64| {
            let id = ClientId::parse("https://app.example/client.json").unwrap();
            Some(Arc::new(Client {
                origin: ClientOrigin::Document,
                document_expires_at: Some(at(expires)),
                ..blank(id, at(0))
            }))
        };
        let day = 24 * 3600;
        for (now, due, good) in [
            (999, false, true),
            (1_000, true, true),
            (999 + day, true, true),
            (1_000 + day, true, false),
        ] {
            let client = known(1_000);
            assert_eq!(
                client.as_deref().is_some_and(|it| is_due(it, at(now))),
                due,
                "{now}"
            );
            assert_eq!(still_good(client, at(now)).is_some(), good, "{now}");
        }
    }
}
