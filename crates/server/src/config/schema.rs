//! The one table of configuration keys: what exists, how it is written, its default and its help. The loader,
//! `config init` and `config show` all read it.

/// How the value of a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string.
    Text,
    /// A string such as `5m`.
    Duration,
    /// A string that names a file or folder.
    Path,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list of strings; separated by commas in the environment and in flags.
    List,
    /// A string that is never shown, with a `_file` twin and a place in the credentials directory.
    Secret,
}

impl Kind {
    /// What a value of this kind looks like, for messages.
    pub(super) const fn wanted(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Duration => "whole seconds with a unit (s, m, h, d), such as \"5m\"",
            Self::Path => "a path in quotes",
            Self::Integer => "a whole number",
            Self::Boolean => "true or false",
            Self::List => "a list of strings",
            Self::Secret => "a string (not shown)",
        }
    }
}

/// One known key.
#[derive(Debug)]
pub(super) struct Key {
    /// Dotted path.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// As one would write it in the environment; `None` when there is no default.
    pub(super) default: Option<&'static str>,
    /// For `config init` where there is no default; of the `_file` twin for a secret.
    pub(super) example: &'static str,
    /// Whether `serve` needs it.
    pub(super) required: bool,
    /// One line.
    pub(super) help: &'static str,
}

impl Key {
    /// The name of the variable: `VOUCHSAFE_SECTION__KEY`.
    pub(super) fn variable(&self) -> String {
        variable(self.path)
    }

    /// The key that names a file with the value; secrets only.
    pub(super) fn twin(&self) -> Option<String> {
        (self.kind == Kind::Secret).then(|| format!("{}_file", self.path))
    }
}

/// A key as it was written: itself, or the `_file` twin of a secret.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) key: &'static Key,
    pub(super) twin: bool,
}

impl Found {
    /// The dotted path as it was written.
    pub(super) fn path(self) -> String {
        if self.twin {
            format!("{}_file", self.key.path)
        } else {
            self.key.path.to_owned()
        }
    }

    /// How the value is written: a twin holds a path.
    pub(super) fn kind(self) -> Kind {
        if self.twin { Kind::Path } else { self.key.kind }
    }
}

/// Finds a key by its dotted path.
pub(super) fn find(path: &str) -> Option<Found> {
    KEYS.iter().find_map(|key| {
        let twin = key.twin().is_some_and(|twin| twin == path);
        (twin || key.path == path).then_some(Found { key, twin })
    })
}

/// Finds a key by the name of its variable.
pub(super) fn find_variable(name: &str) -> Option<Found> {
    paths()
        .find(|path| variable(path) == name)
        .and_then(|path| find(&path))
}

/// Whether the path names a section.
pub(super) fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| {
        key.path
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// The name of the variable for a dotted path.
pub(super) fn variable(path: &str) -> String {
    format!("VOUCHSAFE_{}", path.replace('.', "__").to_ascii_uppercase())
}

/// The known path that is most like an unknown one.
pub(super) fn nearest(path: &str) -> String {
    paths()
        .min_by_key(|candidate| distance(path, candidate))
        .unwrap_or_default()
}

fn paths() -> impl Iterator<Item = String> {
    KEYS.iter()
        .flat_map(|key| [Some(key.path.to_owned()), key.twin()])
        .flatten()
}

/// A right name in the wrong section is near as well.
fn distance(path: &str, candidate: &str) -> usize {
    let name = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let whole = strsim::damerau_levenshtein(path, candidate);
    whole.min(strsim::damerau_levenshtein(&name(path), &name(candidate)) + 1)
}

const fn default(path: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
    Key {
        path,
        kind,
        default: Some(default),
        example: "",
        required: false,
        help,
    }
}

const fn optional(path: &'static str, kind: Kind, example: &'static str, help: &'static str) -> Key {
    Key {
        path,
        kind,
        default: None,
        example,
        required: false,
        help,
    }
}

const fn required(path: &'static str, kind: Kind, example: &'static str, help: &'static str) -> Key {
    Key {
        path,
        kind,
        default: None,
        example,
        required: true,
        help,
    }
}

/// Every key, in the order in which `config init` and `config show` print it; a section stays together.
pub(super) static KEYS: &[Key] = &[
    required(
        "issuer",
        Kind::Text,
        "https://id.example",
        "The `iss` of every token; https, without a trailing slash.",
    ),
    default(
        "server.listen",
        Kind::Text,
        "127.0.0.1:8080",
        "Address and port of the public listener.",
    ),
    default(
        "server.management_listen",
        Kind::Text,
        "127.0.0.1:9090",
        "Address and port of health and administration.",
    ),
    optional(
        "server.tls_cert_file",
        Kind::Path,
        "/etc/vouchsafe/tls.crt",
        "PEM certificate chain; with tls_key_file.",
    ),
    optional(
        "server.tls_key_file",
        Kind::Path,
        "/etc/vouchsafe/tls.key",
        "PEM private key; with tls_cert_file.",
    ),
    default(
        "server.trusted_proxies",
        Kind::List,
        "",
        "Addresses or networks whose forwarding headers are believed.",
    ),
    required(
        "database.url",
        Kind::Secret,
        "/run/secrets/database.url",
        "sqlite:... or postgres:...; secret, because it may hold a password.",
    ),
    required(
        "keys.master_key",
        Kind::Secret,
        "/run/secrets/master.key",
        "32 random bytes in base64; seals private keys.",
    ),
    default(
        "keys.algorithms",
        Kind::List,
        "ES256,RS256,EdDSA",
        "Algorithms for which a signing key is kept.",
    ),
    default(
        "keys.rotate_every",
        Kind::Duration,
        "30d",
        "Age at which a signing key hands over to the next.",
    ),
    default(
        "keys.publish_ahead",
        Kind::Duration,
        "24h",
        "How long a key is in the JWKS before it signs.",
    ),
    default(
        "keys.retention",
        Kind::Duration,
        "7d",
        "How long a key stays in the JWKS after it signed last.",
    ),
    default(
        "keys.jwks_max_age",
        Kind::Duration,
        "5m",
        "How long the JWKS may be cached.",
    ),
    default(
        "tokens.access_ttl",
        Kind::Duration,
        "5m",
        "Lifetime of an access token.",
    ),
    default(
        "tokens.max_access_ttl",
        Kind::Duration,
        "1h",
        "Longest lifetime that a client or resource may be given.",
    ),
    default(
        "tokens.refresh_idle_ttl",
        Kind::Duration,
        "14d",
        "A session that is not refreshed for this long ends.",
    ),
    default(
        "tokens.refresh_absolute_ttl",
        Kind::Duration,
        "90d",
        "A session ends this long after it began.",
    ),
    default(
        "tokens.retry_window",
        Kind::Duration,
        "30s",
        "How long a public client may retry a refresh; 0s to 60s.",
    ),
    default(
        "tokens.retry_window_authenticated",
        Kind::Duration,
        "24h",
        "The same for a client that authenticates; 24h at most.",
    ),
    default(
        "tokens.default_algorithm",
        Kind::Text,
        "ES256",
        "Signs where nobody chose; one of keys.algorithms.",
    ),
    default(
        "sessions.idle_ttl",
        Kind::Duration,
        "24h",
        "A browser that is not used for this long is signed out.",
    ),
    default(
        "sessions.absolute_ttl",
        Kind::Duration,
        "30d",
        "A browser is signed out this long after signing in.",
    ),
    default(
        "accounts.sign_up",
        Kind::Boolean,
        "false",
        "Whether people may make accounts for themselves.",
    ),
    default(
        "outbound.allow_private",
        Kind::Boolean,
        "false",
        "Whether calls to private addresses are allowed.",
    ),
    optional(
        "state.dir",
        Kind::Path,
        "/var/lib/vouchsafe-state",
        "Keeps the high-water mark and denied keys, outside the database.",
    ),
    default(
        "registration.mode",
        Kind::Text,
        "closed",
        "Who may register a client: open, token or closed.",
    ),
    default(
        "passwords.memory_kib",
        Kind::Integer,
        "19456",
        "Argon2id: memory of one hash, in KiB.",
    ),
    default("passwords.iterations", Kind::Integer, "2", "Argon2id: passes."),
    default("passwords.parallelism", Kind::Integer, "1", "Argon2id: lanes."),
    default(
        "audit.retention",
        Kind::Duration,
        "400d",
        "How long a row of the audit is kept.",
    ),
    default("log.format", Kind::Text, "json", "json or text."),
    default(
        "log.level",
        Kind::Text,
        "info",
        "error, warn, info, debug or trace.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_unique_and_sections_stay_together() {
        let mut seen: Vec<&str> = Vec::new();
        let mut sections: Vec<&str> = Vec::new();
        for key in KEYS {
            assert!(!seen.contains(&key.path), "{}", key.path);
            seen.push(key.path);
            let section = key.path.rsplit_once('.').map_or("", |(section, _)| section);
            if sections.last() != Some(&section) {
                assert!(!sections.contains(&section), "{section} is split");
                sections.push(section);
            }
            assert!(
                key.default.is_some() != (key.required || !key.example.is_empty()),
                "{}",
                key.path
            );
        }
    }

    #[test]
    fn f34_the_nearest_key_is_what_was_meant() {
        let cases = [
            ("tokens.acces_ttl", "tokens.access_ttl"),
            ("token.access_ttl", "tokens.access_ttl"),
            ("isuer", "issuer"),
            ("listen", "server.listen"),
            ("keys.master_key_fil", "keys.master_key_file"),
            ("database.uri", "database.url"),
            ("server.trusted_proxy", "server.trusted_proxies"),
        ];
        for (written, meant) in cases {
            assert_eq!(nearest(written), meant, "{written}");
        }
    }

    #[test]
    fn variables_name_the_section() {
        assert_eq!(variable("issuer"), "VOUCHSAFE_ISSUER");
        assert_eq!(variable("tokens.access_ttl"), "VOUCHSAFE_TOKENS__ACCESS_TTL");
        let found = find_variable("VOUCHSAFE_KEYS__MASTER_KEY_FILE").unwrap();
        assert!(found.twin);
        assert_eq!(found.key.path, "keys.master_key");
    }
}
