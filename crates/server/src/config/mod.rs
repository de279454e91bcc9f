//! The configuration: one TOML file, then the environment, then flags, read from one table of known keys and
//! checked as a whole before anything listens.

mod check;
mod duration;
mod error;
mod file;
mod init;
mod reader;
mod schema;
mod settings;
mod sources;
mod types;

pub use error::{ConfigError, Problem};
pub use init::template;
pub use settings::{Row, Settings};
pub use sources::{Sources, process_environment};
pub use types::{
    AccountsConfig, AuditConfig, Config, DatabaseConfig, KeysConfig, LogConfig, LogFormat, LogLevel,
    OutboundConfig, PasswordsConfig, RegistrationConfig, RegistrationMode, ServerConfig, SessionsConfig,
    StateConfig, TokensConfig,
};

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use vouchsafe_protocol::SigningAlgorithm;

    use super::schema::{KEYS, Kind};
    use super::{Config, RegistrationMode, Settings, Sources};

    const KEY: &str = "qalIGrHqXEIEGiHZS0pqUK2HW2ygKvAxGnYrBoWXu2s=";
    const MINIMAL: &str = r#"
    issuer = "https://id.example"
    database.url = "sqlite:vouchsafe.db"
    keys.master_key = "qalIGrHqXEIEGiHZS0pqUK2HW2ygKvAxGnYrBoWXu2s="
"#;

    /// A load with everything in memory.
    #[derive(Default)]
    struct Load<'t> {
        toml: &'t str,
        environment: &'t [(&'t str, &'t str)],
        flags: &'t [(&'t str, &'t str)],
        presets: &'t [(&'t str, &'t str)],
        files: &'t [(&'t str, &'t str)],
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    impl Load<'_> {
        fn settings(&self) -> Settings {
            let file = Some(PathBuf::from("v.toml"));
            let sources = Sources::new(file, owned(self.environment), owned(self.flags))
                .with_presets(owned(self.presets));
            Settings::load_with(&sources, &|path: &Path| {
                if path == Path::new("v.toml") {
                    return Ok(self.toml.to_owned());
                }
                let found = self.files.iter().find(|(name, _)| Path::new(name) == path);
                match found {
                    Some((_, "<denied>")) => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
                    Some((_, text)) => Ok((*text).to_owned()),
                    None => Err(io::Error::from(io::ErrorKind::NotFound)),
                }
            })
        }

        fn config(&self) -> Config {
            self.settings().config().unwrap()
        }

        fn error(&self) -> String {
            self.settings().config().unwrap_err().to_string()
        }
    }

    fn file(toml: &str) -> Load<'_> {
        Load {
            toml,
            ..Load::default()
        }
    }

    #[test]
    fn the_least_configuration_has_the_documented_defaults() {
        let config = file(MINIMAL).config();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.server.management_listen.to_string(), "127.0.0.1:9090");
        assert_eq!(config.server.trusted_proxies, Vec::<String>::new());
        let algorithms = [
            SigningAlgorithm::Es256,
            SigningAlgorithm::Rs256,
            SigningAlgorithm::EdDsa,
        ];
        assert_eq!(config.keys.algorithms, algorithms);
        assert_eq!(config.keys.rotate_every, Duration::from_secs(30 * 86_400));
        assert_eq!(config.tokens.access_ttl, Duration::from_secs(300));
        assert_eq!(config.tokens.retry_window, Duration::from_secs(30));
        assert_eq!(
            config.tokens.retry_window_authenticated,
            Duration::from_secs(86_400)
        );
        assert_eq!(config.passwords.memory_kib, 19_456);
        assert_eq!(config.registration.mode, RegistrationMode::Closed);
        assert_eq!(config.state.dir, None);
        assert!(!config.outbound.allow_private);
    }

    #[test]
    fn f34_bad_values_are_refused_with_file_line_and_key() {
        let cases = [
            ("server.listen = 8080", "server.listen: want a string"),
            (
                "server.listen = \"localhost\"",
                "server.listen: want an address and a port",
            ),
            (
                "server.management_listen = \"127.0.0.1:8080\"",
                "server.management_listen: must differ",
            ),
            (
                "server.tls_cert_file = \"a\"",
                "server.tls_cert_file: needs server.tls_key_file",
            ),
            (
                "server.tls_key_file = \"a\"",
                "server.tls_key_file: needs server.tls_cert_file",
            ),
            (
                "server.trusted_proxies = [\"10.0.0.0/33\"]",
                "server.trusted_proxies: want addresses or networks",
            ),
            (
                "server.trusted_proxies = \"10.0.0.1\"",
                "server.trusted_proxies: want a list of strings",
            ),
            (
                "server.trusted_proxies = [1]",
                "server.trusted_proxies: want a list of strings",
            ),
            ("keys.algorithms = []", "keys.algorithms: want one or more"),
            (
                "keys.algorithms = [\"HS256\"]",
                "keys.algorithms: want one or more",
            ),
            (
                "keys.algorithms = [\"ES256\", \"ES256\"]",
                "keys.algorithms: want one or more",
            ),
            (
                "keys.algorithms = [\"RS256\"]",
                "tokens.default_algorithm: must be one of keys.algorithms",
            ),
            ("keys.retention = \"1h\"", "keys.retention: want 61m or more"),
            ("keys.retention = \"3659s\"", "keys.retention: want 61m or more"),
            (
                "keys.publish_ahead = \"4m\"",
                "keys.publish_ahead: must not be shorter",
            ),
            (
                "keys.rotate_every = \"0d\"",
                "keys.rotate_every: must be longer than 0s",
            ),
            (
                "tokens.access_ttl = 300",
                "tokens.access_ttl: want whole seconds with a unit",
            ),
            (
                "tokens.access_ttl = \"500ms\"",
                "tokens.access_ttl: want whole seconds with a unit",
            ),
            ("tokens.access_ttl = \"\"", "tokens.access_ttl: is empty"),
            (
                "tokens.access_ttl = \"0s\"",
                "tokens.access_ttl: must be longer than 0s",
            ),
            (
                "tokens.access_ttl = \"2h\"",
                "tokens.access_ttl: must not be longer than tokens.max_access_ttl (1h)",
            ),
            (
                "tokens.max_access_ttl = \"25h\"",
                "tokens.max_access_ttl: want 1d or less",
            ),
            (
                "tokens.refresh_idle_ttl = \"91d\"",
                "tokens.refresh_idle_ttl: must not be longer",
            ),
            (
                "tokens.retry_window = \"61s\"",
                "tokens.retry_window: want 0s to 1m",
            ),
            (
                "tokens.retry_window_authenticated = \"25h\"",
                "tokens.retry_window_authenticated: want 0s to 1d",
            ),
            (
                "tokens.default_algorithm = \"none\"",
                "tokens.default_algorithm: want one of",
            ),
            (
                "outbound.allow_private = \"true\"",
                "outbound.allow_private: want true or false",
            ),
            (
                "registration.mode = \"Open\"",
                "registration.mode: want one of: open, token, closed",
            ),
            (
                "passwords.memory_kib = \"19456\"",
                "passwords.memory_kib: want a whole number",
            ),
            (
                "passwords.iterations = 0",
                "passwords.iterations: want a whole number from 1",
            ),
            (
                "passwords = { memory_kib = 8, parallelism = 2 }",
                "passwords.memory_kib: want 8 or more for each",
            ),
            (
                "log.level = \"loud\"",
                "log.level: want one of: error, warn, info, debug, trace",
            ),
            ("log = \"text\"", "`log` is a section: write [log]"),
            ("log.format.x = 1", "log.format: want a string"),
        ];
        for (line, message) in cases {
            let toml = format!("{line}\n{MINIMAL}");
            let error = file(&toml).error();
            // The key at fault may be one whose default no longer fits.
            let place = if line.starts_with("keys.algorithms = [\"RS") {
                "default: "
            } else {
                "v.toml:1: "
            };
            assert_eq!(error.lines().count(), 1, "{line}: {error}");
            assert!(error.starts_with(&format!("{place}{message}")), "{line}: {error}");
        }
    }

    #[test]
    fn f34_everything_wrong_is_listed_at_once() {
        let toml = "[server]\nlisen = \"a\"\n[tokens]\naccess_ttl = \"2h\"\nretry_window = \"5 m\"\n[log]\nlevel = 3\n";
        let error = file(toml).error();
        let expected = [
            "v.toml:2: unknown key `server.lisen`; the nearest is `server.listen`",
            "v.toml:7: log.level: want a string",
            "issuer: required, but not set; set it in the file or in VOUCHSAFE_ISSUER",
            "database.url: required, but not set; set `database.url` or `database.url_file` in the file, \
         VOUCHSAFE_DATABASE__URL or VOUCHSAFE_DATABASE__URL_FILE, or provide the credential database.url",
            "keys.master_key: required, but not set; set `keys.master_key` or `keys.master_key_file` in the file, \
         VOUCHSAFE_KEYS__MASTER_KEY or VOUCHSAFE_KEYS__MASTER_KEY_FILE, or provide the credential keys.master_key",
            "v.toml:5: tokens.retry_window: want whole seconds with a unit (s, m, h, d), such as \"5m\"",
            "v.toml:4: tokens.access_ttl: must not be longer than tokens.max_access_ttl (1h)",
        ];
        assert_eq!(error.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn f34_unknown_keys_are_refused_wherever_they_stand() {
        let load = Load {
            toml: &format!(
                "{MINIMAL}\n[nothing]\n[[list]]\n[tokens.deep]\nx = 1\n[\"a.b\"]\n\"new\\nline\" = 1\n"
            ),
            environment: &[
                ("VOUCHSAFE_TOKENS__ACCES_TTL", "5m"),
                ("VOUCHSAFE_LISTEN", "127.0.0.1:1"),
                ("PATH", "/bin"),
            ],
            flags: &[("log.levle", "info")],
            presets: &[("log.formt", "text")],
            ..Load::default()
        };
        let error = load.error();
        let starts = [
            "v.toml:6: unknown key `nothing`; the nearest is `",
            "v.toml:7: unknown key `list`; the nearest is `",
            "v.toml:9: unknown key `tokens.deep.x`; the nearest is `",
            "v.toml:11: unknown key `a.b.new\\nline`; the nearest is `",
            "environment VOUCHSAFE_LISTEN: unknown variable; the nearest is VOUCHSAFE_SERVER__LISTEN",
            "environment VOUCHSAFE_TOKENS__ACCES_TTL: unknown variable; the nearest is VOUCHSAFE_TOKENS__ACCESS_TTL",
            "flag: unknown key `log.levle`; the nearest is `log.level`",
            "preset: unknown key `log.formt`; the nearest is `log.format`",
        ];
        for (line, start) in error.lines().zip(starts) {
            assert!(line.starts_with(start), "{line}");
        }
        assert_eq!(error.lines().count(), starts.len(), "{error}");
    }

    #[test]
    fn f34_a_file_that_cannot_be_read_says_only_that() {
        let error = file("issuer = \"https://id.example\"\nlog =\n").error();
        assert!(error.starts_with("v.toml:2: "), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        let sources = Sources::new(Some(PathBuf::from("absent.toml")), [], Vec::new());
        let settings = Settings::load_with(&sources, &|_: &Path| {
            Err(io::Error::from(io::ErrorKind::NotFound))
        });
        let error = settings.config().unwrap_err().to_string();
        assert!(error.starts_with("absent.toml: cannot read: "), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    #[test]
    fn f34_every_key_is_read_and_checked() {
        for key in KEYS {
            let value = if key.kind == Kind::Path { " " } else { "\u{1}" };
            let error = Load {
                toml: MINIMAL,
                flags: &[(key.path, value)],
                ..Load::default()
            }
            .error();
            assert!(error.contains(key.path), "{}: {error}", key.path);
        }
    }

    #[test]
    fn f34_errors_never_show_a_secret() {
        let cases = [
            "database.url = \"mysql://u:sesame@db\"\n",
            "database.url = [\"sesame\"]\n",
            "database.url = \"sesame\n",
            "database.url = sesame\n",
            "keys.master_key = \"sesame\"\n",
            "keys.master_key = { sesame = 1, x = \"sesame\" }\n",
            "database.pasword = \"sesame\"\n",
        ];
        for toml in cases {
            let settings = file(toml).settings();
            let error = settings.config().unwrap_err();
            let shown = format!("{error}\n{error:?}\n{settings:?}\n{}", settings.show());
            assert!(!shown.contains("sesame"), "{shown}");
        }
        let environment = [
            ("VOUCHSAFE_DATABASE__URL", "sesame"),
            ("VOUCHSAFE_KEYS__MASTR_KEY", "sesame"),
        ];
        let flags = [("keys.master_key", "sesame"), ("keys.mastr_key", "sesame")];
        let settings = Load {
            environment: &environment,
            flags: &flags,
            ..Load::default()
        }
        .settings();
        let error = settings.config().unwrap_err();
        let shown = format!("{error}\n{error:?}\n{settings:?}\n{}", settings.show());
        assert!(!shown.contains("sesame"), "{shown}");
    }

    #[test]
    fn o02_master_keys_that_nobody_drew_are_refused() {
        let counting: Vec<u8> = (0..32).collect();
        let cases = [
            (String::new(), "is empty"),
            ("   ".to_owned(), "is empty"),
            ("changeme".to_owned(), "want exactly 32 bytes"),
            ("change-me-please".to_owned(), "want exactly 32 bytes"),
            ("change me please".to_owned(), "want 32 random bytes"),
            (STANDARD.encode([0x5a; 16]), "want exactly 32 bytes"),
            (STANDARD.encode([0x5a; 33]), "want exactly 32 bytes"),
            (STANDARD.encode([0; 32]), "is an example"),
            (STANDARD.encode([0x42; 32]), "is an example"),
            (STANDARD.encode(counting), "is an example"),
            (
                STANDARD.encode("0123456789abcdef0123456789abcdef"),
                "is an example",
            ),
        ];
        for (key, message) in cases {
            let flags = [("keys.master_key", key.as_str())];
            let error = Load {
                toml: MINIMAL,
                flags: &flags,
                ..Load::default()
            }
            .error();
            assert!(
                error.starts_with(&format!("flag: keys.master_key: {message}")),
                "{key}: {error}"
            );
            assert_eq!(error.lines().count(), 1, "{key}: {error}");
        }
        let empty_file = Load {
            toml: MINIMAL,
            flags: &[("keys.master_key_file", "/k")],
            files: &[("/k", "\n")],
            ..Load::default()
        };
        assert!(
            empty_file
                .error()
                .starts_with("flag, from /k: keys.master_key: is empty")
        );
    }

    #[test]
    fn o02_an_http_issuer_is_for_loopback_only() {
        for issuer in [
            "http://id.example",
            "http://10.0.0.1:8080",
            "http://127.0.0.1.id.example",
            "ftp://id.example",
            "id",
        ] {
            let error = Load {
                toml: MINIMAL,
                flags: &[("issuer", issuer)],
                ..Load::default()
            }
            .error();
            assert!(
                error.starts_with("flag: issuer: want an https URL (http on a loopback host only)"),
                "{error}"
            );
        }
        for issuer in [
            "http://127.0.0.1:8080",
            "http://localhost:8080",
            "https://id.example/tenant",
        ] {
            let config = Load {
                toml: MINIMAL,
                flags: &[("issuer", issuer)],
                ..Load::default()
            }
            .config();
            assert_eq!(config.issuer.as_str(), issuer);
        }
    }

    #[test]
    fn later_places_win_and_show_says_which() {
        let load = Load {
            toml: &format!(
                "{MINIMAL}log.level = \"warn\"\ntokens.access_ttl = \"4m\"\nkeys.retention = \"8d\"\n"
            ),
            environment: &[
                ("VOUCHSAFE_LOG__LEVEL", "debug"),
                ("VOUCHSAFE_TOKENS__ACCESS_TTL", "3m"),
            ],
            flags: &[("log.level", "trace"), ("keys.algorithms", "EdDSA, ES256")],
            presets: &[("log.level", "error"), ("log.format", "text")],
            ..Load::default()
        };
        let rows = load.settings().rows();
        let row = |key: &str| {
            let row = rows.iter().find(|row| row.key == key).unwrap();
            (row.value.clone().unwrap_or_default(), row.origin.clone())
        };
        let expected = [
            ("log.level", "\"trace\"", "flag"),
            ("log.format", "\"text\"", "preset"),
            (
                "tokens.access_ttl",
                "\"3m\"",
                "environment VOUCHSAFE_TOKENS__ACCESS_TTL",
            ),
            ("keys.retention", "\"8d\"", "v.toml:7"),
            ("keys.algorithms", "[\"EdDSA\", \"ES256\"]", "flag"),
            ("keys.master_key", "[redacted]", "v.toml:4"),
            ("passwords.iterations", "2", "default"),
            ("state.dir", "", "not set"),
        ];
        for (key, value, origin) in expected {
            assert_eq!(row(key), (value.to_owned(), origin.to_owned()), "{key}");
        }
        assert_eq!(rows.len(), KEYS.len());
        assert_eq!(
            load.config().keys.algorithms,
            [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256]
        );
    }

    #[test]
    fn secrets_come_from_files_and_credentials() {
        let toml = "issuer = \"https://id.example\"\n[database]\nurl_file = \"/url\"\n";
        let key_line = format!("{KEY}\n");
        let load = Load {
            toml,
            environment: &[("CREDENTIALS_DIRECTORY", "/run/c")],
            presets: &[("keys.master_key_file", "/absent")],
            files: &[
                ("/url", "sqlite:a.db\r\n"),
                ("/run/c/keys.master_key", &key_line),
                ("/run/c/database.url", "x"),
            ],
            ..Load::default()
        };
        let config = load.config();
        assert_eq!(config.database.url.expose(), "sqlite:a.db");
        assert_eq!(config.keys.master_key.expose(), KEY);
        let shown = load.settings().show();
        assert!(shown.contains("v.toml:3, from /url"), "{shown}");
        assert!(shown.contains("credential /run/c/keys.master_key"), "{shown}");
    }

    #[test]
    fn f34_secret_files_that_cannot_be_read_are_named() {
        let toml = format!("{MINIMAL}keys.master_key_file = \"/k\"\n");
        let both = file(&toml).error();
        assert!(
            both.contains("`keys.master_key` and `keys.master_key_file` are both given; keep one"),
            "{both}"
        );

        let flags = [("keys.master_key_file", "/k")];
        let absent = Load {
            toml: MINIMAL,
            flags: &flags,
            ..Load::default()
        }
        .error();
        assert!(
            absent.starts_with("flag: keys.master_key_file: cannot read /k: "),
            "{absent}"
        );
        assert_eq!(absent.lines().count(), 1, "{absent}");

        let denied = Load {
            toml: "issuer = \"https://id.example\"\ndatabase.url = \"sqlite:a\"\n",
            environment: &[("CREDENTIALS_DIRECTORY", "/c")],
            files: &[("/c/keys.master_key", "<denied>")],
            ..Load::default()
        };
        let denied = denied.error();
        assert!(
            denied.starts_with("credential /c/keys.master_key: keys.master_key: cannot read: "),
            "{denied}"
        );
        assert_eq!(denied.lines().count(), 1, "{denied}");
    }

    #[test]
    fn the_database_alone_needs_no_issuer() {
        let settings = file("database.url = \"sqlite:a.db\"\n").settings();
        assert_eq!(settings.database().unwrap().url.expose(), "sqlite:a.db");
        assert!(settings.config().is_err());
        assert!(
            file("database.url = \"sqlite:a.db\"\nx = 1\n")
                .settings()
                .database()
                .is_err()
        );
    }
}
