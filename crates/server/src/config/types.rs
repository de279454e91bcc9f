//! The typed configuration, as the rest of the server sees it: complete, checked, with secrets that do not print.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use vouchsafe_issuer::RegistrationMode;
use vouchsafe_protocol::{IssuerUrl, SecretString, SigningAlgorithm};

/// A whole configuration that passed every check.
#[derive(Clone, Debug)]
pub struct Config {
    /// The `iss` of every token and the base of every address in discovery.
    pub issuer: IssuerUrl,
    /// Where it listens.
    pub server: ServerConfig,
    /// Where it remembers.
    pub database: DatabaseConfig,
    /// Signing keys.
    pub keys: KeysConfig,
    /// Lifetimes of tokens.
    pub tokens: TokensConfig,
    /// Browser sessions.
    pub sessions: SessionsConfig,
    /// Accounts of people.
    pub accounts: AccountsConfig,
    /// Calls to other people's servers.
    pub outbound: OutboundConfig,
    /// What is kept outside the database.
    pub state: StateConfig,
    /// Dynamic client registration.
    pub registration: RegistrationConfig,
    /// The cost of a password hash.
    pub passwords: PasswordsConfig,
    /// What is remembered of changes.
    pub audit: AuditConfig,
    /// The log.
    pub log: LogConfig,
}

/// `[server]`: the listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The public listener.
    pub listen: SocketAddr,
    /// The listener for health and administration; never the public one.
    pub management_listen: SocketAddr,
    /// PEM certificate chain; set together with `tls_key_file`.
    pub tls_cert_file: Option<PathBuf>,
    /// PEM private key; set together with `tls_cert_file`.
    pub tls_key_file: Option<PathBuf>,
    /// Addresses or networks (`10.0.0.0/8`) whose forwarding headers are believed.
    pub trusted_proxies: Vec<String>,
}

/// `[database]`.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// `sqlite:...` or `postgres:...`; secret, because it may hold a password.
    pub url: SecretString,
}

/// `[keys]`: how signing keys are kept and rotated.
#[derive(Clone, Debug)]
pub struct KeysConfig {
    /// 32 bytes in base64; seals every private key at rest.
    pub master_key: SecretString,
    /// One active key is kept for each, without repetition, in the configured order.
    pub algorithms: Vec<SigningAlgorithm>,
    /// Age at which an active key hands over.
    pub rotate_every: Duration,
    /// How long before it signs a key is in the JWKS.
    pub publish_ahead: Duration,
    /// How long a key stays in the JWKS after it signed last.
    pub retention: Duration,
    /// `max-age` of the JWKS.
    pub jwks_max_age: Duration,
}

/// `[tokens]`: lifetimes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokensConfig {
    /// Lifetime of an access token when the client asks for nothing else.
    pub access_ttl: Duration,
    /// Longest lifetime that a client or resource may be given.
    pub max_access_ttl: Duration,
    /// A family ends when it was not refreshed for this long.
    pub refresh_idle_ttl: Duration,
    /// A family ends this long after it began, whatever happens.
    pub refresh_absolute_ttl: Duration,
    /// How long a public client may retry a refresh and get the same successor; at most 60 s.
    pub retry_window: Duration,
    /// The same for a client that authenticates; at most 24 h.
    pub retry_window_authenticated: Duration,
    /// Algorithm of tokens where nobody chose one; always one of the configured key algorithms.
    pub default_algorithm: SigningAlgorithm,
}

/// `[sessions]`: how long a browser stays signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionsConfig {
    /// Unless it is used.
    pub idle_ttl: Duration,
    /// At most.
    pub absolute_ttl: Duration,
}

/// `[accounts]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountsConfig {
    /// Whether people may make accounts for themselves.
    pub sign_up: bool,
}

/// `[outbound]`: back-channel logout, `jwks_uri`, client id documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundConfig {
    /// Whether calls to private, loopback and link-local addresses are allowed.
    pub allow_private: bool,
}

/// `[state]`: the high-water mark and denied kids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateConfig {
    /// Folder for them, if any.
    pub dir: Option<PathBuf>,
}

/// `[registration]`: RFC 7591.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationConfig {
    /// Who may register.
    pub mode: RegistrationMode,
}

/// `[passwords]`: Argon2id (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordsConfig {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
}

/// `[audit]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// How long a row is kept.
    pub retention: Duration,
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The form of a line.
    pub format: LogFormat,
    /// The least urgent level that is written.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The least urgent level that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Only errors.
    Error,
    /// And warnings.
    Warn,
    /// And what happened.
    Info,
    /// And how.
    Debug,
    /// And every step.
    Trace,
}

impl LogLevel {
    /// The word in the configuration, which is also a directive of a log filter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
