//! Clients that nobody registered: the id is the address of a document that says what it is (OAuth Client ID Metadata
//! Document). A document is read when its client signs somebody in and what was read of it has grown old; what was read is
//! remembered, and written down only once somebody signs in.

use std::sync::Arc;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::{Mutex, Semaphore};
use url::Url;
use vouchsafe_protocol::{
    ClientAuthMethod, ClientId, ClientMetadata, ErrorCode, Reason, Refusal, Timestamp, redirect_uri,
};
use vouchsafe_store::{Client, ClientOrigin, StoreError};

use crate::admin::client::blank;
use crate::audit::{Event, Remark, announce};
use crate::config::RegistrationMode;
use crate::self_description::bad_metadata;
use crate::subject::keeps_names;
use crate::{Actor, Error, Fetched, Issuer};

/// How many documents of strangers are read at once.
const AT_ONCE: usize = 20;
/// Ids that are remembered for a failure, or that somebody waits for.
const CAPACITY: u64 = 10_000;
/// Documents of the usual length that are remembered.
const REMEMBERED: u64 = 5_000;
/// What a document of the usual length comes to, in bytes.
const USUAL: usize = 2048;
/// A document that could not be read is not asked for again before.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_secs(5 * 60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// What was read stays good for so much longer while it cannot be read again.
const GRACE: Duration = Duration::from_secs(24 * 3600);

/// What was read, what is under way, and what went wrong lately.
pub(crate) struct Documents {
    fetches: Semaphore,
    read: Cache<String, Reading>,
    failed: Cache<String, Timestamp>,
    turns: Cache<String, Arc<Mutex<()>>>,
}

/// A client as its document says.
#[derive(Clone)]
struct Reading {
    client: Arc<Client>,
    /// When the row was changed that it was laid over; none where there was no row.
    upon: Option<Timestamp>,
}

impl Reading {
    /// How many of the places in memory it takes.
    fn places(&self) -> u32 {
        const EACH: usize = 64;
        let uris = [&self.client.redirect_uris, &self.client.post_logout_redirect_uris];
        let uris = uris.into_iter().flatten().map(String::len);
        let scopes = self.client.scope.iter().map(|scope| scope.as_str().len());
        let bytes: usize = uris.chain(scopes).map(|length| length + EACH).sum();
        u32::try_from(1 + bytes / USUAL).unwrap_or(u32::MAX)
    }
}

impl Documents {
    pub(crate) fn new() -> Self {
        Self {
            fetches: Semaphore::new(AT_ONCE),
            read: Cache::builder()
                .max_capacity(REMEMBERED)
                .weigher(|_: &String, reading: &Reading| reading.places())
                // The newest is always remembered: whoever signs in needs it in a moment.
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(LONGEST + GRACE)
                .build(),
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

    fn failed_lately(&self, id: &str, now: Timestamp) -> bool {
        let failed = self.failed.get(id);
        failed.is_some_and(|at| now < at.plus(AFTER_FAILURE))
    }

    /// What is known of a client: what was read over the row as it is now, else the row. Whatever else happened to the row
    /// counts before what was read earlier.
    fn known(&self, id: &str, row: Option<Arc<Client>>) -> Option<Arc<Client>> {
        let upon = row.as_ref().map(|row| row.updated_at);
        match self.read.get(id) {
            Some(reading) if reading.upon == upon => Some(reading.client),
            _ => row,
        }
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
    /// Whether a client may be known by a document here: such clients are let in by nobody, like those that register in the
    /// open.
    fn may_have_document(&self, client_id: &str) -> bool {
        self.config.registration == RegistrationMode::Open
            && is_document_id(client_id, self.outbound.allows_private())
    }

    /// Whether a document would be read if this client signed somebody in now, so far as is known without asking the
    /// database.
    #[must_use]
    pub fn needs_document(&self, client_id: &str) -> bool {
        if !self.may_have_document(client_id) {
            return false;
        }
        let (row, now) = (self.clients.remembered(client_id), self.now());
        let known = self.documents.known(client_id, row);
        let read = known.is_some_and(|client| !is_due(&client, now));
        !read && !self.documents.failed_lately(client_id, now)
    }

    /// Reads the document of a client that names itself and shows nothing else, if it has one and that is due.
    ///
    /// # Errors
    /// `invalid_client` for one that is not known; [`Error::Busy`]; the store's.
    pub async fn meet_stranger(&self, client_id: &str) -> Result<(), Error> {
        let client = match ClientId::parse(client_id) {
            Ok(id) => self.client_to_sign_in(&id).await?,
            Err(_) => None,
        };
        let unknown = Error::refused(ErrorCode::InvalidClient, Reason::BadCredentials);
        client.map(drop).ok_or(unknown)
    }

    /// A client by its id, also one that is known by its document alone; nothing is read for it.
    pub(crate) async fn client_as_read(&self, id: &ClientId) -> Result<Option<Arc<Client>>, Error> {
        let row = self.client(id).await?;
        Ok(self.documents.known(id.as_str(), row))
    }

    /// A client by its id; if that is the address of a document, by what the document says.
    pub(crate) async fn client_to_sign_in(&self, id: &ClientId) -> Result<Option<Arc<Client>>, Error> {
        self.must_be_current().await?;
        if !self.may_have_document(id.as_str()) {
            let row = self.client(id).await?;
            return Ok(row.filter(|client| client.origin != ClientOrigin::Document));
        }
        let read = |known: &Option<Arc<Client>>, now| known.as_deref().is_some_and(|it| !is_due(it, now));
        let known = self.client_as_read(id).await?;
        if read(&known, self.now()) {
            return Ok(known);
        }
        let turn = self.documents.turn(id);
        let _turn = turn.lock().await;
        let (row, now) = (self.client(id).await?, self.now());
        let known = self.documents.known(id.as_str(), row.clone());
        if read(&known, now) || self.documents.failed_lately(id.as_str(), now) {
            return Ok(still_good(known, now));
        }
        match self.read_document(id, row.as_deref(), now).await {
            Ok(Some(client)) => self.learn(client, row.as_deref()).await,
            Ok(None) => {
                self.documents.failed.insert(id.as_str().to_owned(), now);
                Ok(still_good(known, now))
            }
            Err(Error::Busy) => still_good(known, now).map(Some).ok_or(Error::Busy),
            Err(error) => Err(error),
        }
    }

    /// Writes down what was read of a client that somebody signs in by. Nothing is done for other clients, and where the
    /// same reading or a later one is there.
    ///
    /// # Errors
    /// [`Error::Busy`] when people are shown another by now than they were asked about; the store's.
    pub(crate) async fn keep_document_client(&self, client: &Client) -> Result<(), Error> {
        if client.origin != ClientOrigin::Document {
            return Ok(());
        }
        let kept = match self.client(&client.id).await? {
            Some(row) if row.updated_at >= client.updated_at => Some(row),
            row => self.put_document(client.clone(), row.as_deref()).await?,
        };
        let same = |kept: Arc<Client>| kept.origin == client.origin && kept.is_shown_as(client);
        // The next try asks about the other.
        kept.is_some_and(same).then_some(()).ok_or(Error::Busy)
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
        row: Option<&Client>,
        now: Timestamp,
    ) -> Result<Option<Client>, Error> {
        let Ok(url) = Url::parse(id.as_str()) else {
            return Ok(None);
        };
        let Some(fetched) = self.stranger_document(&url).await? else {
            return Ok(None);
        };
        let why = match ClientMetadata::parse(&fetched.body) {
            Ok(said) => match self.client_of_document(&url, said, row, now).await {
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
        url: &Url,
        mut said: ClientMetadata,
        row: Option<&Client>,
        now: Timestamp,
    ) -> Result<Client, Error> {
        let id = said.client_id.as_deref().filter(|id| *id == url.as_str());
        let id = id.and_then(|id| ClientId::parse(id).ok());
        let id = id.ok_or_else(|| bad_metadata(Reason::ClientMismatch))?;
        // A secret in public is none.
        let method = said.token_endpoint_auth_method.unwrap_or(ClientAuthMethod::None);
        if method != ClientAuthMethod::None || said.client_secret.is_some() || said.has_server_members {
            return Err(bad_metadata(Reason::WrongAuthMethod));
        }
        said.redirect_uris.retain(|uri| is_at_home(uri, url));
        said.post_logout_redirect_uris.retain(|uri| is_at_home(uri, url));
        if said.redirect_uris.is_empty() {
            return Err(bad_metadata(Reason::MissingParameter));
        }
        let changed = row.map(|row| row.updated_at.plus(Duration::from_secs(1)));
        let stranger = Client {
            auth_method: method,
            origin: ClientOrigin::Document,
            updated_at: changed.map_or(now, |after| now.max(after)),
            ..row.cloned().unwrap_or_else(|| blank(id, now))
        };
        let mut client = self.described(stranger, &said).await?;
        client.skip_consent = client.skip_consent && row.is_some_and(|row| client.is_shown_as(row));
        if row.is_some_and(|row| !keeps_names(row, &client)) {
            return Err(bad_metadata(Reason::InvalidParameter));
        }
        Ok(client)
    }

    /// Remembers what was read. Where people may have let the client in and will be shown another from now on, that is
    /// written down at once: what they allowed must not be relied on any more.
    async fn learn(&self, client: Client, row: Option<&Client>) -> Result<Option<Arc<Client>>, Error> {
        if row.is_some_and(|row| !client.is_shown_as(row)) {
            return self.put_document(client, row).await;
        }
        let reading = Reading {
            client: Arc::new(client),
            upon: row.map(|row| row.updated_at),
        };
        let id = reading.client.id.to_string();
        self.documents.read.insert(id, reading.clone());
        Ok(Some(reading.client))
    }

    /// Writes down what was read; gives what is there then.
    async fn put_document(&self, client: Client, row: Option<&Client>) -> Result<Option<Arc<Client>>, Error> {
        let now = self.now();
        let event = if row.is_some() {
            Event::ClientUpdated
        } else {
            Event::ClientCreated
        };
        let client = Client {
            // New, it has its time from now on to lead to a sign-in.
            created_at: row.map_or(now, |row| row.created_at),
            ..client
        };
        let audit = Remark::new(event, &Actor::Client(client.id.clone()), now)
            .client(&client.id)
            .with("origin", client.origin.as_str())
            .entry();
        let upon = row.map(|row| row.updated_at);
        match self.store.put_document_client(&client, upon, &audit).await {
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

    #[test]
    fn what_was_read_counts_as_long_as_the_row_is_the_one_it_was_read_over() {
        let at = Timestamp::from_unix;
        let id = ClientId::parse("https://app.example/client.json").unwrap();
        let changed = |when: i64| {
            Arc::new(Client {
                updated_at: at(when),
                ..blank(id.clone(), at(0))
            })
        };
        for (upon, row, known) in [
            (None, None, Some(10)),
            (None, Some(10), Some(10)),
            (None, Some(12), Some(12)),
            (Some(5), Some(5), Some(10)),
            (Some(5), Some(12), Some(12)),
            // It was removed.
            (Some(5), None, None),
        ] {
            let documents = Documents::new();
            let reading = Reading {
                client: changed(10),
                upon: upon.map(at),
            };
            documents.read.insert(id.to_string(), reading);
            let found = documents.known(id.as_str(), row.map(changed));
            assert_eq!(
                found.map(|client| client.updated_at),
                known.map(at),
                "{upon:?} {row:?}"
            );
        }
    }

    #[test]
    fn long_documents_take_the_place_of_several() {
        let id = ClientId::parse("https://app.example/client.json").unwrap();
        let places = |uris: usize| {
            let long = format!("https://app.example/{}", "a".repeat(480));
            let client = Client {
                redirect_uris: vec![long; uris],
                ..blank(id.clone(), Timestamp::from_unix(0))
            };
            let reading = Reading {
                client: Arc::new(client),
                upon: None,
            };
            reading.places()
        };
        assert_eq!((places(1), places(20)), (1, 6));
    }
}
