//! One issuer under test: its own database, copied from a migrated template, and its own sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use vouchsafe::app::App;
use vouchsafe::config::{Config, Sources};
use vouchsafe::http::accept;
use vouchsafe_issuer::{
    Actor, ApplicationType, ClientDraft, DatabaseClock, Issuer, Machine, Resource, Role, Rotation, UserDraft,
};
use vouchsafe_protocol::{
    ClientAuthMethod, ClientId, Clock, GrantType, ResourceUri, RoleName, ScopeSet, SecretString, Timestamp,
};

use crate::{Browser, DatabaseKind, TestClient, TestClock, http_client};

/// The master key of every test; it guards nothing.
const MASTER_KEY: &str = "qalIGrHqXEIEGiHZS0pqUK2HW2ygKvAxGnYrBoWXu2s=";

/// The secret of every client that [`TestApp::client`] makes.
pub const CLIENT_SECRET: &str = "client-secret-of-the-tests-0123456789abcdef";

/// What differs from the usual test application.
#[derive(Default)]
pub struct Setup {
    settings: Vec<(String, String)>,
    dir: Option<PathBuf>,
    database_url: Option<String>,
    kind: Option<DatabaseKind>,
    clock: Option<Arc<TestClock>>,
    with_tasks: bool,
    database_time: bool,
}

impl Setup {
    /// One setting, by its dotted key.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Shares the database and the clock of another application, as a second replica.
    #[must_use]
    pub fn beside(mut self, other: &TestApp) -> Self {
        self.dir = Some(other.folder().to_owned());
        self.database_url = Some(other.database_url.clone());
        self.clock = Some(Arc::clone(&other.clock));
        self
    }

    /// Uses PostgreSQL whatever this run is about: for a test of what only PostgreSQL has.
    #[must_use]
    pub fn on_postgres(mut self) -> Self {
        self.kind = Some(DatabaseKind::Postgres);
        self
    }

    /// Has a clock of its own, also beside another application.
    #[must_use]
    pub fn clock(mut self, clock: &Arc<TestClock>) -> Self {
        self.clock = Some(Arc::clone(clock));
        self
    }

    /// Takes the time from the database, as a server does.
    #[must_use]
    pub fn with_database_time(mut self) -> Self {
        self.database_time = true;
        self
    }

    /// Runs the tasks of a server too.
    #[must_use]
    pub fn with_tasks(mut self) -> Self {
        self.with_tasks = true;
        self
    }

    /// Starts it.
    pub async fn start(self) -> TestApp {
        TestApp::begin(self).await
    }

    /// The database that is set, or shared with another application, or a new one.
    async fn database(&self, dir: &Path) -> String {
        let set = self.settings.iter().rev().find(|(key, _)| key == "database.url");
        match (set, &self.database_url) {
            (Some((_, url)), _) | (None, Some(url)) => url.clone(),
            (None, None) => {
                let kind = self.kind.unwrap_or_else(DatabaseKind::of_this_run);
                Box::pin(kind.migrated(dir)).await
            }
        }
    }
}

/// A running issuer.
pub struct TestApp {
    /// The exact string of the issuer.
    pub issuer: String,
    /// The base of every public address.
    pub base: String,
    /// The base of the management addresses.
    pub management: String,
    /// Its clock.
    pub clock: Arc<TestClock>,
    /// Sends requests.
    pub http: reqwest::Client,
    app: App,
    shutdown: watch::Sender<bool>,
    // The folder lives as long as its first application.
    own_dir: Option<TempDir>,
    shared_dir: PathBuf,
    database_url: String,
}

impl TestApp {
    /// The usual test application: ES256 only, cheap password hashes, tasks by hand.
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    async fn begin(setup: Setup) -> Self {
        let own_dir = setup.dir.is_none().then(|| tempfile::tempdir().unwrap());
        let dir = own_dir
            .as_ref()
            .map_or_else(|| setup.dir.clone().unwrap(), |dir| dir.path().to_owned());
        let database_url = setup.database(&dir).await;
        let public = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let management = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", public.local_addr().unwrap());
        let clock = setup.clock.unwrap_or_default();
        let config = config(&database_url, &base, setup.settings);
        let issuer = config.issuer.to_string();
        let app = App::open(config, machine(&clock, setup.database_time))
            .await
            .unwrap();
        let (shutdown, down) = watch::channel(false);
        let management_url = format!("http://{}", management.local_addr().unwrap());
        tokio::spawn(accept::serve(public, None, app.public().unwrap(), down.clone()));
        tokio::spawn(accept::serve(management, None, app.management(), down.clone()));
        if setup.with_tasks {
            app.start_tasks(&down);
        }
        Self {
            issuer,
            base,
            management: management_url,
            clock,
            http: http_client().build().unwrap(),
            app,
            shutdown,
            own_dir,
            shared_dir: dir,
            database_url,
        }
    }

    /// The issuer inside, for what operators do.
    pub fn inside(&self) -> &Arc<Issuer> {
        self.app.issuer()
    }

    /// The folder of its files; a SQLite database is one of them.
    pub fn folder(&self) -> &Path {
        &self.shared_dir
    }

    /// The database, as `database.url` names it.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// What opens another issuer of this name on this database, by hand: the usual configuration with these settings, by
    /// their dotted keys. What this application was set up with is not in it.
    pub fn config(&self, settings: &[(&str, &str)]) -> Config {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let settings = settings.iter().map(owned).collect();
        config(&self.database_url, &self.issuer, settings)
    }

    /// The machine for it: this clock, and real randomness.
    pub fn machine(&self) -> Machine {
        machine(&self.clock, false)
    }

    /// Who operates in tests.
    pub fn operator() -> Actor {
        Actor::Operator {
            user: "tester".to_owned(),
            host: "here".to_owned(),
        }
    }

    /// The present instant of its clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the clock on and does what the tasks would have done by then.
    pub async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.inside().follow().await.unwrap();
        self.inside().advance_keys().await.unwrap();
    }

    /// Makes a resource that knows these scopes.
    pub async fn resource(&self, uri: &str, scope: &str) -> ResourceUri {
        self.resource_with(uri, scope, |_| {}).await
    }

    /// Makes a resource and lets the caller change it first.
    pub async fn resource_with(
        &self,
        uri: &str,
        scope: &str,
        change: impl FnOnce(&mut Resource),
    ) -> ResourceUri {
        let uri = ResourceUri::parse(uri).unwrap();
        let mut resource = Resource {
            uri: uri.clone(),
            scope: ScopeSet::parse(scope).unwrap(),
            by_role: false,
            closed: false,
            server_client_id: None,
            signing_algorithm: None,
            access_ttl: None,
            created_at: self.now(),
        };
        change(&mut resource);
        self.inside()
            .create_resource(&resource, &Self::operator())
            .await
            .unwrap();
        uri
    }

    /// Makes a role.
    pub async fn role(&self, name: &str, permissions: &str, includes: &[&str]) {
        let role = Role {
            name: RoleName::parse(name).unwrap(),
            permissions: ScopeSet::parse(permissions).unwrap(),
            includes: includes
                .iter()
                .map(|name| RoleName::parse(name).unwrap())
                .collect(),
            created_at: self.now(),
        };
        self.inside().create_role(&role, &Self::operator()).await.unwrap();
    }

    /// Makes a confidential client with every grant of this stage and these scopes, authenticating by Basic.
    pub async fn client(&self, id: &str, scope: &str) -> TestClient<'_> {
        self.client_with(id, scope, |_| {}).await
    }

    /// Makes a public client that may refresh and use passwords.
    pub async fn public_client(&self, id: &str, scope: &str) -> TestClient<'_> {
        self.client_with(id, scope, |draft| {
            draft.auth_method = Some(ClientAuthMethod::None);
            draft.grants = Some(vec![GrantType::Password, GrantType::RefreshToken]);
            draft.application_type = Some(ApplicationType::Native);
        })
        .await
    }

    /// Makes a confidential client of the code flow that may refresh.
    pub async fn code_client(&self, id: &str, scope: &str, redirect_uri: &str) -> TestClient<'_> {
        self.client_with(id, scope, |draft| {
            draft.grants = Some(vec![
                GrantType::AuthorizationCode,
                GrantType::RefreshToken,
                GrantType::DeviceCode,
            ]);
            draft.redirect_uris = Some(vec![redirect_uri.to_owned()]);
        })
        .await
    }

    /// The public client of this id, which nobody here made.
    pub fn stranger(&self, id: &str) -> TestClient<'_> {
        TestClient::new(self, id, ClientAuthMethod::None)
    }

    /// Makes a client and lets the caller change the draft first.
    pub async fn client_with(
        &self,
        id: &str,
        scope: &str,
        change: impl FnOnce(&mut ClientDraft),
    ) -> TestClient<'_> {
        let mut draft = ClientDraft {
            auth_method: Some(ClientAuthMethod::ClientSecretBasic),
            grants: Some(vec![
                GrantType::ClientCredentials,
                GrantType::RefreshToken,
                GrantType::Password,
            ]),
            scope: Some(ScopeSet::parse(scope).unwrap()),
            rotation: Some(Rotation::Always),
            ..ClientDraft::default()
        };
        change(&mut draft);
        let method = draft.auth_method.unwrap();
        let secret = (method != ClientAuthMethod::None).then(|| SecretString::new(CLIENT_SECRET.to_owned()));
        let id = ClientId::parse(id).unwrap();
        self.inside()
            .create_client(Some(id.clone()), &draft, secret, &Self::operator())
            .await
            .unwrap();
        TestClient::new(self, id.as_str(), method)
    }

    /// Changes a client.
    pub async fn change_client(&self, id: &str, draft: &ClientDraft) {
        let id = ClientId::parse(id).unwrap();
        let operator = Self::operator();
        self.inside().update_client(&id, draft, &operator).await.unwrap();
    }

    /// Makes a person and signs them in at a browser.
    pub async fn visitor(&self, name: &str) -> Browser<'_> {
        self.user(name, &[]).await;
        Browser::signed_in(self, name).await
    }

    /// Makes a person whose password is `password of NAME`.
    pub async fn user(&self, name: &str, roles: &[&str]) -> String {
        let draft = UserDraft {
            username: name.to_owned(),
            email: None,
            password: Some(SecretString::new(password_of(name))),
            roles: roles.iter().map(|role| RoleName::parse(role).unwrap()).collect(),
        };
        self.inside()
            .create_user(&draft, &Self::operator())
            .await
            .unwrap()
            .subject
            .to_string()
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        let _ = self.shutdown.send(true);
        drop(self.own_dir.take());
    }
}

/// The password of a person that [`TestApp::user`] made.
pub fn password_of(name: &str) -> String {
    format!("password of {name}")
}

fn machine(clock: &Arc<TestClock>, database_time: bool) -> Machine {
    let own: Arc<dyn Clock> = Arc::clone(clock) as _;
    let database_clock = database_time.then(|| Arc::new(DatabaseClock::new(Arc::clone(&own))));
    Machine {
        clock: database_clock.clone().map_or(own, |clock| clock as _),
        entropy: vouchsafe::machine::real_machine().entropy,
        database_clock,
    }
}

fn config(database_url: &str, issuer: &str, settings: Vec<(String, String)>) -> Config {
    let preset = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let presets = vec![
        preset("issuer", issuer),
        preset("database.url", database_url),
        preset("keys.master_key", MASTER_KEY),
        preset("keys.algorithms", "ES256"),
        preset("passwords.memory_kib", "64"),
        preset("passwords.iterations", "1"),
    ];
    Config::load(&Sources::new(None, Vec::new(), settings).with_presets(presets)).unwrap()
}
