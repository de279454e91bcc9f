//! The schema from release to release: each as it was copied, each with all its rows on to the present one, every change
//! whole or not at all, by one process at a time, and fit for the binary of the release before.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that cannot go on fails where it is"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use vouchsafe::app::StartError;
use vouchsafe::schema;
use vouchsafe_migrations::{Standing, State, migrate_to};
use vouchsafe_store::Database;
use vouchsafe_tests::process::{self, USUAL};
use vouchsafe_tests::{Answer, Cluster, DatabaseKind, Setup, TestApp, TestClient};

/// Set, it has the copies written anew instead of compared: for the schema of a release that is not out yet.
const WRITE: &str = "VOUCHSAFE_WRITE_SCHEMAS";

/// A key that guards nothing.
const MASTER_KEY: &str = "9GOX0hmw6oXzEwVtxVLIaYZK4rJRJnJRQXvGG8ubmWo=";

/// What must end by itself has this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where databases tell about themselves in different words.
struct Words {
    /// In the names of the copies.
    name: &'static str,
    /// The statements, or comments, that a copy is made of, each in a row.
    copy: &'static [&'static str],
    /// Every column as `column TABLE.NAME TYPE ...` and every index as its statement.
    facts: &'static [&'static str],
    /// The names of the tables.
    tables: &'static str,
    /// The names of the columns of the table `TABLE`.
    columns: &'static str,
    /// The value of the column `COLUMN` as SQL.
    literal: &'static str,
}

const SQLITE: Words = Words {
    name: "sqlite",
    copy: &["SELECT sql || ';' FROM sqlite_master WHERE sql IS NOT NULL \
             AND tbl_name <> 'seaql_migrations' AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name"],
    facts: &[
        "SELECT 'column ' || t.name || '.' || c.name || ' ' || c.type || COALESCE(' default ' || c.dflt_value, '') \
         || CASE WHEN c.\"notnull\" THEN ' not null' ELSE '' END || CASE WHEN c.pk THEN ' key ' || c.pk ELSE '' END \
         FROM sqlite_master AS t, pragma_table_info(t.name) AS c \
         WHERE t.type = 'table' AND t.name <> 'seaql_migrations' AND substr(t.name, 1, 7) <> 'sqlite_'",
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name <> 'seaql_migrations'",
    ],
    tables: "SELECT name FROM sqlite_master WHERE type = 'table' \
             AND name <> 'seaql_migrations' AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name",
    columns: "SELECT name FROM pragma_table_info('TABLE')",
    literal: "quote(COLUMN)",
};

const COLUMNS_OF_POSTGRES: &str = "SELECT 'column ' || c.table_name::text || '.' || c.column_name::text || ' ' \
    || c.data_type::text || COALESCE(' collate ' || c.collation_name::text, '') \
    || CASE WHEN c.is_identity = 'YES' THEN ' identity' ELSE COALESCE(' default ' || c.column_default::text, '') END \
    || CASE WHEN c.is_nullable = 'NO' THEN ' not null' ELSE '' END FROM information_schema.columns AS c \
    WHERE c.table_schema = current_schema() AND c.table_name <> 'seaql_migrations'";

const INDEXES_OF_POSTGRES: &str = "SELECT indexdef FROM pg_indexes \
    WHERE schemaname = current_schema() AND tablename <> 'seaql_migrations'";

const POSTGRES: Words = Words {
    name: "postgres",
    copy: &[COLUMNS_OF_POSTGRES, INDEXES_OF_POSTGRES],
    facts: &[COLUMNS_OF_POSTGRES, INDEXES_OF_POSTGRES],
    tables: "SELECT tablename::text FROM pg_tables \
             WHERE schemaname = current_schema() AND tablename <> 'seaql_migrations' ORDER BY tablename",
    columns: "SELECT column_name::text FROM information_schema.columns \
              WHERE table_schema = current_schema() AND table_name = 'TABLE' ORDER BY ordinal_position",
    literal: "quote_nullable(COLUMN::text)",
};

fn words() -> &'static Words {
    match DatabaseKind::of_this_run() {
        DatabaseKind::Sqlite => &SQLITE,
        DatabaseKind::Postgres => &POSTGRES,
    }
}

/// A database of its own of the kind that this run is about, empty at first.
struct Place {
    url: String,
    folder: TempDir,
    database: OnceCell<Database>,
}

impl Place {
    async fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match DatabaseKind::of_this_run() {
            DatabaseKind::Sqlite => format!("sqlite:{}", folder.path().join("vouchsafe.db").display()),
            DatabaseKind::Postgres => Cluster::shared().await.empty_database().await,
        };
        Self {
            url,
            folder,
            database: OnceCell::new(),
        }
    }

    /// With the schema of the release that ended with this change.
    async fn of_release(newest: usize) -> Self {
        let place = Self::empty().await;
        migrate_to(place.connection().await, newest).await.unwrap();
        place
    }

    /// With the present schema.
    async fn current() -> Self {
        Self::of_release(releases().await.len()).await
    }

    async fn database(&self) -> &Database {
        self.database
            .get_or_init(|| async { Database::open(&self.url, true).await.unwrap() })
            .await
    }

    async fn connection(&self) -> &DatabaseConnection {
        self.database().await.schema_connection()
    }

    async fn run(&self, sql: &str) {
        let done = self.connection().await.execute_unprepared(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The first column, which is text, of every row.
    async fn lines(&self, sql: &str) -> Vec<String> {
        let connection = self.connection().await;
        let statement = Statement::from_string(connection.get_database_backend(), sql);
        let rows = connection.query_all_raw(statement).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
        rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    }

    /// Its schema as the copies keep it.
    async fn copy(&self) -> String {
        let mut lines = Vec::new();
        for sql in words().copy {
            lines.extend(self.lines(sql).await);
        }
        if words().name == POSTGRES.name {
            for line in &mut lines {
                *line = if line.starts_with("column ") {
                    format!("-- {line}")
                } else {
                    format!("{line};")
                };
            }
            lines.sort();
        }
        lines.join("\n") + "\n"
    }

    /// Every column and every index, one by one.
    async fn facts(&self) -> BTreeSet<String> {
        let mut facts = BTreeSet::new();
        for sql in words().facts {
            facts.extend(self.lines(sql).await);
        }
        facts
    }

    async fn tables(&self) -> Vec<String> {
        self.lines(words().tables).await
    }

    /// The columns of a table that are written; the database counts the rows of the audit itself.
    async fn columns(&self, table: &str) -> Vec<String> {
        let mut columns = self.lines(&words().columns.replace("TABLE", table)).await;
        columns.retain(|column| (table, column.as_str()) != ("audit", "id"));
        columns
    }

    /// The rows of a table, as statements that name these columns and no other.
    async fn inserts(&self, table: &str, columns: &[String]) -> Vec<String> {
        let literals: Vec<String> = columns
            .iter()
            .map(|column| words().literal.replace("COLUMN", column))
            .collect();
        let (names, values) = (columns.join(", "), literals.join(" || ', ' || "));
        let sql = format!("SELECT 'INSERT INTO {table} ({names}) VALUES (' || {values} || ')' FROM {table}");
        self.lines(&sql).await
    }

    /// Takes over all rows of another database, as a binary writes them that knows the tables and columns of `known`.
    async fn take_rows(&self, from: &Place, known: &Place) {
        for table in known.tables().await {
            let rows = from.inserts(&table, &known.columns(&table).await).await;
            assert!(!rows.is_empty(), "no row in {table}");
            self.run(&format!("DELETE FROM {table}")).await;
            self.run(&rows.join(";\n")).await;
        }
    }

    /// An application on this database.
    async fn serve_alone(&self) -> TestApp {
        Setup::default().set("database.url", &self.url).start().await
    }

    /// The issuer of another application on this database.
    async fn serve(&self, app: &TestApp) -> TestApp {
        let setup = Setup::default().set("issuer", &app.issuer);
        setup.set("database.url", &self.url).start().await
    }

    /// A command of the built server on this database.
    fn start(&self, line: &str) -> Child {
        Command::new(process::server(USUAL))
            .args(line.split_whitespace())
            .env_clear()
            .env("VOUCHSAFE_ISSUER", "http://127.0.0.1:8080")
            .env("VOUCHSAFE_DATABASE__URL", &self.url)
            .env("VOUCHSAFE_KEYS__MASTER_KEY", MASTER_KEY)
            .env("VOUCHSAFE_SERVER__LISTEN", "127.0.0.1:0")
            .env("VOUCHSAFE_SERVER__MANAGEMENT_LISTEN", "127.0.0.1:0")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// Exit status, standard output as JSON, and standard error of a process, at its end.
fn ended(process: Child) -> (Option<i32>, Value, String) {
    let output = process.wait_with_output().unwrap();
    let out = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), out, said)
}

/// The names of the changes that the present binary knows; each ends a release. It takes a database to learn them.
async fn releases() -> &'static [String] {
    static NAMES: OnceCell<Vec<String>> = OnceCell::const_new();
    NAMES
        .get_or_init(|| async {
            let place = Place::empty().await;
            let schema = vouchsafe_migrations::status(place.connection().await)
                .await
                .unwrap();
            schema.changes.into_iter().map(|change| change.name).collect()
        })
        .await
}

/// As a process does that brings the schema up to date; says how many changes it applied.
async fn migrate(url: String) -> Result<usize, StartError> {
    let database = Database::open(&url, true).await?;
    let migrated = schema::migrate(&database).await;
    database.close().await;
    Ok(migrated?.applied.len())
}

/// What an application did that has a row in every table.
struct Lived<'a> {
    client: TestClient<'a>,
    kept: Answer,
    revoked: Answer,
}

impl<'a> Lived<'a> {
    async fn in_every_table(app: &'a TestApp) -> Self {
        app.resource("https://api.example/", "items:read").await;
        app.role("reader", "items:read", &[]).await;
        app.user("alice", &["reader"]).await;
        let client = app.client("web", "openid").await;
        app.inside().beat().await.unwrap();
        let (kept, revoked) = (client.sign_in("alice").await, client.sign_in("alice").await);
        assert_eq!(client.revoke(revoked.str("refresh_token")).await.status, 200);
        // Only a failed sign-in is remembered as such.
        let wrong = [
            ("grant_type", "password"),
            ("username", "alice"),
            ("password", "wrong"),
        ];
        assert_eq!(client.token(&wrong).await.status, 400);
        Self {
            client,
            kept,
            revoked,
        }
    }

    /// What lived goes on, and what was ended stays so.
    async fn goes_on_at(&self, app: &TestApp) {
        let client = self.client.at(app);
        assert!(client.is_active(self.kept.str("access_token")).await);
        assert!(!client.is_active(self.revoked.str("access_token")).await);
        let next = client.refresh(self.kept.str("refresh_token")).await;
        assert_eq!(next.outcome(), "200", "{}", next.text);
        assert_eq!(next.refresh_claims().get("seq"), Some(&json!(1)));
        assert!(client.is_active(next.str("access_token")).await);
        let ended = client.refresh(self.revoked.str("refresh_token")).await;
        assert_eq!(ended.outcome(), "400 invalid_grant revoked");
    }
}

#[tokio::test]
async fn f17_every_released_schema_is_what_its_copy_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    for (newest, name) in (1..).zip(releases().await) {
        let made = Place::of_release(newest).await.copy().await;
        let number = name.split('_').next().unwrap();
        let path = folder.join(format!("{number}.{}.sql", words().name));
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let copy = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            copy,
            made,
            "{} differs: a released schema never changes; if {name} is not released yet, set {WRITE}=1 once",
            path.display()
        );
    }
}

#[tokio::test]
async fn f17_what_an_older_release_wrote_serves_after_the_upgrade() {
    let today = Place::current().await;
    let app = today.serve_alone().await;
    let lived = Lived::in_every_table(&app).await;
    for newest in 1..releases().await.len() {
        let old = Place::of_release(newest).await;
        old.take_rows(&today, &old).await;
        assert!(migrate(old.url.clone()).await.unwrap() > 0);
        assert_eq!(old.copy().await, today.copy().await);
        let upgraded = old.serve(&app).await;
        lived.goes_on_at(&upgraded).await;
    }
}

#[tokio::test]
async fn f17_what_an_older_binary_writes_on_the_present_schema_serves() {
    let today = Place::current().await;
    let app = today.serve_alone().await;
    let lived = Lived::in_every_table(&app).await;
    for newest in 1..releases().await.len() {
        let (old, shared) = (Place::of_release(newest).await, Place::current().await);
        shared.take_rows(&today, &old).await;
        let newer = shared.serve(&app).await;
        lived.goes_on_at(&newer).await;
    }
}

/// The table that a fact is about.
fn table_of(fact: &str) -> &str {
    let name = match fact.strip_prefix("column ") {
        Some(column) => column,
        None => fact.split(" ON ").nth(1).unwrap(),
    };
    let name = name.trim_start_matches("public.").trim_start_matches('"');
    name.split(['.', '"', ' ', '(']).next().unwrap()
}

/// True for what can make a statement fail that knows nothing of it.
fn stops_older_binaries(added: &str) -> bool {
    let is_required =
        added.contains(" not null") && !added.contains(" default ") && !added.contains(" identity");
    match added.strip_prefix("column ") {
        Some(_) => is_required,
        None => added.starts_with("CREATE UNIQUE "),
    }
}

#[tokio::test]
async fn f17_a_release_only_adds_to_the_schema_of_the_one_before() {
    for newest in 2..=releases().await.len() {
        let (before, after) = (
            Place::of_release(newest - 1).await,
            Place::of_release(newest).await,
        );
        let floor = schema::read(after.database().await).await.unwrap().floor;
        if floor >= i64::try_from(newest).unwrap() {
            // The release before refuses this one: it takes away what no release since the floor needs.
            continue;
        }
        let (old, new) = (before.facts().await, after.facts().await);
        let gone: Vec<&String> = old.difference(&new).collect();
        assert!(gone.is_empty(), "change {newest} took away or altered {gone:?}");
        let tables = before.tables().await;
        for added in new.difference(&old) {
            let is_own = !tables.iter().any(|table| table == table_of(added));
            assert!(is_own || !stops_older_binaries(added), "{added}");
        }
    }
}

#[test]
fn f17_what_stops_an_older_binary_is_told_from_what_does_not() {
    let facts = [
        ("column audit.more text", "audit", false),
        ("column audit.more TEXT default 'x' not null", "audit", false),
        ("column audit.more bigint identity not null", "audit", false),
        ("column audit.more text collate C not null", "audit", true),
        ("column audit.more TEXT not null key 1", "audit", true),
        ("CREATE INDEX a ON public.role USING btree (name)", "role", false),
        (
            "CREATE UNIQUE INDEX a ON public.role USING btree (name)",
            "role",
            true,
        ),
        ("CREATE INDEX \"a\" ON \"role\" (\"name\")", "role", false),
        ("CREATE UNIQUE INDEX \"a\" ON \"role\" (\"name\")", "role", true),
    ];
    for (fact, table, stops) in facts {
        assert_eq!(table_of(fact), table, "{fact}");
        assert_eq!(stops_older_binaries(fact), stops, "{fact}");
    }
}

#[tokio::test]
async fn f19_a_change_that_fails_half_way_leaves_nothing_behind() {
    let wanted = Place::current().await.copy().await;
    // What the second change makes first, and what it makes last.
    let in_the_way = [
        ("CREATE TABLE counter (x BIGINT)", "DROP TABLE counter"),
        (
            "CREATE INDEX change_log_kind ON audit (at)",
            "DROP INDEX change_log_kind",
        ),
    ];
    for (put, remove) in in_the_way {
        let place = Place::of_release(1).await;
        let (untouched, database) = (place.copy().await, place.database().await);
        place.run(put).await;
        let before = place.copy().await;
        let failed = schema::migrate(database).await;
        assert!(matches!(failed, Err(StartError::Store(_))), "{put}: {failed:?}");
        assert_eq!(place.copy().await, before, "{put}");
        let schema = schema::read(database).await.unwrap();
        assert_eq!(schema.count(State::Applied), 1, "{put}");
        place.run(remove).await;
        assert_eq!(place.copy().await, untouched, "{put}");
        // The lock was given back too.
        let migrated = timeout(PATIENCE, schema::migrate(database)).await.unwrap();
        assert!(!migrated.unwrap().applied.is_empty(), "{put}");
        assert_eq!(place.copy().await, wanted, "{put}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f20_of_two_that_migrate_at_once_one_does_it_and_both_are_done() {
    let (wanted, changes) = (Place::current().await.copy().await, releases().await.len());
    for _ in 0..20 {
        let place = Place::empty().await;
        let both = [(); 2].map(|()| tokio::spawn(migrate(place.url.clone())));
        let mut applied = Vec::new();
        for one in both {
            applied.push(timeout(PATIENCE, one).await.unwrap().unwrap().unwrap());
        }
        applied.sort_unstable();
        assert_eq!(applied, [0, changes]);
        assert_eq!(place.copy().await, wanted);
        let left = std::fs::read_dir(place.folder.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        let is_lock = |name: &std::ffi::OsString| name.to_string_lossy().ends_with(".migrating");
        assert!(!left.iter().any(is_lock), "{left:?}");
    }
}

#[tokio::test]
async fn f20_of_two_processes_that_migrate_at_once_both_end_well() {
    let wanted = Place::current().await.copy().await;
    for _ in 0..10 {
        let place = Place::empty().await;
        let both = [(); 2].map(|()| place.start("db migrate"));
        let mut applied = Vec::new();
        for (status, out, said) in both.map(ended) {
            assert_eq!(status, Some(0), "{said}");
            let changes = out.as_array().unwrap();
            assert!(changes.iter().all(|change| change["applied"] == true), "{out}");
            applied.push(changes.iter().filter(|change| change["new"] == true).count());
        }
        applied.sort_unstable();
        assert_eq!(applied, [0, releases().await.len()]);
        assert_eq!(place.copy().await, wanted);
    }
}

#[tokio::test]
async fn f20_the_lock_is_held_by_one_and_goes_with_its_process() {
    let place = Place::empty().await;
    let open = async || Database::open(&place.url, true).await.unwrap();
    let (first, second) = (open().await, open().await);
    let held = timeout(PATIENCE, first.schema_lock()).await.unwrap().unwrap();
    let briefly = Duration::from_millis(300);
    assert!(timeout(briefly, second.schema_lock()).await.is_err());
    // As if it had been killed: nothing is released, its file and its session are just gone.
    drop(held);
    first.close().await;
    let taken = timeout(PATIENCE, second.schema_lock()).await.unwrap().unwrap();
    taken.release().await;
    let again = timeout(PATIENCE, second.schema_lock()).await.unwrap().unwrap();
    again.release().await;
}

#[tokio::test]
async fn f17_a_binary_works_on_a_later_schema_until_the_floor_rises_above_it() {
    let place = Place::current().await;
    let record =
        |name: &str| format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{name}', 0)");
    place.run(&record("m9001_later")).await;
    let schema = schema::read(place.database().await).await.unwrap();
    assert_eq!(
        (schema.standing(), schema.count(State::Newer)),
        (Standing::Current, 1)
    );
    let app = place.serve_alone().await;
    let client = app.client("later", "items:read").await;
    assert_eq!(client.credentials().await.status, 200);
    let later = json!({ "name": "m9001_later", "applied": true, "new": false, "newer": true });
    for line in ["db status", "db migrate"] {
        let (status, out, said) = ended(place.start(line));
        assert_eq!((status, said.as_str()), (Some(0), ""), "{line}");
        let changes = out.as_array().unwrap();
        assert_eq!(changes.last(), Some(&later), "{line}");
        assert!(
            changes.iter().all(|change| change["new"] == false),
            "{line}: {out}"
        );
    }
    let refused = |said_of_schema: &str| {
        for line in ["db status", "db migrate", "client list", "serve"] {
            let (status, out, said) = ended(place.start(line));
            assert_eq!(status, Some(4), "{line}: {said}");
            assert!(said.contains(said_of_schema), "{line}: {said}");
            // What there is, is shown to whoever asks for it.
            assert_eq!(out.is_array(), line == "db status", "{line}: {out}");
        }
        let (status, findings, _) = ended(place.start("doctor"));
        let findings = findings.as_array().unwrap();
        let of_schema = findings.iter().find(|finding| finding["check"] == "schema");
        let of_schema = of_schema.unwrap();
        assert_eq!((status, &of_schema["status"]), (Some(1), &json!("fail")));
        assert!(of_schema["found"].as_str().unwrap().contains(said_of_schema));
    };
    let floor = |n: u32| format!("UPDATE counter SET n = {n} WHERE name = 'schema_floor'");
    place.run(&floor(9001)).await;
    refused("the schema is newer than this version of vouchsafe");
    place.run(&floor(1)).await;
    place.run(&record("m0001_of_somebody_else")).await;
    refused("the schema is not known to this version of vouchsafe");
}
