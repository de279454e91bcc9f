//! Builds the typed configuration from the settings, section by section, and refuses what cannot work together.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use vouchsafe_issuer::LONGEST_ACCESS_TTL;
use vouchsafe_keys::{MasterKey, MasterKeyError};
use vouchsafe_protocol::{IssuerUrl, SecretString, SigningAlgorithm};
use vouchsafe_store::Database;

use crate::http::address::AddressBlock;

use super::duration::show;
use super::error::ConfigError;
use super::reader::Reader;
use super::settings::Settings;
use super::types::{
    AccountsConfig, AuditConfig, Config, DatabaseConfig, KeysConfig, LogConfig, LogFormat, LogLevel,
    OutboundConfig, PasswordsConfig, RegistrationConfig, RegistrationMode, ServerConfig, SessionsConfig,
    StateConfig, TokensConfig,
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// 4 GiB, in KiB: more memory for one hash is a slip of the pen.
const MOST_HASH_MEMORY: u32 = 4 << 20;

/// Reads everything; the error holds all problems of the load and of the checks.
pub(super) fn config(settings: &Settings) -> Result<Config, ConfigError> {
    with_reader(settings, |reader| reader.config())
}

/// Reads the database section only.
pub(super) fn database(settings: &Settings) -> Result<DatabaseConfig, ConfigError> {
    with_reader(settings, |reader| reader.database())
}

fn with_reader<T>(
    settings: &Settings,
    read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
) -> Result<T, ConfigError> {
    let mut problems = settings.problems().to_vec();
    if settings.file_failed() {
        return Err(ConfigError::new(problems));
    }
    let mut reader = Reader::new(settings);
    let value = read(&mut reader);
    problems.extend(reader.into_problems());
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(ConfigError::new(problems)),
    }
}

impl Reader<'_> {
    fn config(&mut self) -> Option<Config> {
        // Every section is read before the first `?`, so that one load finds everything.
        let issuer = self.issuer();
        let server = self.server();
        let database = self.database();
        let algorithms = self.algorithms();
        let max_access_ttl = self.lifetime("tokens.max_access_ttl");
        // A revocation is remembered for as long as any access token may live.
        if max_access_ttl.is_some_and(|ttl| ttl > LONGEST_ACCESS_TTL) {
            self.problem(
                "tokens.max_access_ttl",
                format!("want {} or less", show(LONGEST_ACCESS_TTL)),
            );
        }
        let keys = self.keys(algorithms.as_deref(), max_access_ttl);
        let tokens = self.tokens(algorithms.as_deref(), max_access_ttl);
        let sessions = self.sessions();
        let sign_up = self.choice("accounts.sign_up", &[("true", true), ("false", false)]);
        let allow_private = self.choice("outbound.allow_private", &[("true", true), ("false", false)]);
        let dir = self.path("state.dir");
        let registration = self.registration();
        let passwords = self.passwords();
        let retention = self.lifetime("audit.retention");
        let log = self.log();
        Some(Config {
            issuer: issuer?,
            server: server?,
            database: database?,
            keys: keys?,
            tokens: tokens?,
            sessions: sessions?,
            accounts: AccountsConfig { sign_up: sign_up? },
            outbound: OutboundConfig {
                allow_private: allow_private?,
            },
            state: StateConfig { dir },
            registration: registration?,
            passwords: passwords?,
            audit: AuditConfig {
                retention: retention?,
            },
            log: log?,
        })
    }

    fn issuer(&mut self) -> Option<IssuerUrl> {
        let wanted = "an https URL (http on a loopback host only) without query, fragment or trailing slash";
        self.parsed("issuer", wanted, |text| IssuerUrl::parse(text).ok())
    }

    fn server(&mut self) -> Option<ServerConfig> {
        let address = "an address and a port, such as \"127.0.0.1:8080\"";
        let listen: Option<SocketAddr> = self.parsed("server.listen", address, |text| text.parse().ok());
        let management_listen: Option<SocketAddr> =
            self.parsed("server.management_listen", address, |text| text.parse().ok());
        let same = listen.is_some() && listen == management_listen;
        if same && listen.is_some_and(|listen| listen.port() != 0) {
            self.problem("server.management_listen", "must differ from server.listen");
        }
        let tls_cert_file = self.path("server.tls_cert_file");
        let tls_key_file = self.path("server.tls_key_file");
        match (&tls_cert_file, &tls_key_file) {
            (Some(_), None) => self.problem("server.tls_cert_file", "needs server.tls_key_file"),
            (None, Some(_)) => self.problem("server.tls_key_file", "needs server.tls_cert_file"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let trusted_proxies = self.list("server.trusted_proxies")?.to_vec();
        if !trusted_proxies
            .iter()
            .all(|network| network.parse::<AddressBlock>().is_ok())
        {
            self.problem(
                "server.trusted_proxies",
                "want addresses or networks, such as \"10.0.0.0/8\"",
            );
        }
        Some(ServerConfig {
            listen: listen?,
            management_listen: management_listen?,
            tls_cert_file,
            tls_key_file,
            trusted_proxies,
        })
    }

    fn database(&mut self) -> Option<DatabaseConfig> {
        let url = self.secret("database.url")?;
        if !Database::knows(url.expose()) {
            self.problem("database.url", "want sqlite:... or postgres:...");
            return None;
        }
        Some(DatabaseConfig { url: url.clone() })
    }

    fn algorithms(&mut self) -> Option<Vec<SigningAlgorithm>> {
        let path = "keys.algorithms";
        let words = self.list(path)?;
        let algorithms: Vec<SigningAlgorithm> = words.iter().filter_map(|word| word.parse().ok()).collect();
        let distinct: BTreeSet<&String> = words.iter().collect();
        if algorithms.is_empty() || algorithms.len() != words.len() || distinct.len() != words.len() {
            self.problem(path, "want one or more of ES256, RS256, EdDSA, each once");
            return None;
        }
        Some(algorithms)
    }

    fn keys(
        &mut self,
        algorithms: Option<&[SigningAlgorithm]>,
        max_access_ttl: Option<Duration>,
    ) -> Option<KeysConfig> {
        let master_key = self.master_key();
        let rotate_every = self.lifetime("keys.rotate_every");
        let publish_ahead = self.lifetime("keys.publish_ahead");
        let retention = self.lifetime("keys.retention");
        let jwks_max_age = self.lifetime("keys.jwks_max_age");
        // A key outlives its last token, with room for clocks that differ.
        if let (Some(retention), Some(ttl)) = (retention, max_access_ttl)
            && retention < ttl + MINUTE
        {
            let least = show(ttl + MINUTE);
            self.problem(
                "keys.retention",
                format!("want {least} or more: tokens.max_access_ttl and 60s"),
            );
        }
        // Every cache has seen a key before it signs.
        if let (Some(ahead), Some(age)) = (publish_ahead, jwks_max_age)
            && ahead < age
        {
            self.problem("keys.publish_ahead", "must not be shorter than keys.jwks_max_age");
        }
        Some(KeysConfig {
            master_key: master_key?,
            algorithms: algorithms?.to_vec(),
            rotate_every: rotate_every?,
            publish_ahead: publish_ahead?,
            retention: retention?,
            jwks_max_age: jwks_max_age?,
        })
    }

    fn master_key(&mut self) -> Option<SecretString> {
        let key = self.secret("keys.master_key")?;
        if let Some(fault) = master_key_fault(key.expose()) {
            self.problem("keys.master_key", fault);
            return None;
        }
        Some(key.clone())
    }

    fn tokens(
        &mut self,
        algorithms: Option<&[SigningAlgorithm]>,
        max_access_ttl: Option<Duration>,
    ) -> Option<TokensConfig> {
        let access_ttl = self.lifetime("tokens.access_ttl");
        let idle = self.lifetime("tokens.refresh_idle_ttl");
        let absolute = self.lifetime("tokens.refresh_absolute_ttl");
        let retry_window = self.window("tokens.retry_window", MINUTE);
        let retry_window_authenticated = self.window("tokens.retry_window_authenticated", DAY);
        let default_algorithm: Option<SigningAlgorithm> = self.parsed(
            "tokens.default_algorithm",
            "one of: ES256, RS256, EdDSA",
            |text| text.parse().ok(),
        );
        if let (Some(ttl), Some(max)) = (access_ttl, max_access_ttl)
            && ttl > max
        {
            let message = format!("must not be longer than tokens.max_access_ttl ({})", show(max));
            self.problem("tokens.access_ttl", message);
        }
        if let (Some(idle), Some(absolute)) = (idle, absolute)
            && idle > absolute
        {
            let message = format!(
                "must not be longer than tokens.refresh_absolute_ttl ({})",
                show(absolute)
            );
            self.problem("tokens.refresh_idle_ttl", message);
        }
        if let (Some(algorithm), Some(algorithms)) = (default_algorithm, algorithms)
            && !algorithms.contains(&algorithm)
        {
            self.problem("tokens.default_algorithm", "must be one of keys.algorithms");
        }
        Some(TokensConfig {
            access_ttl: access_ttl?,
            max_access_ttl: max_access_ttl?,
            refresh_idle_ttl: idle?,
            refresh_absolute_ttl: absolute?,
            retry_window: retry_window?,
            retry_window_authenticated: retry_window_authenticated?,
            default_algorithm: default_algorithm?,
        })
    }

    fn sessions(&mut self) -> Option<SessionsConfig> {
        let idle_ttl = self.lifetime("sessions.idle_ttl");
        let absolute_ttl = self.lifetime("sessions.absolute_ttl");
        if let (Some(idle), Some(absolute)) = (idle_ttl, absolute_ttl)
            && idle > absolute
        {
            let message = format!(
                "must not be longer than sessions.absolute_ttl ({})",
                show(absolute)
            );
            self.problem("sessions.idle_ttl", message);
        }
        Some(SessionsConfig {
            idle_ttl: idle_ttl?,
            absolute_ttl: absolute_ttl?,
        })
    }

    fn registration(&mut self) -> Option<RegistrationConfig> {
        let modes = [
            ("open", RegistrationMode::Open),
            ("token", RegistrationMode::Token),
            ("closed", RegistrationMode::Closed),
        ];
        let mode = self.choice("registration.mode", &modes)?;
        Some(RegistrationConfig { mode })
    }

    fn passwords(&mut self) -> Option<PasswordsConfig> {
        let memory_kib = self.integer("passwords.memory_kib", 8..=MOST_HASH_MEMORY);
        let iterations = self.integer("passwords.iterations", 1..=1000);
        let parallelism = self.integer("passwords.parallelism", 1..=64);
        // RFC 9106 section 3.1.
        if let (Some(memory), Some(lanes)) = (memory_kib, parallelism)
            && memory < 8 * lanes
        {
            self.problem(
                "passwords.memory_kib",
                "want 8 or more for each of passwords.parallelism",
            );
        }
        Some(PasswordsConfig {
            memory_kib: memory_kib?,
            iterations: iterations?,
            parallelism: parallelism?,
        })
    }

    fn log(&mut self) -> Option<LogConfig> {
        let format = self.choice(
            "log.format",
            &[("json", LogFormat::Json), ("text", LogFormat::Text)],
        );
        let levels = [
            LogLevel::Error,
            LogLevel::Warn,
            LogLevel::Info,
            LogLevel::Debug,
            LogLevel::Trace,
        ];
        let level = self.choice("log.level", &levels.map(|level| (level.as_str(), level)));
        Some(LogConfig {
            format: format?,
            level: level?,
        })
    }
}

/// What is wrong with a master key, without a word of it.
fn master_key_fault(text: &str) -> Option<&'static str> {
    match MasterKey::parse(text).err()? {
        MasterKeyError::NotBase64 | MasterKeyError::Random => {
            Some("want 32 random bytes in base64, as `openssl rand -base64 32` prints them")
        }
        MasterKeyError::WrongLength { .. } => {
            Some("want exactly 32 bytes in base64, as `openssl rand -base64 32` prints them")
        }
        MasterKeyError::Trivial => {
            Some("is an example, not random bytes; take what `openssl rand -base64 32` prints")
        }
    }
}
