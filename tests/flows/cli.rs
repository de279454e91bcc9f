//! The command line as scripts and people meet it: the real binary, its exit statuses, what it prints, and
//! what it keeps to itself.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that cannot go on fails where it is"
)]

use std::fs::{self, Permissions};
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;
use vouchsafe::machine::real_machine;
use vouchsafe_store::{Database, Store};
use vouchsafe_tests::process::{self, USUAL, soon};
use vouchsafe_tests::{Answer, Cluster, DatabaseKind};

const ISSUER: &str = "http://127.0.0.1:8080";
const API: &str = "https://api.example/";

/// The database in a file, as the configuration names it.
const FILE: &str = "sqlite:vouchsafe.db";

/// A configuration file. Tests speak of its lines by number.
const CONFIG: &str = r#"issuer = "http://127.0.0.1:8080"

[database]
url = "DATABASE"

[keys]
master_key_file = "master.key"
algorithms = ["ES256"]

[passwords]
memory_kib = 64
iterations = 1
"#;

/// Keys that guard nothing.
const MASTER_KEY: &str = "tHIH4jA1iCofDBA0z1AN/diORMUYeEPUf+sFdpIqb88=";
const OTHER_MASTER_KEY: &str = "FJqQGORNwpwhE0P94H4GRsqgprvW6l9qWPK6WWGVMrI=";

const IMPORTED_SECRET: &str = "imported-secret-of-the-tests-0123456789";
const ALICE_PASSWORD: &str = "correct horse of alice";

/// Whom the audit names.
const OPERATOR: &str = "cli-tester";

const BODY: &[u8] = b"grant_type=client_credentials";
const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Waits for what a running server must notice within a second; three are given, for a machine that is busy.
async fn noticed(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..30 {
        if holds().await {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("not noticed: {what}")
}

/// A command line in words; what stands between double quotes is one.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in line.split('"').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// What a process has written.
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Pipe {
    fn of(mut source: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept: Arc<Mutex<Vec<u8>>> = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut part = [0_u8; 4096];
            while let Ok(read @ 1..) = source.read(&mut part) {
                kept.lock().unwrap().extend(part.iter().take(read));
            }
        });
        let reader = Some(reader);
        Self { bytes, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// Everything, of a process that has ended.
    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.so_far()
    }
}

/// A process of the binary, gone with the test that started it.
struct Process {
    line: String,
    child: Child,
    out: Pipe,
    err: Pipe,
}

impl Process {
    /// Starts it in a folder, with this environment and no other.
    fn start(folder: &Path, environment: &[(&str, &str)], arguments: &[String], input: Option<&str>) -> Self {
        let stdin = if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        let mut child = Command::new(process::server(USUAL))
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("USER", OPERATOR)
            .envs(environment.iter().copied())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if let Some(input) = input {
            // A command that refuses before it reads has closed its end.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        }
        Self {
            line: arguments.join(" "),
            out: Pipe::of(child.stdout.take().unwrap()),
            err: Pipe::of(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Runs it to its end.
    async fn run(folder: &Path, environment: &[(&str, &str)], line: &str) -> Ran {
        Self::start(folder, environment, &words(line), None).ended().await
    }

    /// Waits until it has printed this.
    async fn prints(&mut self, text: &str) {
        let (line, child, out) = (&self.line, &mut self.child, &self.out);
        let printed = soon(line, async || {
            let ended = child.try_wait().unwrap().is_some();
            (ended || out.so_far().contains(text)).then_some(!ended)
        });
        assert!(printed.await, "{line} ended: {}", self.err.whole());
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Tells it to stop, as a service manager does.
    fn terminate(&self) {
        let pid = self.child.id().to_string();
        let status = Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", pid.as_str()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits for its end.
    async fn ended(&mut self) -> Ran {
        let (line, child) = (&self.line, &mut self.child);
        let status = soon(line, async || child.try_wait().unwrap()).await;
        Ran {
            line: self.line.clone(),
            status: status.code(),
            out: self.out.whole(),
            err: self.err.whole(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a command ended, and what it printed.
#[derive(Debug)]
struct Ran {
    line: String,
    status: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    /// What was printed, of a command that was carried out and had nothing else to say.
    fn value(&self) -> Value {
        assert_eq!(
            (self.status, self.err.as_str()),
            (Some(0), ""),
            "{}: {}",
            self.line,
            self.out
        );
        self.json()
    }

    /// The one JSON value on standard output.
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Exit status and error of a command that was not carried out: one line of JSON and nothing else.
    fn refusal(&self) -> (i32, String) {
        let told: Value = serde_json::from_str(&self.err).unwrap_or_default();
        let error = told.get("error").and_then(Value::as_str);
        match (self.status, error) {
            (Some(status), Some(error)) if self.err.lines().count() == 1 && self.out.is_empty() => {
                (status, error.to_owned())
            }
            _ => panic!("not a refusal in one line: {self:?}"),
        }
    }

    /// Asserts that it was refused with this status and this said.
    fn must_be_refused(&self, status: i32, said: &str) {
        let (is, error) = self.refusal();
        assert_eq!(is, status, "{}: {error}", self.line);
        assert!(error.contains(said), "{}: {error}", self.line);
    }
}

/// A configured instance in a folder of its own, whether or not a server runs.
struct Place {
    folder: TempDir,
    /// As it is configured.
    database: String,
    /// All that its commands printed.
    said: Mutex<String>,
}

impl Place {
    /// Without a database: the file that is to be one is not there.
    fn bare() -> Self {
        Self::over(FILE.to_owned())
    }

    fn over(database: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let said = Mutex::default();
        let place = Self {
            folder,
            database,
            said,
        };
        place.write("vouchsafe.toml", &place.config());
        place.write("master.key", &format!("{MASTER_KEY}\n"));
        place
    }

    /// With an empty database of the kind that this run is about.
    async fn empty() -> Self {
        match DatabaseKind::of_this_run() {
            DatabaseKind::Sqlite => {
                let place = Self::bare();
                place.write("vouchsafe.db", "");
                place
            }
            DatabaseKind::Postgres => Self::over(Cluster::shared().await.empty_database().await),
        }
    }

    async fn new() -> Self {
        let place = Self::empty().await;
        place.run("db migrate").await.value();
        place
    }

    /// What its configuration file says.
    fn config(&self) -> String {
        CONFIG.replace("DATABASE", &self.database)
    }

    /// Its database, for whoever is not in its folder.
    fn database_url(&self) -> String {
        match self.database.as_str() {
            FILE => format!("sqlite:{}", self.path("vouchsafe.db").display()),
            url => url.to_owned(),
        }
    }

    /// With a resource, a client `app` of it and a person `alice`; and the client's secret.
    async fn furnished() -> (Self, String) {
        let place = Self::new().await;
        let resource = format!("resource create {API} --scope \"items:read items:write\"");
        place.run(&resource).await.value();
        let client = "client create --id app --grant client_credentials --grant password
            --grant refresh_token --scope \"openid items:read\" --resource https://api.example/";
        let client = place.run(client).await.value();
        let user = place.feed("user create alice --password-file -", ALICE_PASSWORD);
        user.await.value();
        (place, text(&client, "client_secret"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that is nobody else's.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        set_mode(&self.path(name), 0o600);
    }

    fn start(&self, line: &str, environment: &[(&str, &str)], input: Option<&str>) -> Process {
        let arguments = words(&format!("{line} --config vouchsafe.toml -o json"));
        Process::start(self.folder.path(), environment, &arguments, input)
    }

    async fn run_with(&self, line: &str, environment: &[(&str, &str)], input: Option<&str>) -> Ran {
        let ran = self.start(line, environment, input).ended().await;
        self.said
            .lock()
            .unwrap()
            .extend([ran.out.as_str(), ran.err.as_str()]);
        ran
    }

    /// Runs a command that reads nothing.
    async fn run(&self, line: &str) -> Ran {
        self.run_with(line, &[], None).await
    }

    /// Runs a command that says itself what is configured and how it prints.
    async fn run_as_it_is(&self, line: &str) -> Ran {
        Process::run(self.folder.path(), &[], line).await
    }

    /// Runs a command and gives it this to read.
    async fn feed(&self, line: &str, input: &str) -> Ran {
        self.run_with(line, &[], Some(input)).await
    }

    /// One member of each thing in a list.
    async fn names(&self, line: &str, member: &str) -> Vec<String> {
        names(&self.run(line).await.value(), member)
    }

    /// How often its commands printed this.
    fn said(&self, secret: &str) -> usize {
        assert!(secret.len() >= 8);
        self.said.lock().unwrap().matches(secret).count()
    }

    /// Serves it.
    async fn serve(&self) -> Server {
        for _ in 0..5 {
            // Another process may take a port between our look and the listen.
            if let Some(server) = Server::start(self).await {
                return server;
            }
        }
        panic!("no port is free")
    }
}

/// A running `vouchsafe serve`.
struct Server {
    process: Process,
    address: SocketAddr,
}

impl Server {
    async fn start(place: &Place) -> Option<Self> {
        let [address, management] = process::free_addresses();
        let (listen, management_listen) = (address.to_string(), management.to_string());
        let environment = [
            ("VOUCHSAFE_SERVER__LISTEN", listen.as_str()),
            ("VOUCHSAFE_SERVER__MANAGEMENT_LISTEN", management_listen.as_str()),
        ];
        let mut process = place.start("serve", &environment, None);
        let (http, readyz) = (http(), format!("http://{management}/readyz"));
        let ready = soon("a server that is ready", async || {
            if !process.is_running() {
                return Some(false);
            }
            let answer = http.get(&readyz).send().await;
            answer.is_ok_and(|answer| answer.status() == 200).then_some(true)
        });
        if ready.await {
            return Some(Self { process, address });
        }
        process.ended().await.must_be_refused(1, "cannot listen on ");
        None
    }

    async fn post(&self, path: &str, id: &str, secret: &str, form: &[(&str, &str)]) -> Answer {
        post(&format!("http://{}{path}", self.address), id, secret, form).await
    }

    async fn credentials(&self, id: &str, secret: &str) -> Answer {
        self.post("/token", id, secret, &[("grant_type", "client_credentials")])
            .await
    }

    /// Signs alice in at the client `app`.
    async fn sign_in(&self, secret: &str) -> Answer {
        let form = [
            ("grant_type", "password"),
            ("username", "alice"),
            ("password", ALICE_PASSWORD),
        ];
        self.post("/token", "app", secret, &form).await
    }

    /// True when the client `app` is told so.
    async fn is_active(&self, secret: &str, token: &str) -> bool {
        let answer = self.post("/introspect", "app", secret, &[("token", token)]).await;
        let active = answer.json.get("active").and_then(Value::as_bool);
        active.unwrap_or_else(|| panic!("{} {}", answer.status, answer.text))
    }

    /// True when a client authenticates with this secret.
    async fn takes(&self, id: &str, secret: &str) -> bool {
        let answer = self.post("/introspect", id, secret, &[("token", "x")]).await;
        assert!([200, 401].contains(&answer.status), "{}", answer.text);
        answer.status == 200
    }

    /// A request of the client `app` for a token, begun and taken up: all but the body, which was asked for.
    fn begin(&self, secret: &str) -> TcpStream {
        let pair = STANDARD.encode(format!("app:{secret}"));
        let head = format!(
            "POST /token HTTP/1.1\r\nhost: as.example\r\nauthorization: Basic {pair}\r\ncontent-type: \
             application/x-www-form-urlencoded\r\ncontent-length: {}\r\nexpect: 100-continue\r\nconnection: \
             close\r\n\r\n",
            BODY.len()
        );
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(REQUEST_LIMIT)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut go_on = [0; GO_ON.len()];
        stream.read_exact(&mut go_on).unwrap();
        assert_eq!(go_on.as_slice(), GO_ON);
        stream
    }
}

fn http() -> reqwest::Client {
    let client = vouchsafe_tests::http_client().timeout(REQUEST_LIMIT);
    client.build().unwrap()
}

async fn post(url: &str, id: &str, secret: &str, form: &[(&str, &str)]) -> Answer {
    let request = http().post(url).basic_auth(id, Some(secret)).form(form);
    Answer::read(request.send().await.unwrap()).await
}

/// Does what a printed curl line says.
async fn carry_out(curl: &str) -> Answer {
    let mut words = curl.split_whitespace().skip(1);
    let (mut user, mut form, mut url) = (None, Vec::new(), None);
    while let Some(word) = words.next() {
        match word {
            "-s" => {}
            "-u" => user = words.next().and_then(|pair| pair.split_once(':')),
            "-d" => form.extend(words.next().and_then(|pair| pair.split_once('='))),
            other => url = Some(other),
        }
    }
    let (id, secret) = user.unwrap();
    post(url.unwrap(), id, secret, &form).await
}

fn text(value: &Value, member: &str) -> String {
    let text = value.get(member).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("no {member} in {value}"))
        .to_owned()
}

fn names(list: &Value, member: &str) -> Vec<String> {
    let things = list.as_array().unwrap();
    things.iter().map(|thing| text(thing, member)).collect()
}

/// The rest of an object that has these members.
fn without(mut value: Value, members: &[&str]) -> Value {
    let object = value.as_object_mut().unwrap();
    for member in members {
        assert!(object.remove(*member).is_some(), "no {member} in {object:?}");
    }
    value
}

/// Asserts that an object has these members.
fn must_hold(line: &str, whole: &Value, part: &Value) {
    for (name, value) in part.as_object().unwrap() {
        assert_eq!(whole.get(name), Some(value), "{line}: {name}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// `vouchsafe dev` on free ports, once it has printed this.
async fn dev(home: &Path, more: &str, until: &str) -> Process {
    let line = format!("dev --listen 127.0.0.1:0 --management-listen 127.0.0.1:0 {more}");
    let mut process = Process::start(home, &[], &words(&line), None);
    process.prints(until).await;
    process
}

#[tokio::test]
async fn dev_needs_nothing_and_a_second_start_finds_the_same() {
    let home = tempfile::tempdir().unwrap();
    let mut first = dev(home.path(), "-o json", "\n").await;
    let line = first.out.so_far();
    let printed: Value = serde_json::from_str(&line).unwrap();
    let mut members: Vec<&str> = printed.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(
        members,
        [
            "client_id",
            "client_secret",
            "issuer",
            "password",
            "resource",
            "scope",
            "username"
        ]
    );
    assert_eq!(
        (&printed["client_id"], &printed["username"]),
        (&json!("demo"), &json!("demo"))
    );
    let (secret, password) = (text(&printed, "client_secret"), text(&printed, "password"));
    let token = format!("{}/token", text(&printed, "issuer"));
    let answer = post(&token, "demo", &secret, &[("grant_type", "client_credentials")]).await;
    assert_eq!(answer.outcome(), "200");
    assert_eq!(answer.json["scope"], printed["scope"]);
    assert_eq!(answer.claims()["iss"], printed["issuer"]);
    assert_eq!(answer.claims()["aud"], printed["resource"]);

    let folder = home.path().join("vouchsafe-dev");
    assert_eq!(mode(&folder), 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    let kept = fs::read_to_string(folder.join("demo.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), printed);
    assert_eq!(
        fs::read_to_string(folder.join("master.key"))
            .unwrap()
            .trim()
            .len(),
        44
    );
    let list = "client list --data-dir vouchsafe-dev -o json";
    let listed = Process::run(home.path(), &[], list).await.value();
    assert_eq!(names(&listed, "client_id"), ["demo"]);

    first.terminate();
    let ran = first.ended().await;
    assert_eq!((ran.status, &ran.out), (Some(0), &line));
    for kept_back in [&secret, &password] {
        assert!(!ran.err.contains(kept_back.as_str()), "{}", ran.err);
    }

    let mut second = dev(home.path(), "", "Ctrl-C").await;
    let page = second.out.so_far();
    let curls: Vec<&str> = page
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("curl "))
        .collect();
    assert_eq!(curls.len(), 2, "{page}");
    for curl in &curls {
        assert!(curl.contains(&secret), "{curl}");
        assert_eq!(carry_out(curl).await.outcome(), "200", "{curl}");
    }
    assert!(page.contains(&password), "{page}");
    second.terminate();
    assert_eq!(second.ended().await.status, Some(0));
}

#[tokio::test]
async fn dev_serves_nobody_else_and_trusts_no_folder_that_others_can_change() {
    let home = tempfile::tempdir().unwrap();
    for (name, folder_mode) in [("open", 0o777), ("loose", 0o700), ("aim", 0o700)] {
        fs::create_dir(home.path().join(name)).unwrap();
        set_mode(&home.path().join(name), folder_mode);
    }
    fs::write(home.path().join("loose/master.key"), MASTER_KEY).unwrap();
    set_mode(&home.path().join("loose/master.key"), 0o644);
    symlink("aim", home.path().join("linked")).unwrap();
    for (listen, management_listen) in [
        ("0.0.0.0:0", "127.0.0.1:0"),
        ("127.0.0.1:0", "0.0.0.0:0"),
        ("127.0.0.1:0", "[::]:0"),
    ] {
        let line = format!("dev --listen {listen} --management-listen {management_listen} -o json");
        let ran = Process::run(home.path(), &[], &line).await;
        ran.must_be_refused(4, "on loopback only");
    }
    let everywhere = [("VOUCHSAFE_SERVER__LISTEN", "0.0.0.0:0")];
    let line = "dev --management-listen 127.0.0.1:0 -o json";
    let ran = Process::run(home.path(), &everywhere, line).await;
    ran.must_be_refused(4, "on loopback only");
    for (more, status, said) in [
        ("--data-dir open", 4, "open is open to others"),
        ("--data-dir loose", 4, "loose/master.key is open to others"),
        ("--data-dir linked", 4, "linked is open to others"),
        ("--config vouchsafe.toml", 2, "--config"),
        ("--password sesame", 2, "--password"),
    ] {
        let line = format!("dev --listen 127.0.0.1:0 --management-listen 127.0.0.1:0 {more} -o json");
        let ran = Process::run(home.path(), &[], &line).await;
        ran.must_be_refused(status, said);
    }
}

#[tokio::test]
async fn o02_f34_serve_refuses_a_configuration_before_it_listens() {
    let place = Place::new().await;
    // Whoever gets as far as listening stumbles over this.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!(
        "[server]\nlisten = \"{}\"\n\n[database]",
        taken.local_addr().unwrap()
    );
    let good = place.config().replace("[database]", &listen);
    let zeros = format!("master_key = \"{}\"", STANDARD.encode([0_u8; 32]));
    let counted: Vec<u8> = (0..32).collect();
    let counted = format!("master_key = \"{}\"", STANDARD.encode(counted));
    let letters = STANDARD.encode("0123456789abcdef0123456789abcdef");
    let letters = format!("master_key = \"{letters}\"");
    let key = "master_key_file = \"master.key\"";
    let cases: [(&str, &str, &str); 20] = [
        (key, "", "keys.master_key: required, but not set"),
        (
            key,
            "master_key = \"\"",
            "vouchsafe.toml:10: keys.master_key: is empty",
        ),
        (key, &zeros, "vouchsafe.toml:10: keys.master_key: is an example"),
        (key, &counted, "vouchsafe.toml:10: keys.master_key: is an example"),
        (key, &letters, "vouchsafe.toml:10: keys.master_key: is an example"),
        (
            key,
            "master_key = \"c2VzYW1lLXNlc2FtZQ==\"",
            "keys.master_key: want exactly 32 bytes",
        ),
        (
            key,
            "master_key = \"sesame, open yourself\"",
            "keys.master_key: want 32 random bytes",
        ),
        (key, "master_key = sesame-sesame", "vouchsafe.toml:10: "),
        (
            key,
            "master_key_file = \"nowhere.key\"",
            "cannot read nowhere.key",
        ),
        (
            ISSUER,
            "http://id.example",
            "vouchsafe.toml:1: issuer: want an https URL",
        ),
        (
            ISSUER,
            "https://id.example/",
            "vouchsafe.toml:1: issuer: want an https URL",
        ),
        (ISSUER, "", "vouchsafe.toml:1: issuer: is empty"),
        (
            "issuer =",
            "isuer =",
            "vouchsafe.toml:1: unknown key `isuer`; the nearest is `issuer`",
        ),
        (
            "algorithms",
            "algoritms",
            "vouchsafe.toml:11: unknown key `keys.algoritms`; the nearest is `keys.algorithms`",
        ),
        (
            "[passwords]",
            "[password]",
            "vouchsafe.toml:14: unknown key `password.memory_kib`; the nearest is `passwords.memory_kib`",
        ),
        (
            "[\"ES256\"]",
            "[\"none\"]",
            "vouchsafe.toml:11: keys.algorithms: want one or more of",
        ),
        (
            "[passwords]",
            "[tokens]\naccess_ttl = \"5 minutes\"\n[passwords]",
            "vouchsafe.toml:14: tokens.access_ttl: want whole seconds with a unit",
        ),
        (
            "[passwords]",
            "[tokens]\naccess_ttl = \"2h\"\n[passwords]",
            "vouchsafe.toml:14: tokens.access_ttl: must not be longer than tokens.max_access_ttl",
        ),
        (
            "iterations = 1",
            "iterations = \"1\"",
            "vouchsafe.toml:15: passwords.iterations: want a whole",
        ),
        ("[keys]", "[keys", "vouchsafe.toml:9: "),
    ];
    for (from, to, said) in cases {
        assert!(good.contains(from), "{from}");
        place.write("vouchsafe.toml", &good.replace(from, to));
        for line in ["serve", "config check"] {
            let ran = place.run(line).await;
            ran.must_be_refused(2, said);
            assert!(!ran.err.contains("sesame"), "{}", ran.err);
        }
    }
    place.write("vouchsafe.toml", &good);
    let typo = [("VOUCHSAFE_TOKNS__ACCESS_TTL", "5m")];
    let said = "VOUCHSAFE_TOKNS__ACCESS_TTL: unknown variable; the nearest is VOUCHSAFE_TOKENS__ACCESS_TTL";
    place
        .run_with("serve", &typo, None)
        .await
        .must_be_refused(2, said);
    let checked = place.run("config check").await.value();
    assert_eq!(checked, json!({ "ok": true, "issuer": ISSUER }));
    place
        .run("serve")
        .await
        .must_be_refused(1, "cannot listen on 127.0.0.1:");
}

#[tokio::test]
async fn a_database_file_is_made_by_migration_only() {
    let place = Place::bare();
    for line in ["db status", "client list", "serve"] {
        place
            .run(line)
            .await
            .must_be_refused(5, "there is no database at vouchsafe.db");
        assert!(!place.path("vouchsafe.db").exists(), "{line}");
    }
    place.run("db migrate").await.value();
    assert_eq!(mode(&place.path("vouchsafe.db")), 0o600);
    assert_eq!(place.run("client list").await.value(), json!([]));
}

#[tokio::test]
async fn the_schema_changes_by_migration_only() {
    let place = Place::empty().await;
    for line in ["client list", "serve"] {
        place
            .run(line)
            .await
            .must_be_refused(4, "run `vouchsafe db migrate`");
    }
    let told = |changes: &Value, member: &str| -> Vec<bool> {
        let changes = changes.as_array().unwrap();
        assert!(!changes.is_empty());
        changes
            .iter()
            .map(|change| change[member].as_bool().unwrap())
            .collect()
    };
    let all = |flags: Vec<bool>, are: bool| assert!(flags.iter().all(|flag| *flag == are), "{flags:?}");
    all(told(&place.run("db status").await.value(), "applied"), false);
    let migrated = place.run("db migrate").await.value();
    all(told(&migrated, "applied"), true);
    all(told(&migrated, "new"), true);
    all(told(&place.run("db migrate").await.value(), "new"), false);
    all(told(&place.run("db status").await.value(), "applied"), true);
    assert_eq!(place.run("client list").await.value(), json!([]));
}

#[tokio::test]
async fn o03_serve_ends_what_it_began_and_exits_in_order() {
    let (place, secret) = Place::furnished().await;
    let mut server = place.serve().await;
    let mut begun: Vec<TcpStream> = (0..8).map(|_| server.begin(&secret)).collect();
    let silent = TcpStream::connect(server.address).unwrap();
    server.process.terminate();
    soon("the listener to close", async || {
        TcpStream::connect(server.address).is_err().then_some(())
    })
    .await;
    assert!(server.process.is_running(), "requests are under way");
    for stream in &mut begun {
        stream.write_all(BODY).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("\"access_token\""), "{answer}");
    }
    let ran = server.process.ended().await;
    drop(silent);
    assert_eq!((ran.status, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
    let events: Vec<Value> = ran
        .err
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for event in ["ready", "stopping"] {
        assert!(
            events.iter().any(|line| line["event"] == event),
            "{event}: {}",
            ran.err
        );
    }
    assert!(!ran.err.contains(&secret));
    assert!(!ran.err.contains(MASTER_KEY));
}

#[tokio::test]
async fn clients_are_made_as_the_reference_says_and_a_secret_is_shown_once() {
    let place = Place::new().await;
    let resource = place.run("resource create https://api.example/ --scope items:read --scope items:write");
    must_hold(
        "resource",
        &resource.await.value(),
        &json!({ "uri": API, "scope": "items:read items:write" }),
    );
    let web = "client create --id web --auth client_secret_basic --grant authorization_code
        --grant refresh_token --redirect-uri https://app.example/cb --scope \"openid profile items:read\"
        --resource https://api.example/";
    let web = place.run(web).await.value();
    let first = text(&web, "client_secret");
    assert!(first.len() >= 43);
    let made_here = ["client_secret", "client_id_issued_at", "client_secrets"];
    let expected = json!({
        "client_id": "web",
        "client_secret_expires_at": 0,
        "token_endpoint_auth_method": "client_secret_basic",
        "application_type": "web",
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "items:read openid profile",
        "resources": [API],
        "redirect_uris": ["https://app.example/cb"],
        "post_logout_redirect_uris": [],
        "refresh_rotation": "always",
        "subject_type": "public",
        "pkce_optional": false,
        "skip_consent": false,
        "origin": "operator",
        "disabled": false,
    });
    assert_eq!(without(web.clone(), &made_here), expected);
    let native = "client create --id native --auth none --application-type native --grant authorization_code
        --grant refresh_token --grant urn:ietf:params:oauth:grant-type:device_code
        --redirect-uri http://127.0.0.1/callback --scope \"openid offline_access\"";
    let native = place.run(native).await.value();
    let expected = json!({
        "client_id": "native",
        "token_endpoint_auth_method": "none",
        "application_type": "native",
        "grant_types": [
            "authorization_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code"
        ],
        "scope": "offline_access openid",
        "resources": [],
        "redirect_uris": ["http://127.0.0.1/callback"],
        "post_logout_redirect_uris": [],
        "refresh_rotation": "always",
        "subject_type": "public",
        "pkce_optional": false,
        "skip_consent": false,
        "origin": "operator",
        "disabled": false,
    });
    assert_eq!(without(native, &["client_id_issued_at"]), expected);

    let shown = place.run("client show web").await.value();
    assert_eq!(
        shown,
        without(web, &["client_secret", "client_secret_expires_at"])
    );
    assert_eq!(place.names("client list", "client_id").await, ["native", "web"]);
    let update = "client update web --name \"A shop\" --access-ttl 2m --redirect-uri https://app.example/new";
    let updated = place.run(update).await.value();
    let changed = json!({
        "client_name": "A shop",
        "access_ttl": 120,
        "redirect_uris": ["https://app.example/new"],
        "scope": "items:read openid profile",
    });
    must_hold(update, &updated, &changed);
    let disabled = place.run("client update web --disabled").await.value();
    must_hold("disabled", &disabled, &json!({ "disabled": true }));
    let enabled = place.run("client update web --enabled").await.value();
    assert_eq!(enabled, updated);
    assert_eq!(place.said(&first), 1);
    let made_up = place
        .run("client create --grant client_credentials")
        .await
        .value();
    assert!(text(&made_up, "client_id").starts_with("client-"));
}

#[tokio::test]
async fn c10_secrets_of_clients_come_and_go_without_being_shown_again() {
    let place = Place::new().await;
    let created = place.run("client create --id web").await.value();
    let first = text(&created, "client_secret");
    let reports = "client create --id reports --grant client_credentials --secret-file reports.secret";
    let reports = place.run(reports).await.value();
    assert_eq!(reports.get("client_secret"), None);
    let file = place.path("reports.secret");
    assert_eq!(mode(&file), 0o600);
    let in_file = fs::read_to_string(&file).unwrap();
    let import = "client create --id imported --import-secret-file -";
    let imported = place.feed(import, &format!("{IMPORTED_SECRET}\n")).await.value();
    assert_eq!(imported.get("client_secret"), None);

    let over = "client create --id over --secret-file reports.secret";
    place.run(over).await.must_be_refused(4, "is there already");
    place
        .run("client show over")
        .await
        .must_be_refused(3, "there is no client over");
    assert_eq!(fs::read_to_string(&file).unwrap(), in_file);
    let wrong = "client create --id wrong --redirect-uri http://id.example/ --secret-file wrong.secret";
    place.run(wrong).await.must_be_refused(2, "loopback");
    assert!(!place.path("wrong.secret").exists());

    let server = place.serve().await;
    for (id, secret) in [
        ("web", first.as_str()),
        ("reports", in_file.as_str()),
        ("imported", IMPORTED_SECRET),
    ] {
        assert!(server.takes(id, secret).await, "{id}");
    }
    let second = text(
        &place.run("client rotate-secret web").await.value(),
        "client_secret",
    );
    noticed("the second secret", async || server.takes("web", &second).await).await;
    assert!(server.takes("web", &first).await);
    let only = "client rotate-secret web --only --secret-file web.secret";
    assert_eq!(place.run(only).await.value().get("client_secret"), None);
    let third = fs::read_to_string(place.path("web.secret")).unwrap();
    noticed("the end of the others", async || {
        !server.takes("web", &second).await
    })
    .await;
    assert!(!server.takes("web", &first).await);
    assert!(server.takes("web", &third).await);

    place.run("client show web").await.value();
    place.run("client list").await.value();
    assert_eq!(place.said(IMPORTED_SECRET), 0);
    for (secret, times) in [(&first, 1), (&second, 1), (&third, 0), (&in_file, 0)] {
        assert_eq!(place.said(secret), times, "{secret}");
    }
}

#[tokio::test]
async fn resources_roles_and_users_are_made_shown_and_changed() {
    let place = Place::new().await;
    let cases: [(&str, Option<&str>, Value); 15] = [
        (
            "resource create https://api.example/ --scope items:read --scope items:write --closed
                --access-ttl 60s",
            None,
            json!({
                "uri": API, "scope": "items:read items:write", "by_role": false, "closed": true,
                "access_ttl": 60,
            }),
        ),
        ("client create --id server", None, json!({"client_id": "server"})),
        (
            "resource create https://docs.example/ --by-role --server server
                --access-token-signing-alg ES256",
            None,
            json!({
                "uri": "https://docs.example/", "scope": "", "by_role": true, "closed": false,
                "server": "server", "access_token_signed_response_alg": "ES256",
            }),
        ),
        (
            "role create viewer --permission items:read",
            None,
            json!({"name": "viewer", "permissions": ["items:read"], "includes": []}),
        ),
        (
            "role create editor --permission items:write --include viewer",
            None,
            json!({"name": "editor", "permissions": ["items:write"], "includes": ["viewer"]}),
        ),
        (
            "user create alice --email alice@example.org --role editor --password-file -",
            Some(ALICE_PASSWORD),
            json!({
                "username": "alice", "email": "alice@example.org", "roles": ["editor"], "locked": false,
                "has_password": true,
            }),
        ),
        (
            "user create bob",
            None,
            json!({"username": "bob", "email": null, "roles": [], "locked": false, "has_password": false}),
        ),
        (
            "user show ALICE",
            None,
            json!({"username": "alice", "roles": ["editor"]}),
        ),
        (
            "user lock alice",
            None,
            json!({"username": "alice", "locked": true}),
        ),
        ("user show alice", None, json!({"locked": true})),
        (
            "user unlock alice",
            None,
            json!({"username": "alice", "locked": false}),
        ),
        (
            "user set-roles alice --role viewer",
            None,
            json!({"username": "alice", "roles": ["viewer"]}),
        ),
        (
            "user set-roles alice",
            None,
            json!({"username": "alice", "roles": []}),
        ),
        (
            "user set-password bob --password-file -",
            Some("correct horse of bob\n"),
            json!({"username": "bob", "has_password": true}),
        ),
        ("user show bob", None, json!({"has_password": true})),
    ];
    for (line, input, expected) in cases {
        must_hold(line, &place.run_with(line, &[], input).await.value(), &expected);
    }
    let subject = text(&place.run("user show alice").await.value(), "sub");
    let by_subject = place.run(&format!("user show {subject}")).await.value();
    assert_eq!(text(&by_subject, "username"), "alice");
    for (line, member, expected) in [
        ("resource list", "uri", [API, "https://docs.example/"]),
        ("role list", "name", ["editor", "viewer"]),
        ("user list", "username", ["alice", "bob"]),
    ] {
        assert_eq!(place.names(line, member).await, expected, "{line}");
    }
    assert_eq!(place.said(ALICE_PASSWORD), 0);
}

#[tokio::test]
async fn what_destroys_asks_first_and_can_be_tried_dry() {
    let place = Place::new().await;
    for line in [
        "client create --id doomed",
        "resource create https://doomed.example/",
        "role create doomed",
        "user create doomed",
    ] {
        place.run(line).await.value();
    }
    for (line, list, member, name) in [
        ("client delete doomed", "client list", "client_id", "doomed"),
        (
            "resource delete https://doomed.example/",
            "resource list",
            "uri",
            "https://doomed.example/",
        ),
        ("role delete doomed", "role list", "name", "doomed"),
        ("user delete doomed", "user list", "username", "doomed"),
    ] {
        place
            .run(line)
            .await
            .must_be_refused(4, "say --yes if that is meant");
        let dry = place.run(&format!("{line} --dry-run")).await.value();
        assert_eq!(dry["dry_run"], true, "{line}");
        assert!(text(&dry, "would").contains(name), "{line}: {dry}");
        assert_eq!(place.names(list, member).await, [name], "{line}");
        let line = format!("{line} --yes");
        let done = place.run(&line).await.value();
        assert_eq!(
            (&done["deleted"], &done[member]),
            (&json!(true), &json!(name)),
            "{line}"
        );
        assert_eq!(place.run(list).await.value(), json!([]), "{line}");
        place.run(&line).await.must_be_refused(3, "there is no ");
    }
    place.run("role create viewer").await.value();
    place.run("role create editor --include viewer").await.value();
    place
        .run("role delete viewer --yes")
        .await
        .must_be_refused(4, "editor");
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let (place, secret) = Place::furnished().await;
    let server = place.serve().await;
    let mut sids = Vec::new();
    for _ in 0..3 {
        let answer = server.sign_in(&secret).await;
        assert_eq!(answer.outcome(), "200");
        sids.push(text(&answer.refresh_claims(), "sid"));
    }
    sids.sort_unstable();
    for line in [
        "session list",
        "session list --user alice",
        "session list --client app --all",
    ] {
        let listed = place.run(line).await.value();
        let mut found = names(&listed, "sid");
        found.sort_unstable();
        assert_eq!(found, sids, "{line}");
        let expected = json!({"client_id": "app", "username": "alice", "state": "active"});
        must_hold(line, &listed[0], &expected);
    }
    let revoke = format!("session revoke {}", sids[0]);
    place
        .run(&revoke)
        .await
        .must_be_refused(4, "say --yes if that is meant");
    place.run(&format!("{revoke} --dry-run")).await.value();
    assert_eq!(place.names("session list", "sid").await.len(), 3);
    let revoke = format!("{revoke} --yes");
    let revoked = place.run(&revoke).await.value();
    assert_eq!(revoked, json!({"revoked": 1, "sid": sids[0]}));
    place
        .run(&revoke)
        .await
        .must_be_refused(3, "there is no live session");
    assert_eq!(place.names("session list", "sid").await.len(), 2);
    let all = place.run("session list --all").await.value();
    let ended = all
        .as_array()
        .unwrap()
        .iter()
        .find(|session| session["sid"] == *sids[0]);
    must_hold(
        "ended",
        ended.unwrap(),
        &json!({"state": "revoked", "revoke_reason": "operator"}),
    );
    place
        .run("session revoke --client app")
        .await
        .must_be_refused(4, "2 live sessions of client app");
    let revoked = place.run("session revoke --client app --yes").await.value();
    assert_eq!(revoked, json!({"revoked": 2}));
    assert_eq!(server.sign_in(&secret).await.outcome(), "200");
    let revoked = place.run("session revoke --user alice --yes").await.value();
    assert_eq!(revoked, json!({"revoked": 1}));
    assert_eq!(place.run("session list").await.value(), json!([]));
}

#[tokio::test]
async fn tokens_are_read_from_a_file_or_standard_input_and_not_printed() {
    let (place, secret) = Place::furnished().await;
    let server = place.serve().await;
    let answer = server.sign_in(&secret).await;
    let (access, refresh) = (answer.str("access_token"), answer.str("refresh_token"));
    place.write("access", &format!("{access}\n"));
    place.write("refresh", refresh);
    let other = server.credentials("app", &secret).await;
    place.write("other", other.str("access_token"));
    let live = |kind: &str| json!({"active": true, "kind": kind, "state": "live"});
    for (line, input, kind, claims) in [
        ("token inspect access", None, "access_token", answer.claims()),
        ("token inspect", Some(access), "access_token", answer.claims()),
        (
            "token inspect refresh",
            None,
            "refresh_token",
            answer.refresh_claims(),
        ),
        (
            "token inspect -",
            Some(refresh),
            "refresh_token",
            answer.refresh_claims(),
        ),
    ] {
        let report = place.run_with(line, &[], input).await.value();
        must_hold(line, &report, &live(kind));
        assert_eq!(report["claims"], claims, "{line}");
    }
    let unknown = place.feed("token inspect", "no token at all").await.value();
    must_hold(
        "unknown",
        &unknown,
        &json!({"active": false, "kind": "unknown", "claims": null}),
    );
    place
        .feed("token revoke --yes", "no token at all")
        .await
        .must_be_refused(3, "no token of this issuer");

    for (line, input, kind) in [
        ("token revoke other", None, "access_token"),
        ("token revoke", Some(refresh), "refresh_token"),
    ] {
        let asked = place.run_with(line, &[], input).await;
        asked.must_be_refused(4, "say --yes if that is meant");
        let dry = place
            .run_with(&format!("{line} --dry-run"), &[], input)
            .await
            .value();
        assert_eq!(dry["dry_run"], true, "{line}");
        let line = format!("{line} --yes");
        let revoked = place.run_with(&line, &[], input).await.value();
        assert_eq!(revoked, json!({"revoked": true, "kind": kind}), "{line}");
        place
            .run_with(&line, &[], input)
            .await
            .must_be_refused(3, "there is no live ");
    }
    for token in [other.str("access_token"), refresh, access] {
        noticed("a revocation", async || !server.is_active(&secret, token).await).await;
        assert_eq!(place.said(token), 0);
    }
    let report = place.run("token inspect access").await.value();
    must_hold(
        "revoked",
        &report,
        &json!({"active": false, "kind": "access_token", "state": "revoked"}),
    );
}

#[tokio::test]
async fn keys_rotate_when_every_cache_knows_the_next_one() {
    let place = Place::new().await;
    let keys = place.run("keys list").await.value();
    let find = |keys: &Value, purpose: &str, state: &str| -> Value {
        let mut all = keys.as_array().unwrap().iter();
        let found = all.find(|key| key["purpose"] == purpose && key["state"] == state);
        found
            .unwrap_or_else(|| panic!("no {state} {purpose} in {keys}"))
            .clone()
    };
    let (active, next) = (find(&keys, "signing", "active"), find(&keys, "signing", "next"));
    let published = next["published_at"].as_i64().unwrap();
    let mut members: Vec<&str> = next.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(
        members,
        [
            "alg",
            "kid",
            "next_step",
            "next_step_at",
            "published_at",
            "purpose",
            "state"
        ]
    );
    assert_eq!(
        (&active["next_step"], &next["next_step"]),
        (&json!("verify_only"), &json!("active"))
    );
    for purpose in ["refresh_mac", "secret_hash"] {
        assert_eq!(find(&keys, purpose, "active")["alg"], "HS256");
    }
    for (line, said) in [
        ("keys rotate --now", "say --yes if that is meant"),
        ("keys rotate --now --force", "say --yes if that is meant"),
        ("keys rotate --now --yes", "--force"),
        ("keys rotate --now --yes --algorithm ES256", "--force"),
        ("keys rotate --now --dry-run", "--force"),
    ] {
        place.run(line).await.must_be_refused(4, said);
        assert_eq!(place.run("keys list").await.value(), keys, "{line}");
    }
    for line in ["keys rotate --dry-run", "keys rotate --now --force --dry-run"] {
        assert_eq!(place.run(line).await.value()["dry_run"], true, "{line}");
        assert_eq!(place.run("keys list").await.value(), keys, "{line}");
    }
    let planned = find(&place.run("keys rotate").await.value(), "signing", "next");
    assert_eq!(planned["next_step_at"], published + 24 * 3600);
    assert_eq!(planned["kid"], next["kid"]);
    let macs = place.run("keys rotate --purpose refresh_mac").await.value();
    assert_eq!(find(&macs, "refresh_mac", "next")["alg"], "HS256");
    place
        .run("keys rotate --purpose refresh_mac --algorithm ES256")
        .await
        .must_be_refused(2, "refresh_mac");

    let revoke = format!("keys revoke {}", text(&active, "kid"));
    place
        .run(&revoke)
        .await
        .must_be_refused(4, "say --yes if that is meant");
    let dry = place.run(&format!("{revoke} --dry-run")).await.value();
    assert!(text(&dry, "would").contains(&text(&active, "kid")), "{dry}");
    assert_eq!(
        find(&place.run("keys list").await.value(), "signing", "active")["kid"],
        active["kid"]
    );
    let revoke = format!("{revoke} --yes");
    let revoked = place.run(&revoke).await.value();
    assert_eq!(
        (&revoked["kid"], &revoked["state"]),
        (&active["kid"], &json!("compromised"))
    );
    let keys = place.run("keys list").await.value();
    assert_eq!(find(&keys, "signing", "compromised")["kid"], active["kid"]);
    assert_eq!(find(&keys, "signing", "active")["kid"], next["kid"]);
    place.run(&revoke).await.must_be_refused(4, "revoked already");
    place
        .run("keys revoke nobody --yes")
        .await
        .must_be_refused(3, "there is no key nobody");

    let forced = place.run("keys rotate --now --force --yes").await.value();
    let at = find(&forced, "signing", "next")["next_step_at"].as_i64().unwrap();
    assert!((published + 5..published + 60).contains(&at), "{forced}");
    assert_eq!(find(&forced, "signing", "active")["next_step_at"], at);
}

#[tokio::test]
async fn a_rewrap_hands_every_key_to_another_master_key() {
    let place = Place::new().await;
    let keys = place.run("keys list").await.value();
    let rewrap = "keys rewrap --new-master-key-file -";
    place
        .feed(rewrap, "no key")
        .await
        .must_be_refused(2, "standard input");
    assert_eq!(place.run("keys list").await.value(), keys);
    let told = place.feed(rewrap, &format!("{OTHER_MASTER_KEY}\n")).await.value();
    assert_eq!(told["keys"], keys.as_array().unwrap().len());
    place
        .run("keys list")
        .await
        .must_be_refused(1, "sealed under master key");
    let local = [
        ("VOUCHSAFE_SERVER__LISTEN", "127.0.0.1:0"),
        ("VOUCHSAFE_SERVER__MANAGEMENT_LISTEN", "127.0.0.1:0"),
    ];
    let served = place.run_with("serve", &local, None).await;
    assert_eq!(served.status, Some(1), "{served:?}");
    let other = [("VOUCHSAFE_KEYS__MASTER_KEY", OTHER_MASTER_KEY)];
    assert_eq!(place.run_with("keys list", &other, None).await.value(), keys);
    for key in [MASTER_KEY, OTHER_MASTER_KEY] {
        assert_eq!(place.said(key), 0);
    }
}

const STATE: &str = r#"[[resource]]
uri = "https://api.example/"
scope = "items:read"
server = "api"
[[role]]
name = "editor"
includes = ["viewer"]
[[role]]
name = "viewer"
permissions = "items:read"
[[client]]
client_id = "api"
grant_types = ["client_credentials"]
scope = "items:read"
resources = ["https://api.example/"]
"#;

/// The steps of an answer, each in one line.
fn steps(answer: &Value) -> Vec<String> {
    let steps = answer.as_array().unwrap().iter();
    let line = |step| {
        ["action", "kind", "name"]
            .map(|member| text(step, member))
            .join(" ")
    };
    steps.map(line).collect()
}

#[tokio::test]
async fn apply_makes_things_be_what_a_file_says() {
    let place = Place::new().await;
    place.write("state.toml", STATE);
    let all = |action: &str| {
        [
            "role viewer",
            "role editor",
            "resource https://api.example/",
            "client api",
        ]
        .map(|thing| format!("{action} {thing}"))
    };
    let dry = place.run("apply -f state.toml --dry-run").await.value();
    assert_eq!(steps(&dry), all("created"));
    for list in ["client list", "resource list", "role list"] {
        assert_eq!(place.run(list).await.value(), json!([]), "{list}");
    }
    let applied = place.run("apply -f state.toml").await.value();
    assert_eq!(steps(&applied), all("created"));
    let secret = text(&applied[3], "client_secret");
    let again = place.feed("apply -f -", STATE).await.value();
    assert_eq!(steps(&again), all("unchanged"));
    assert_eq!(
        text(&place.run("resource list").await.value()[0], "server"),
        "api"
    );
    let more = STATE.replace(
        "permissions = \"items:read\"",
        "permissions = \"items:read items:write\"",
    );
    let updated = place.feed("apply -f -", &more).await.value();
    assert_eq!(
        steps(&updated)[..2],
        ["updated role viewer", "unchanged role editor"]
    );
    assert_eq!(place.said(&secret), 1);

    for line in [
        "apply -f state.toml --prune",
        "client create --id stray",
        "resource create https://stray.example/",
        "role create stray",
    ] {
        place.run(line).await.value();
    }
    let doomed = ["client stray", "resource https://stray.example/", "role stray"];
    let prune = "apply -f state.toml --prune";
    place
        .run(prune)
        .await
        .must_be_refused(4, &format!("delete {}", doomed.join(", ")));
    let deleted = doomed.map(|thing| format!("deleted {thing}"));
    let dry = place.run(&format!("{prune} --dry-run")).await.value();
    assert_eq!(steps(&dry)[4..], deleted);
    assert_eq!(place.names("client list", "client_id").await, ["api", "stray"]);
    let pruned = place.run(&format!("{prune} --yes")).await.value();
    assert_eq!(steps(&pruned)[4..], deleted);
    assert_eq!(place.names("client list", "client_id").await, ["api"]);
    assert_eq!(place.names("resource list", "uri").await, [API]);
    assert_eq!(place.names("role list", "name").await, ["editor", "viewer"]);
}

/// A client that can be made, and one that cannot.
const HALF_GOOD: &str = r#"[[client]]
client_id = "good"
[[client]]
client_id = "bad"
redirect_uris = ["http://id.example/"]
"#;

#[tokio::test]
async fn apply_says_what_is_wrong_and_loses_no_secret_over_it() {
    let place = Place::new().await;
    for (file, said) in [
        (
            "[[client]]\nclient_id = \"a\"\nsecret = \"b\"\n",
            "standard input:3: unknown field `secret`",
        ),
        ("[[client]]\n\nclient_id = \"usr_a\"\n", "standard input:3: "),
        ("\n[[role]\n", "standard input:2: "),
        ("[[role]]\nname = \"a\"\nincludes = [\"a\"]\n", "circle"),
        ("[[role]]\nname = \"a\"\n[[role]]\nname = \"a\"\n", "role a twice"),
    ] {
        let ran = place.feed("apply -f -", file).await;
        assert_eq!(ran.status, Some(2), "{ran:?}");
        assert!(ran.err.contains(said), "{ran:?}");
    }
    place
        .run("apply -f nowhere.toml")
        .await
        .must_be_refused(1, "cannot read nowhere.toml");
    let ran = place.feed("apply -f -", HALF_GOOD).await;
    assert_eq!(ran.status, Some(2), "{ran:?}");
    assert!(ran.err.contains("http is for loopback hosts only"), "{ran:?}");
    assert_eq!(steps(&ran.json()), ["created client good"]);
    let secret = text(&ran.json()[0], "client_secret");
    assert_eq!(place.names("client list", "client_id").await, ["good"]);
    assert!(place.serve().await.takes("good", &secret).await);
}

#[tokio::test]
async fn a_dry_apply_refuses_what_the_real_one_would() {
    let place = Place::new().await;
    let ran = place.feed("apply -f - --dry-run", HALF_GOOD).await;
    assert_eq!(ran.status, Some(2), "{ran:?}");
    assert!(ran.err.contains("http is for loopback hosts only"), "{ran:?}");
    assert_eq!(place.run("client list").await.value(), json!([]));
}

/// Exit status, command and a part of what it says; `web` is a public client, `alice` a user, and whoever
/// reads gets the word `short`.
const REFUSED: &str = r#"1 | token inspect nowhere | cannot read nowhere
1 | keys rewrap --new-master-key-file nowhere | cannot read nowhere
1 | client create --secret-file no/where | cannot make no/where
2 | client make | 'make'
2 | client create --grant implicit | 'implicit'
2 | client create --access-ttl 300 | whole seconds with a unit
2 | client create --scope "a\b" | --scope
2 | client create --id usr_x | --id
2 | client create --auth none --grant client_credentials | RFC 6749 4.4
2 | client create --import-secret-file - | 32 to 512
2 | client update web --auth client_secret_basic | public to confidential
2 | user create bob --password-file - | 8 to 1,024 bytes
2 | user create bob --email nowhere | mail address
2 | completions tcsh | 'tcsh'
2 | db migrate --output yaml | 'yaml'
3 | client show nobody | there is no client nobody
3 | client update nobody --disabled | there is no client nobody
3 | client rotate-secret nobody | there is no client nobody
3 | client create --resource https://no.example/ | there is no resource https://no.example/
3 | resource create https://a.example/ --server nobody | there is no client nobody
3 | role create a --include nobody | there is no role nobody
3 | user show nobody | there is no user nobody
3 | user set-roles nobody | there is no user nobody
3 | session list --user nobody | there is no user nobody
3 | session revoke --client nobody --yes | there is no client nobody
4 | client create --id web | this client exists already
4 | client rotate-secret web | a public client has no secret
4 | user create ALICE | exists already
4 | user set-roles alice --role nobody | does not exist
5 | client list --data-dir nowhere | there is no instance in nowhere"#;

#[tokio::test]
async fn every_exit_status_means_what_the_help_says() {
    let place = Place::new().await;
    place.run("client create --id web --auth none").await.value();
    place.run("user create alice").await.value();
    for row in REFUSED.lines() {
        let cells: Vec<&str> = row.split(" | ").collect();
        let ran = place.feed(cells[1], "short").await;
        ran.must_be_refused(cells[0].parse().unwrap(), cells[2]);
    }
    assert_eq!(place.names("client list", "client_id").await, ["web"]);
    assert_eq!(place.names("user list", "username").await, ["alice"]);
    for line in ["--help", "--version", "client create --help"] {
        let ran = place.run_as_it_is(line).await;
        assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""), "{line}");
        assert!(!ran.out.is_empty(), "{line}");
    }
}

#[tokio::test]
async fn an_error_in_json_names_what_was_left_out() {
    let place = Place::new().await;
    for (line, said) in [
        ("client show", "<ID>"),
        ("user set-password alice", "--password-file"),
        ("keys rotate --force", "--now"),
        ("session revoke", "--user"),
    ] {
        place.run(line).await.must_be_refused(2, said);
    }
}

#[tokio::test]
async fn people_get_text_when_they_ask_for_it() {
    let place = Place::new().await;
    place.run("client create --id web").await.value();
    // Standard output is no terminal here.
    let list = place.run_as_it_is("client list --config vouchsafe.toml").await;
    assert_eq!(names(&list.value(), "client_id"), ["web"]);
    let table = place
        .run_as_it_is("client list -o table --config vouchsafe.toml")
        .await;
    let rows: Vec<&str> = table
        .out
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(rows, ["CLIENT", "web"], "{}", table.out);
    let failed = place
        .run_as_it_is("client show nobody --config vouchsafe.toml")
        .await;
    assert_eq!(
        (failed.status, failed.err.as_str()),
        (Some(3), "error: there is no client nobody\n")
    );
    let created = place
        .run_as_it_is("client create --id other -o table --config vouchsafe.toml")
        .await;
    assert_eq!(created.status, Some(0));
    assert!(created.out.contains("client_secret  "), "{}", created.out);
    assert_eq!(created.err, "the secret is not shown again\n");
}

#[tokio::test]
async fn no_secret_is_taken_as_an_argument() {
    let place = Place::new().await;
    for line in [
        "client create --secret sesame-sesame",
        "client create --client-secret sesame-sesame",
        "client rotate-secret web --secret sesame-sesame",
        "user create bob --password sesame-sesame",
        "user create bob sesame-sesame",
        "user set-password bob sesame-sesame",
        "user set-password bob --password sesame-sesame",
        "token revoke --token sesame-sesame --yes",
        "keys rewrap --new-master-key sesame-sesame",
        "serve --master-key sesame-sesame",
        "dev --password sesame-sesame",
    ] {
        assert_eq!(place.run(line).await.refusal().0, 2, "{line}");
    }
    assert_eq!(place.run("client list").await.value(), json!([]));
    assert_eq!(place.run("user list").await.value(), json!([]));
}

#[tokio::test]
async fn completions_are_printed_for_every_shell() {
    let place = Place::bare();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = place.run(&format!("completions {shell}")).await;
        assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""), "{shell}");
        for word in ["rotate-secret", "password-file", "rewrap"] {
            assert!(ran.out.contains(word), "{shell}: {word}");
        }
    }
}

#[tokio::test]
async fn the_configuration_is_begun_and_shown_with_its_origins() {
    let place = Place::bare();
    let environment = [("VOUCHSAFE_TOKENS__ACCESS_TTL", "7m")];
    let shown = place.run_with("config show", &environment, None).await;
    let rows = shown.value();
    let row = |key: &str| {
        let row = rows
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["key"] == key)
            .unwrap();
        (row["value"].clone(), text(row, "origin"))
    };
    for (key, value, origin) in [
        (
            "keys.master_key",
            json!("[redacted]"),
            "vouchsafe.toml:7, from master.key",
        ),
        ("database.url", json!("[redacted]"), "vouchsafe.toml:4"),
        ("passwords.memory_kib", json!("64"), "vouchsafe.toml:11"),
        ("keys.rotate_every", json!("\"30d\""), "default"),
        (
            "tokens.access_ttl",
            json!("\"7m\""),
            "environment VOUCHSAFE_TOKENS__ACCESS_TTL",
        ),
        ("state.dir", Value::Null, "not set"),
    ] {
        assert_eq!(row(key), (value, origin.to_owned()), "{key}");
    }
    assert_eq!(place.said(MASTER_KEY), 0);

    let init = place.run("config init").await;
    assert_eq!((init.status, init.err.as_str()), (Some(0), ""));
    place.write("begun.toml", &init.out);
    let check = "config check --config begun.toml";
    let checked = place.run_as_it_is(check).await;
    let wrong: Vec<&str> = checked
        .err
        .lines()
        .filter_map(|line| line.split(": ").nth(1))
        .collect();
    // All it lacks is what nobody but its owner knows.
    assert_eq!(
        wrong,
        ["issuer", "database.url", "keys.master_key"],
        "{}",
        checked.err
    );
    let begun = init.out.replace("#issuer = ", "issuer = ");
    let begun = begun.replace("#url_file = ", "url = \"sqlite:vouchsafe.db\" # ");
    place.write(
        "begun.toml",
        &begun.replace("#master_key_file = ", "master_key_file = \"master.key\" # "),
    );
    let checked = place.run_as_it_is(check).await;
    assert_eq!(checked.value()["ok"], true);
}

/// Asserts which checks of the doctor fail, and a part of the advice that it gives on each.
fn must_find(ran: &Ran, failing: &[(&str, &str)]) {
    let findings = ran.json();
    let findings = findings.as_array().unwrap();
    let failed: Vec<(String, String)> = findings
        .iter()
        .filter(|finding| finding["status"] == "fail")
        .map(|finding| (text(finding, "check"), text(finding, "advice")))
        .collect();
    assert_eq!(ran.status, Some(i32::from(!failing.is_empty())), "{ran:?}");
    assert_eq!(failed.len(), failing.len(), "{ran:?}");
    for ((check, advice), (wanted, said)) in failed.iter().zip(failing) {
        assert_eq!(check, wanted);
        assert!(advice.contains(*said), "{advice}");
    }
}

#[tokio::test]
async fn the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let place = Place::empty().await;
    must_find(&place.run("doctor").await, &[("schema", "db migrate")]);
    place.run("db migrate").await.value();
    must_find(&place.run("doctor").await, &[]);
    let other = [("VOUCHSAFE_KEYS__MASTER_KEY", OTHER_MASTER_KEY)];
    must_find(
        &place.run_with("doctor", &other, None).await,
        &[("keys", "master key")],
    );
    let typo = [("VOUCHSAFE_ISUER", ISSUER)];
    must_find(
        &place.run_with("doctor", &typo, None).await,
        &[("configuration", "mend it")],
    );
}

#[tokio::test]
async fn the_doctor_looks_at_who_may_reach_the_files() {
    let place = Place::bare();
    must_find(&place.run("doctor").await, &[("database", "db migrate")]);
    place.run("db migrate").await.value();
    must_find(&place.run("doctor").await, &[]);
    set_mode(&place.path("master.key"), 0o644);
    set_mode(&place.path("vouchsafe.db"), 0o666);
    let open = [("master key file", "chmod 600"), ("database file", "chmod 600")];
    must_find(&place.run("doctor").await, &open);
    for (name, fine) in [("master.key", 0o400), ("vouchsafe.db", 0o600)] {
        set_mode(&place.path(name), fine);
    }
    must_find(&place.run("doctor").await, &[]);
}

#[tokio::test]
async fn a_running_server_notices_what_the_command_line_did() {
    let (place, secret) = Place::furnished().await;
    let server = place.serve().await;
    let create = "client create --id fresh --grant client_credentials --scope items:read
        --resource https://api.example/";
    let fresh = text(&place.run(create).await.value(), "client_secret");
    let answer = server.credentials("fresh", &fresh).await;
    assert_eq!(answer.outcome(), "200", "{}", answer.text);
    assert_eq!(
        (&answer.claims()["aud"], &answer.json["scope"]),
        (&json!(API), &json!("items:read"))
    );
    // Also a client that the server knows to be nobody.
    assert!(!server.takes("late", IMPORTED_SECRET).await);
    let late = place.feed("client create --id late --import-secret-file -", IMPORTED_SECRET);
    late.await.value();
    noticed("a client", async || server.takes("late", IMPORTED_SECRET).await).await;

    let signed_in = server.sign_in(&secret).await;
    let (access, refresh) = (signed_in.str("access_token"), signed_in.str("refresh_token"));
    for token in [access, refresh] {
        assert!(server.is_active(&secret, token).await);
    }
    let sid = text(&signed_in.refresh_claims(), "sid");
    place.run(&format!("session revoke {sid} --yes")).await.value();
    for token in [access, refresh] {
        noticed("the end of a session", async || {
            !server.is_active(&secret, token).await
        })
        .await;
    }
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let refreshed = server.post("/token", "app", &secret, &form).await;
    assert_eq!(refreshed.outcome(), "400 invalid_grant revoked");

    place.run("user lock alice").await.value();
    noticed("a lock", async || server.sign_in(&secret).await.status == 400).await;
    place.run("user unlock alice").await.value();
    noticed("an unlock", async || server.sign_in(&secret).await.status == 200).await;
    place.run("client update fresh --disabled").await.value();
    noticed("a disabled client", async || !server.takes("fresh", &fresh).await).await;
    place.run("client delete late --yes").await.value();
    noticed("a deleted client", async || {
        !server.takes("late", IMPORTED_SECRET).await
    })
    .await;
}

#[tokio::test]
async fn a_client_of_a_new_resource_gets_tokens_for_that_resource_or_none() {
    let (place, _) = Place::furnished().await;
    let server = place.serve().await;
    for number in 0..4 {
        let (id, uri) = (format!("new-{number}"), format!("https://new-{number}.example/"));
        place
            .run(&format!("resource create {uri} --scope {id}:read"))
            .await
            .value();
        let create =
            format!("client create --id {id} --grant client_credentials --scope {id}:read --resource {uri}");
        let secret = text(&place.run(&create).await.value(), "client_secret");
        noticed("a resource", async || {
            let answer = server.credentials(&id, &secret).await;
            if answer.status == 200 {
                assert_eq!(answer.claims()["aud"], uri.as_str(), "{}", answer.text);
            }
            answer.status == 200
        })
        .await;
    }
}

#[tokio::test]
async fn the_audit_names_who_was_at_the_command_line() {
    let place = Place::new().await;
    place.run("role create viewer").await.value();
    let database = Database::open(&place.database_url(), false).await.unwrap();
    let store = Store::new(database, real_machine().clock);
    let rows = store.audit_tail(10).await.unwrap();
    store.close().await;
    let row = rows.iter().find(|row| row.event == "role_created").unwrap();
    let (user, host) = row.actor.as_deref().unwrap().split_once('@').unwrap();
    assert_eq!((row.actor_kind.as_str(), user), ("operator", OPERATOR));
    assert!(!host.is_empty());
}
