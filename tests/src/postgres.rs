//! PostgreSQL for tests: a cluster in a folder of its own, reached by a unix socket unless a test is about TLS, gone with
//! the test process.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, Statement};
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use vouchsafe_store::Database;

use crate::keeper::{Account, Keeper, socket_folder};
use crate::process::free_addresses;

/// What a start and a stop may take.
const PATIENCE: Duration = Duration::from_secs(15);
const EVERY: Duration = Duration::from_millis(20);
/// Part of the socket's name only, unless the cluster listens on addresses: every cluster has a folder of its own.
const PORT: u16 = 5432;
/// Where a cluster with TLS listens: one address that its certificate names, and one that it does not.
const ADDRESSES: &str = "127.0.0.1, 127.0.0.2";
/// The migrated database that others are copied from.
const TEMPLATE: &str = "migrated";
/// The first version that can be told to copy a database file by file, without a line of log for each page.
const COPIES_FILES: u32 = 15;

/// A running PostgreSQL of its own. It ends when this is dropped, and when the test process ends, however that happens.
pub struct Cluster {
    keeper: Keeper,
    folder: PathBuf,
    port: u16,
    running: AtomicBool,
    snapshots: AtomicU32,
    made: Mutex<Made>,
}

/// What a cluster is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Most tests: quick, because it would not survive a power loss.
    Quick,
    /// Measurements: as it is run in earnest.
    Durable,
    /// Tests of the way to it: quick, and reached by TLS too.
    Tls,
}

/// The databases made so far.
#[derive(Default)]
struct Made {
    template: bool,
    count: u32,
}

/// A copy of the data of a [`Cluster`] that was stopped; gone with its cluster.
#[derive(Debug)]
pub struct Snapshot(PathBuf);

impl Cluster {
    /// Starts one that is quick because it would not survive a power loss; it survives every crash of its own.
    pub async fn start() -> Self {
        Self::begin(Kind::Quick).await
    }

    /// Starts one as it is run in earnest, every commit on disk before it counts.
    pub async fn start_durable() -> Self {
        Self::begin(Kind::Durable).await
    }

    /// Starts one that also listens by TLS, on [`Cluster::port`] of 127.0.0.1 and of 127.0.0.2. Its certificate is for the
    /// first one, also by the name of `localhost`.
    pub async fn start_with_tls() -> Self {
        Self::begin(Kind::Tls).await
    }

    /// The path of a file in `tests/fixtures/tls`: `ca.crt`, or what a cluster with TLS shows, `server.crt`.
    pub fn tls_file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/tls")
            .join(name)
    }

    /// The cluster that the tests of this binary share; nobody stops it.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    async fn begin(kind: Kind) -> Self {
        let cluster = spawn_blocking(move || Self::make(kind)).await.unwrap();
        cluster.start_again().await;
        cluster
    }

    /// Everything but the start.
    fn make(kind: Kind) -> Self {
        let account = Account::needed();
        let folder = socket_folder(account);
        let binaries = binaries();
        let data = folder.join("data");
        let mut postgres = Account::command(account, &binaries.join("postgres"), &folder);
        postgres.arg("-D").arg(&data);
        // From here on the folder is the keeper's to remove.
        let keeper = Keeper::start(&folder, &postgres);
        let mut initdb = Account::command(account, &binaries.join("initdb"), &folder);
        initdb
            .args([
                "-A",
                "trust",
                "-U",
                "vouchsafe",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(&data);
        run(&mut initdb);
        let port = match kind {
            Kind::Quick | Kind::Durable => PORT,
            // As late as can be: somebody else may take it before the start.
            Kind::Tls => free_addresses::<1>()[0].port(),
        };
        if kind == Kind::Tls {
            copy_certificate(&data, account);
        }
        let configuration = OpenOptions::new().append(true).open(data.join("postgresql.conf"));
        let settings = settings(&folder, port, kind);
        configuration.unwrap().write_all(settings.as_bytes()).unwrap();
        Self {
            keeper,
            folder,
            port,
            running: AtomicBool::new(false),
            snapshots: AtomicU32::new(0),
            made: Mutex::default(),
        }
    }

    /// The URL of a new database, migrated and without a row.
    pub async fn database(&self) -> String {
        let mut made = self.made.lock().await;
        if !made.template {
            self.make_template().await;
            made.template = true;
        }
        made.count += 1;
        self.create(made.count, TEMPLATE).await
    }

    /// The URL of a new database without a schema.
    pub async fn empty_database(&self) -> String {
        let mut made = self.made.lock().await;
        made.count += 1;
        self.create(made.count, "template1").await
    }

    /// Nobody else may be connected to what is copied: the caller holds the lock.
    async fn create(&self, number: u32, template: &str) -> String {
        let name = format!("test_{number}");
        let strategy = if self.version() >= COPIES_FILES {
            " STRATEGY FILE_COPY"
        } else {
            ""
        };
        let sql = format!("CREATE DATABASE {name} TEMPLATE {template}{strategy}");
        self.sql(&self.url("postgres"), &sql).await;
        self.url(&name)
    }

    async fn make_template(&self) {
        let (admin, url) = (self.url("postgres"), self.url(TEMPLATE));
        // There is one already when an older state of the data was put back, or when its making failed.
        let drop = format!("DROP DATABASE IF EXISTS {TEMPLATE}");
        self.sql(&admin, &drop).await;
        self.sql(&admin, &format!("CREATE DATABASE {TEMPLATE}")).await;
        let database = Database::open(&url, false).await.unwrap();
        vouchsafe_migrations::migrate(database.schema_connection())
            .await
            .unwrap();
        database.close().await;
    }

    /// Runs one or more statements on a database and says how many rows they touched.
    pub async fn sql(&self, url: &str, sql: &str) -> u64 {
        let connection = connect(url).await.unwrap();
        let done = connection.execute_unprepared(sql).await;
        connection.close().await.unwrap();
        done.unwrap_or_else(|error| panic!("{sql}: {error}"))
            .rows_affected()
    }

    /// Runs a SELECT on a database and gives each row as an object, a column a member.
    pub async fn rows(&self, url: &str, select: &str) -> Vec<Value> {
        let connection = connect(url).await.unwrap();
        let sql = format!("SELECT CAST(row_to_json(a) AS TEXT) AS line FROM ({select}) AS a");
        let found = connection
            .query_all_raw(Statement::from_string(DbBackend::Postgres, sql))
            .await;
        connection.close().await.unwrap();
        found
            .unwrap_or_else(|error| panic!("{select}: {error}"))
            .iter()
            .map(|row| serde_json::from_str(&row.try_get::<String>("", "line").unwrap()).unwrap())
            .collect()
    }

    /// The folder with the files of one database, after all that was committed was written to them.
    pub async fn files_of(&self, url: &str) -> PathBuf {
        self.sql(url, "CHECKPOINT").await;
        let select = "SELECT CAST(oid AS TEXT) AS folder FROM pg_database WHERE datname = current_database()";
        let rows = self.rows(url, select).await;
        self.data_dir()
            .join("base")
            .join(rows[0]["folder"].as_str().unwrap())
    }

    /// Ends it as `pg_ctl stop -m immediate` does: connections are cut, and the next start recovers from the log.
    pub async fn stop_immediately(&self) {
        self.keeper.stop();
        let stopped = timeout(PATIENCE, async {
            while !self.keeper.has_stopped() {
                sleep(EVERY).await;
            }
        });
        let stopped = stopped.await;
        assert!(stopped.is_ok(), "PostgreSQL does not stop: {}", self.log());
        self.running.store(false, Ordering::SeqCst);
    }

    /// Starts it again after [`Cluster::stop_immediately`], on its data and its socket, and waits until it answers.
    pub async fn start_again(&self) {
        assert!(!self.running.swap(true, Ordering::SeqCst), "it runs already");
        self.keeper.launch();
        let url = self.url("postgres");
        let ready = timeout(PATIENCE, async {
            loop {
                match connect(&url).await {
                    Ok(connection) => return connection.close().await.unwrap(),
                    Err(_) => sleep(EVERY).await,
                }
            }
        });
        let ready = ready.await;
        assert!(ready.is_ok(), "PostgreSQL does not start: {}", self.log());
    }

    /// Copies the data of a cluster that is stopped.
    pub async fn copy_data(&self) -> Snapshot {
        let number = self.snapshots.fetch_add(1, Ordering::SeqCst);
        let copy = self.folder.join(format!("snapshot-{number}"));
        self.copy_folder(self.data_dir(), copy.clone()).await;
        Snapshot(copy)
    }

    /// Puts older data back into a cluster that is stopped.
    pub async fn restore_data(&self, snapshot: &Snapshot) {
        self.assert_stopped();
        fs::remove_dir_all(self.data_dir()).unwrap();
        self.copy_folder(snapshot.0.clone(), self.data_dir()).await;
        self.made.lock().await.template = false;
    }

    async fn copy_folder(&self, from: PathBuf, to: PathBuf) {
        self.assert_stopped();
        let copied = spawn_blocking(move || run(Command::new("cp").arg("-a").arg(from).arg(to)));
        copied.await.unwrap();
    }

    fn assert_stopped(&self) {
        assert!(
            !self.running.load(Ordering::SeqCst),
            "the data of a running cluster change"
        );
    }

    /// The folder of its data.
    fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its socket, for those who stand between it and the issuer.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(format!(".s.PGSQL.{}", self.port))
    }

    /// Where it listens, after [`Cluster::start_with_tls`]; else nobody does.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything it has logged.
    fn log(&self) -> String {
        let log = fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn url(&self, name: &str) -> String {
        url(&self.folder, self.port, name)
    }

    /// The number before the dot.
    fn version(&self) -> u32 {
        let version = fs::read_to_string(self.data_dir().join("PG_VERSION")).unwrap();
        version.trim().parse().unwrap()
    }
}

/// Puts what proves a server where PostgreSQL looks for it.
fn copy_certificate(data: &Path, account: Option<Account>) {
    for name in ["server.crt", "server.key"] {
        let file = data.join(name);
        fs::copy(Cluster::tls_file(name), &file).unwrap();
        Account::own(account, &file);
    }
}

fn url(socket_dir: &Path, port: u16, name: &str) -> String {
    let host = socket_dir.display();
    format!("postgres://vouchsafe@localhost:{port}/{name}?host={host}")
}

/// One connection; tests run on a runtime each, so that none is kept.
async fn connect(url: &str) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .sqlx_logging(false);
    sea_orm::Database::connect(options).await
}

/// Runs a program to its end.
fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// What differs from the settings of a new cluster.
fn settings(folder: &Path, port: u16, kind: Kind) -> String {
    let folder = folder.display();
    let (addresses, ssl) = match kind {
        Kind::Quick | Kind::Durable => ("", "off"),
        Kind::Tls => (ADDRESSES, "on"),
    };
    let mut settings = format!(
        "listen_addresses = '{addresses}'\n\
         ssl = {ssl}\n\
         unix_socket_directories = '{folder}'\n\
         port = {port}\n\
         max_connections = 300\n\
         shared_buffers = 64MB\n\
         jit = off\n\
         log_line_prefix = '%m %p %d '\n"
    );
    if kind != Kind::Durable {
        settings.push_str(
            "fsync = off\n\
             full_page_writes = off\n\
             autovacuum = off\n",
        );
    }
    settings
}

/// The folder of `initdb` and `postgres`: what `cargo xtask test` found, or the newest that Debian's packages put there.
fn binaries() -> PathBuf {
    if let Some(named) = std::env::var_os("VOUCHSAFE_PG_BIN") {
        return PathBuf::from(named);
    }
    let versions = Path::new("/usr/lib/postgresql");
    let found = fs::read_dir(versions).into_iter().flatten().flatten();
    let names = found.filter_map(|entry| entry.file_name().into_string().ok());
    let newest = newest(names).unwrap_or_else(|| {
        panic!("no PostgreSQL: set VOUCHSAFE_PG_BIN to the folder of initdb, or run `cargo xtask test`")
    });
    versions.join(newest).join("bin")
}

/// The highest version among the names of folders.
fn newest(names: impl Iterator<Item = String>) -> Option<String> {
    let versions = names.filter_map(|name| Some((name.parse::<u32>().ok()?, name)));
    versions.max().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_the_highest_number() {
        let newest = |names: &[&str]| newest(names.iter().map(|name| (*name).to_owned()));
        assert_eq!(newest(&["9", "15", "13", "common"]).as_deref(), Some("15"));
        assert_eq!(newest(&["common"]), None);
    }

    #[test]
    fn a_url_names_the_socket() {
        assert_eq!(
            url(Path::new("/tmp/vs-a"), PORT, "test_1"),
            "postgres://vouchsafe@localhost:5432/test_1?host=/tmp/vs-a"
        );
    }

    #[test]
    fn a_durable_cluster_keeps_what_makes_it_so() {
        let settings = |kind| settings(Path::new("/tmp/vs-a"), PORT, kind);
        for word in ["fsync", "full_page_writes", "autovacuum", "synchronous_commit"] {
            assert!(!settings(Kind::Durable).contains(word), "{word}");
        }
        for kind in [Kind::Quick, Kind::Tls] {
            assert!(settings(kind).contains("fsync = off\n"));
            assert!(!settings(kind).contains("synchronous_commit"));
        }
    }

    #[test]
    fn a_cluster_listens_by_tls_or_not_at_all() {
        let settings = |kind| settings(Path::new("/tmp/vs-a"), PORT, kind);
        for kind in [Kind::Quick, Kind::Durable] {
            assert!(settings(kind).contains("listen_addresses = ''\nssl = off\n"));
        }
        assert!(settings(Kind::Tls).contains("listen_addresses = '127.0.0.1, 127.0.0.2'\nssl = on\n"));
    }

    #[tokio::test]
    async fn a_cluster_stops_starts_and_goes_back() {
        let cluster = Cluster::start().await;
        let url = cluster.database().await;
        assert_ne!(url, cluster.database().await);
        let rows = async || cluster.rows(&url, "SELECT n FROM kept ORDER BY n").await;
        cluster
            .sql(&url, "CREATE TABLE kept (n BIGINT); INSERT INTO kept VALUES (1)")
            .await;
        cluster.stop_immediately().await;
        assert!(connect(&url).await.is_err());
        let snapshot = cluster.copy_data().await;
        cluster.start_again().await;
        assert_eq!(cluster.sql(&url, "INSERT INTO kept VALUES (2)").await, 1);
        assert_eq!(rows().await.len(), 2);
        cluster.stop_immediately().await;
        cluster.restore_data(&snapshot).await;
        cluster.start_again().await;
        assert_eq!(rows().await, [serde_json::json!({ "n": 1 })]);
        cluster.database().await;
        let empty = cluster.empty_database().await;
        let tables = "SELECT 1 AS one FROM pg_tables WHERE schemaname = 'public'";
        assert!(cluster.rows(&empty, tables).await.is_empty());
        let folder = cluster.folder.clone();
        drop(cluster);
        assert!(!folder.exists());
    }
}
