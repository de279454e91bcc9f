//! `vouchsafe dev`: a whole issuer in one folder, with a demo client and a demo user, on loopback only.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vouchsafe_issuer::{
    Actor, AdminError, ApplicationType, ClientDraft, Issuer, MasterKey, Resource, UserDraft,
};
use vouchsafe_protocol::{
    ClientAuthMethod, ClientId, GrantType, ResourceUri, ScopeSet, SecretString, random_token,
};
use vouchsafe_store::Database;

use crate::app::{App, StartError};
use crate::config::{Config, Sources};
use crate::machine::real_machine;
use crate::serve::{Listeners, until_told};
use crate::state::OnRollback;

const DEMO: &str = "demo";
const RESOURCE: &str = "https://api.demo.example/";
const SCOPE: &str = "demo:read demo:write";
const CLIENT_SCOPE: &str = "openid profile email offline_access demo:read demo:write";
/// On any port.
const REDIRECT_URIS: [&str; 2] = ["http://127.0.0.1/callback", "http://localhost/callback"];
const DEFAULT_ISSUER: &str = "http://127.0.0.1:8080";

/// What the command line says.
#[derive(Clone, Debug)]
pub struct DevOptions {
    /// The folder that holds everything.
    pub data_dir: PathBuf,
    /// The public listener.
    pub listen: Option<SocketAddr>,
    /// The management listener.
    pub management_listen: Option<SocketAddr>,
    /// One line of JSON instead of a page for people.
    pub json: bool,
    /// The environment of the process.
    pub environment: Vec<(String, String)>,
    /// What becomes of a database that lost what the folder knows of it.
    pub on_rollback: OnRollback,
}

/// The demo credentials, random per folder.
#[derive(Serialize, Deserialize)]
struct Demo {
    issuer: String,
    client_id: String,
    client_secret: String,
    username: String,
    password: String,
    scope: String,
    resource: String,
}

/// What a folder presets for every command that is told of it.
#[must_use]
pub fn presets(data_dir: &Path) -> Vec<(String, String)> {
    let issuer = read_demo(data_dir).map_or_else(|| DEFAULT_ISSUER.to_owned(), |demo| demo.issuer);
    presets_for(data_dir, issuer)
}

fn presets_for(data_dir: &Path, issuer: String) -> Vec<(String, String)> {
    let preset = |key: &str, value: String| (key.to_owned(), value);
    vec![
        preset("issuer", issuer),
        preset(
            "database.url",
            format!("sqlite:{}", data_dir.join("vouchsafe.db").display()),
        ),
        preset(
            "keys.master_key_file",
            data_dir.join("master.key").display().to_string(),
        ),
        preset("state.dir", data_dir.display().to_string()),
        preset("registration.mode", "open".to_owned()),
        preset("accounts.sign_up", "true".to_owned()),
        preset("outbound.allow_private", "true".to_owned()),
        preset("log.format", "text".to_owned()),
    ]
}

/// Runs a demo issuer until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`]; [`StartError::Refused`] for a listener that is not on loopback.
pub async fn run(options: DevOptions) -> Result<(), StartError> {
    make_folder(&options.data_dir)?;
    let wanted = load(
        &options,
        DEFAULT_ISSUER.to_owned(),
        options.listen,
        options.management_listen,
    )?;
    for address in [wanted.server.listen, wanted.server.management_listen] {
        if !address.ip().is_loopback() {
            return Err(StartError::Refused(format!(
                "dev listens on loopback only, not on {address}; use serve"
            )));
        }
    }
    let listeners = Listeners::bind(wanted.server.listen, wanted.server.management_listen).await?;
    let bound = |listener: &tokio::net::TcpListener| {
        listener.local_addr().map_err(StartError::io("no local address"))
    };
    let (public, management) = (bound(&listeners.public)?, bound(&listeners.management)?);
    let config = load(
        &options,
        format!("http://{public}"),
        Some(public),
        Some(management),
    )?;
    crate::telemetry::start(&config.log);
    let database = Database::open(config.database.url.expose(), true).await?;
    let migrated = crate::schema::migrate(&database).await;
    database.close().await;
    migrated?;
    let (app, accepted) = App::open_on(config, real_machine(), &options.on_rollback).await?;
    if accepted.is_none() && matches!(options.on_rollback, OnRollback::Accept(_)) {
        tracing::info!(event = "state_rollback_absent");
    }
    let demo = furnish(&app, &options.data_dir).await?;
    say(&demo, &options).map_err(StartError::io("cannot write to stdout"))?;
    until_told(app, listeners).await
}

fn load(
    options: &DevOptions,
    issuer: String,
    listen: Option<SocketAddr>,
    management_listen: Option<SocketAddr>,
) -> Result<Config, StartError> {
    let flag =
        |key: &str, address: Option<SocketAddr>| address.map(|address| (key.to_owned(), address.to_string()));
    let flags = flag("server.listen", listen)
        .into_iter()
        .chain(flag("server.management_listen", management_listen));
    let sources = Sources::new(None, options.environment.clone(), flags.collect())
        .with_presets(presets_for(&options.data_dir, issuer));
    Ok(Config::load(&sources)?)
}

/// Makes the folder for this user only, with a master key of its own.
fn make_folder(dir: &Path) -> Result<(), StartError> {
    let builder = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    builder.map_err(StartError::io(format!("cannot make {}", dir.display())))?;
    only_ours(dir, 0o022)?;
    let path = dir.join("master.key");
    if path.exists() {
        return only_ours(&path, 0o077);
    }
    let key = MasterKey::generate().map_err(|error| StartError::MasterKey(error.to_string()))?;
    write_private(&path, &format!("{}\n", key.to_base64().expose()))
}

/// Refuses what others may change or read: they would choose the keys or know them.
fn only_ours(path: &Path, forbidden: u32) -> Result<(), StartError> {
    let found =
        fs::symlink_metadata(path).map_err(StartError::io(format!("cannot look at {}", path.display())))?;
    if found.mode() & forbidden != 0 || found.file_type().is_symlink() {
        return Err(StartError::Refused(format!(
            "{} is open to others; use a folder of your own",
            path.display()
        )));
    }
    Ok(())
}

/// Writes a file that only this user reads; a crash leaves the old one or the new one.
fn write_private(path: &Path, text: &str) -> Result<(), StartError> {
    let unfinished = path.with_extension(format!("{}.new", random_token(&*real_machine().entropy, 9)));
    let failed = || StartError::io(format!("cannot write {}", path.display()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(failed())?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed())?;
    fs::rename(&unfinished, path).map_err(failed())
}

fn read_demo(dir: &Path) -> Option<Demo> {
    serde_json::from_str(&fs::read_to_string(dir.join("demo.json")).ok()?).ok()
}

/// Puts the demo client, user and resource in place; what is there already stays.
async fn furnish(app: &App, dir: &Path) -> Result<Demo, StartError> {
    let machine = real_machine();
    let random = |bytes| random_token(&*machine.entropy, bytes);
    let issuer = app.config().issuer.to_string();
    let demo = match read_demo(dir) {
        Some(demo) => Demo { issuer, ..demo },
        None => Demo {
            issuer,
            client_id: DEMO.to_owned(),
            client_secret: random(32),
            username: DEMO.to_owned(),
            password: random(12),
            scope: SCOPE.to_owned(),
            resource: RESOURCE.to_owned(),
        },
    };
    let text = serde_json::to_string_pretty(&demo).unwrap_or_default();
    write_private(&dir.join("demo.json"), &format!("{text}\n"))?;
    put_in_place(app.issuer(), &demo)
        .await
        .map_err(|error| match error {
            AdminError::Failed(error) => StartError::Issuer(error),
            other => StartError::Refused(format!("the demo cannot be set up: {other}")),
        })?;
    Ok(demo)
}

async fn put_in_place(issuer: &Issuer, demo: &Demo) -> Result<(), AdminError> {
    let actor = Actor::System;
    let invalid = |what: &str| AdminError::Invalid(format!("demo.json holds no usable {what}"));
    let scope = |text: &str| ScopeSet::parse(text).map_err(|_| invalid("scope"));
    let uri = ResourceUri::parse(&demo.resource).map_err(|_| invalid("resource"))?;
    if !issuer
        .list_resources()
        .await?
        .iter()
        .any(|resource| resource.uri == uri)
    {
        let resource = Resource {
            uri: uri.clone(),
            scope: scope(&demo.scope)?,
            by_role: false,
            closed: false,
            server_client_id: None,
            signing_algorithm: None,
            access_ttl: None,
            created_at: issuer.now(),
        };
        issuer.create_resource(&resource, &actor).await?;
    }
    let id = ClientId::parse(&demo.client_id).map_err(|_| invalid("client_id"))?;
    if matches!(issuer.show_client(&id).await, Err(AdminError::NotFound { .. })) {
        let draft = ClientDraft {
            name: Some("Demo".to_owned()),
            auth_method: Some(ClientAuthMethod::ClientSecretBasic),
            application_type: Some(ApplicationType::Native),
            grants: Some(vec![
                GrantType::AuthorizationCode,
                GrantType::RefreshToken,
                GrantType::DeviceCode,
                GrantType::ClientCredentials,
                GrantType::Password,
            ]),
            redirect_uris: Some(REDIRECT_URIS.map(str::to_owned).to_vec()),
            scope: Some(scope(CLIENT_SCOPE)?),
            resources: Some(vec![uri]),
            ..ClientDraft::default()
        };
        let secret = SecretString::new(demo.client_secret.clone());
        issuer
            .create_client(Some(id), &draft, Some(secret), &actor)
            .await?;
    }
    if matches!(
        issuer.show_user(&demo.username).await,
        Err(AdminError::NotFound { .. })
    ) {
        let draft = UserDraft {
            username: demo.username.clone(),
            email: None,
            password: Some(SecretString::new(demo.password.clone())),
            roles: Vec::new(),
        };
        issuer.create_user(&draft, &actor).await?;
    }
    Ok(())
}

/// Says, once, what there is and how to use it.
fn say(demo: &Demo, options: &DevOptions) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if options.json {
        writeln!(out, "{}", serde_json::to_string(demo)?)?;
        return out.flush();
    }
    let Demo {
        issuer,
        client_id,
        client_secret,
        username,
        password,
        ..
    } = demo;
    writeln!(
        out,
        "\nVouchsafe {version} is ready\n\n  issuer    {issuer}\n  try it    {issuer}/docs\n  sign in   \
         {issuer}/account\n  client    {client_id}  {client_secret}\n  user      {username}  {password}\n  state     \
         {dir}\n\nGet a token:\n\n  curl -s -u {client_id}:{client_secret} -d grant_type=client_credentials \
         {issuer}/token\n\nFor a person, with a refresh token:\n\n  curl -s -u {client_id}:{client_secret} -d \
         grant_type=password -d username={username} -d password={password} {issuer}/token\n\nCtrl-C ends it; the \
         next start finds the same.\n",
        version = env!("CARGO_PKG_VERSION"),
        dir = options.data_dir.display(),
    )?;
    out.flush()
}
