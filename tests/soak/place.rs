//! What a run needs before its servers start: a database, configurations that differ in nothing but their addresses,
//! clients and people, all made by the command line as an operator makes them.

use std::fs::{self, DirBuilder, Permissions};
use std::future::Future;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use vouchsafe_tests::Cluster;

use crate::options::{Backend, Options};
use crate::servers::{Fleet, Replica, send_signal};
use crate::wire::{App, Auth};

/// The audience of every access token.
pub(crate) const API: &str = "https://api.example/";

/// A key that guards nothing.
const MASTER_KEY: &str = "tHIH4jA1iCofDBA0z1AN/diORMUYeEPUf+sFdpIqb88=";
const PASSWORD: &str = "a password of the soak";
/// Enough that the sign-ins which a kill leaves behind do not add up for one of them.
const PEOPLE: usize = 16;
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// Someone who signs in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) password: &'static str,
}

/// All that was prepared.
pub(crate) struct Place {
    pub(crate) issuer: String,
    pub(crate) apps: Vec<Arc<App>>,
    /// The client that serves the audience.
    pub(crate) server: App,
    pub(crate) people: Vec<Person>,
    pub(crate) fleet: Fleet,
    /// The URL of the database.
    pub(crate) database: String,
    pub(crate) cluster: Option<Cluster>,
}

impl Place {
    /// Prepares everything in a folder; no server runs yet. The cluster is started when it is what was asked for.
    ///
    /// # Errors
    /// What could not be prepared.
    pub(crate) async fn furnish(
        folder: &Path,
        options: &Options,
        cluster: impl Future<Output = Cluster>,
    ) -> Result<Self, String> {
        let binary = binary()?;
        let (database, cluster) = match options.database {
            Backend::Sqlite => (format!("sqlite:{}", folder.join("vouchsafe.db").display()), None),
            Backend::Postgres => {
                let cluster = cluster.await;
                (cluster.empty_database().await, Some(cluster))
            }
        };
        let addresses = free_addresses(options.replicas.saturating_mul(2))?;
        let issuer = addresses.first().map(|address| format!("http://{address}"));
        let issuer = issuer.ok_or("no address is free")?;
        let master_key = folder.join("master.key");
        write_private(&master_key, MASTER_KEY)?;
        let shared = shared_settings(&issuer, &database, &master_key);
        let operator = folder.join("operator.toml");
        write_private(&operator, &shared)?;
        let mut replicas = Vec::with_capacity(options.replicas);
        for (number, [address, management]) in addresses.as_chunks::<2>().0.iter().enumerate() {
            replicas.push(replica(folder, number, &shared, *address, *management)?);
        }
        let operator = Operator {
            binary: binary.clone(),
            config: operator,
        };
        operator.run(&["db", "migrate"], None).await?;
        let server = operator.server().await?;
        Ok(Self {
            issuer,
            apps: operator.apps().await?,
            server,
            people: operator.people().await?,
            fleet: Fleet::new(binary, replicas),
            database,
            cluster,
        })
    }
}

/// The built server.
fn binary() -> Result<PathBuf, String> {
    let named = std::env::var_os("VOUCHSAFE_BIN");
    let named = named.ok_or("VOUCHSAFE_BIN does not name the built server: run `cargo xtask soak`")?;
    let found = fs::canonicalize(&named);
    found.map_err(|error| format!("VOUCHSAFE_BIN names {}: {error}", Path::new(&named).display()))
}

/// Addresses that nobody listens on, held all at once so that they differ.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, String> {
    let taken = |error: std::io::Error| format!("no port is free: {error}");
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        sockets.push(TcpListener::bind("127.0.0.1:0").map_err(taken)?);
    }
    let addresses = sockets.iter().map(TcpListener::local_addr);
    addresses.collect::<Result<_, _>>().map_err(taken)
}

/// The settings that all replicas and the operator share. Passwords are cheap: the soak is about what comes after them.
fn shared_settings(issuer: &str, database: &str, master_key: &Path) -> String {
    format!(
        r#"issuer = {issuer:?}

[database]
url = {database:?}

[keys]
master_key_file = {master_key:?}
algorithms = ["ES256"]

[tokens]
retry_window = "60s"

[passwords]
memory_kib = 64
iterations = 1

[log]
level = "warn"
"#
    )
}

fn replica(
    folder: &Path,
    number: usize,
    shared: &str,
    address: SocketAddr,
    management: SocketAddr,
) -> Result<Replica, String> {
    let state = folder.join(format!("state-{number}"));
    let made = DirBuilder::new().mode(0o700).create(&state);
    made.map_err(|error| format!("{}: {error}", state.display()))?;
    let settings = format!(
        "{shared}\n[server]\nlisten = \"{address}\"\nmanagement_listen = \"{management}\"\n\n[state]\ndir = {state:?}\n"
    );
    let config = folder.join(format!("replica-{number}.toml"));
    write_private(&config, &settings)?;
    let log = folder.join(format!("replica-{number}.log"));
    Ok(Replica::new(config, log, address, management))
}

/// Writes a file that is nobody else's.
fn write_private(path: &Path, text: &str) -> Result<(), String> {
    let written =
        fs::write(path, text).and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o600)));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

/// Whoever types commands.
struct Operator {
    binary: PathBuf,
    config: PathBuf,
}

impl Operator {
    /// Runs a command to its end and gives what it printed.
    async fn run(&self, words: &[&str], input: Option<&str>) -> Result<Value, String> {
        let line = words.join(" ");
        let told = |error: &dyn std::fmt::Display| format!("`vouchsafe {line}`: {error}");
        let stdin = if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        let mut child = Command::new(&self.binary)
            .args(words)
            .arg("--config")
            .arg(&self.config)
            .args(["-o", "json"])
            .env_clear()
            .env("USER", "soak")
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| told(&error))?;
        if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
            // A command that refuses before it reads has closed its end.
            let _ = pipe.write_all(input.as_bytes());
        }
        let pid = child.id();
        let ended = timeout(COMMAND_LIMIT, spawn_blocking(move || child.wait_with_output())).await;
        let Ok(ended) = ended else {
            send_signal(pid, "KILL")?;
            return Err(told(&"it does not end"));
        };
        let output = ended
            .map_err(|error| told(&error))?
            .map_err(|error| told(&error))?;
        if !output.status.success() {
            return Err(told(&String::from_utf8_lossy(&output.stderr).trim()));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| told(&error))
    }

    /// Makes a client and gives its secret.
    async fn client(&self, id: &str, method: &str, more: &[&str]) -> Result<String, String> {
        let mut words = vec!["client", "create", "--id", id, "--auth", method];
        words.extend(more);
        let made = self.run(&words, None).await?;
        let secret = made.get("client_secret").and_then(Value::as_str);
        Ok(secret.unwrap_or_default().to_owned())
    }

    /// The resource and the client that serves it, which may introspect the access tokens of all others.
    async fn server(&self) -> Result<App, String> {
        let (id, method) = ("api", "client_secret_basic");
        let secret = self
            .client(id, method, &["--grant", "client_credentials"])
            .await?;
        let scope = ["--scope", "items:read", "--server", id];
        let mut words = vec!["resource", "create", API];
        words.extend(scope);
        self.run(&words, None).await?;
        Ok(App {
            id: id.to_owned(),
            auth: Auth::Basic(secret),
        })
    }

    /// Client applications of every kind; half of the sessions are of public ones.
    async fn apps(&self) -> Result<Vec<Arc<App>>, String> {
        const COMMON: [&str; 8] = [
            "--grant",
            "password",
            "--grant",
            "refresh_token",
            "--scope",
            "openid items:read",
            "--resource",
            API,
        ];
        let web = self.client("web", "client_secret_basic", &COMMON).await?;
        let desk = self.client("desk", "client_secret_post", &COMMON).await?;
        let mut native = COMMON.to_vec();
        native.extend(["--application-type", "native"]);
        self.client("native", "none", &native).await?;
        let app = |id: &str, auth| {
            Arc::new(App {
                id: id.to_owned(),
                auth,
            })
        };
        let native = app("native", Auth::Public);
        Ok(vec![
            app("web", Auth::Basic(web)),
            app("desk", Auth::Post(desk)),
            Arc::clone(&native),
            native,
        ])
    }

    async fn people(&self) -> Result<Vec<Person>, String> {
        let mut people = Vec::with_capacity(PEOPLE);
        for number in 0..PEOPLE {
            let name = format!("person-{number}");
            let words = ["user", "create", name.as_str(), "--password-file", "-"];
            self.run(&words, Some(PASSWORD)).await?;
            people.push(Person {
                name,
                password: PASSWORD,
            });
        }
        Ok(people)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_share_all_but_their_addresses_and_state() {
        let folder = tempfile::tempdir().unwrap();
        let shared = shared_settings("http://127.0.0.1:1", "sqlite:/tmp/v.db", Path::new("/tmp/k"));
        let addresses = free_addresses(4).unwrap();
        for (number, [address, management]) in addresses.as_chunks::<2>().0.iter().enumerate() {
            replica(folder.path(), number, &shared, *address, *management).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let (one, other) = (read("replica-0.toml"), read("replica-1.toml"));
        assert!(one.starts_with("issuer = \"http://127.0.0.1:1\"\n"));
        assert!(one.contains("master_key_file = \"/tmp/k\"") && one.contains(&addresses[1].to_string()));
        let differing = one.lines().zip(other.lines()).filter(|(one, other)| one != other);
        assert_eq!(differing.count(), 3);
        assert!(folder.path().join("state-1").is_dir());
    }
}
