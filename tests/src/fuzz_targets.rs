//! What fuzzing calls: the four readers of hostile bytes, each with what must hold whatever comes. The tests run them
//! over mutations of good inputs; `fuzz/` hands the same functions to a coverage-guided fuzzer.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use vouchsafe_jose::{Algorithm, MAX_COMPACT_BYTES, UnverifiedJws};
use vouchsafe_keys::{KeyAlgorithm, KeyPolicy, KeyRecord, KeyRing, MasterKey, Purpose, generate};
use vouchsafe_protocol::{
    AccessTokenClaims, Audience, BasicCredentials, ClientId, FamilyId, Form, Jti, PostedCredentials,
    RefreshTokenClaims, ScopeSet, TYP_ACCESS_TOKEN, TYP_REFRESH_TOKEN, Timestamp, TokenInquiry, TokenRequest,
};

const ISSUER: &str = "https://id.example";
const NOW: Timestamp = Timestamp::from_unix(1_767_225_600);
const LATER: Timestamp = Timestamp::from_unix(1_767_225_900);
const RANDOM_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Keys of this process and one genuine token by each.
struct World {
    ring: KeyRing,
    access: String,
    refresh: String,
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

impl World {
    fn new() -> Self {
        let master = MasterKey::generate().unwrap();
        let policy = KeyPolicy::default();
        let records = [
            record(KeyAlgorithm::Es256, Purpose::Signing, &master),
            record(KeyAlgorithm::Hs256, Purpose::RefreshMac, &master),
        ];
        let ring = KeyRing::open(&records, &master, &policy, NOW).unwrap();
        let signer = ring
            .signer(vouchsafe_protocol::SigningAlgorithm::Es256, NOW)
            .unwrap();
        let access = signer.sign(TYP_ACCESS_TOKEN, &access_claims()).unwrap();
        let mac = ring.refresh_mac(NOW).unwrap();
        let refresh = mac.sign(TYP_REFRESH_TOKEN, &refresh_claims()).unwrap();
        Self {
            ring,
            access,
            refresh,
        }
    }

    /// Whether the text passes every check that a refresh token meets before the database is asked.
    fn takes(&self, text: &str) -> bool {
        let Ok(jws) = UnverifiedJws::parse(text) else {
            return false;
        };
        if !jws.has_typ(TYP_REFRESH_TOKEN) || jws.algorithm() != Algorithm::HS256 {
            return false;
        }
        let key = jws
            .kid()
            .and_then(|kid| self.ring.refresh_mac_verifying(kid, NOW));
        let payload = key.and_then(|key| jws.verify(key).ok());
        payload.is_some_and(|payload| payload.claims::<RefreshTokenClaims>().is_ok())
    }
}

fn record(algorithm: KeyAlgorithm, purpose: Purpose, master: &MasterKey) -> KeyRecord {
    let key = generate(algorithm, purpose, master).unwrap();
    KeyRecord {
        kid: key.kid,
        algorithm,
        purpose,
        public_jwk: key.public_jwk,
        sealed: Some(key.sealed),
        published_at: NOW,
        activates_at: NOW,
        deactivates_at: None,
        compromised_at: None,
    }
}

fn access_claims() -> AccessTokenClaims {
    AccessTokenClaims {
        iss: ISSUER.to_owned(),
        sub: "web".to_owned(),
        aud: Audience::One(ISSUER.to_owned()),
        client_id: ClientId::parse("web").unwrap(),
        scope: ScopeSet::parse("items:read").unwrap(),
        iat: NOW,
        exp: LATER,
        jti: Jti::parse(RANDOM_ID).unwrap(),
        sid: None,
        auth_time: None,
        acr: None,
        amr: None,
        roles: None,
    }
}

fn refresh_claims() -> RefreshTokenClaims {
    RefreshTokenClaims {
        iss: ISSUER.to_owned(),
        aud: ISSUER.to_owned(),
        client_id: ClientId::parse("web").unwrap(),
        sid: FamilyId::parse(RANDOM_ID).unwrap(),
        seq: 0,
        jti: Jti::parse(RANDOM_ID).unwrap(),
        iat: NOW,
        exp: LATER,
        scope: ScopeSet::parse("openid items:read").unwrap(),
        resource: None,
        cnf: None,
    }
}

/// A genuine access token and a genuine refresh token of this process, to begin mutating from.
pub fn fuzz_tokens() -> [String; 2] {
    [WORLD.access.clone(), WORLD.refresh.clone()]
}

/// A form is read as the reader below reads it, or refused as there; written anew it reads the same.
pub fn fuzz_form(data: &[u8]) {
    let (form, pairs) = match (Form::parse(data), read_pairs(data)) {
        (Ok(form), Some(pairs)) => (form, pairs),
        (Err(_), None) => return,
        (Ok(_), None) => panic!("a form that should be refused is read"),
        (Err(error), Some(_)) => panic!("a good form is refused: {error}"),
    };
    has(&form, &pairs);
    let written: Vec<String> = pairs
        .iter()
        .rev()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect();
    let written = written.join("&");
    if written.len() <= Form::MAX_BYTES {
        has(&Form::parse(written.as_bytes()).unwrap(), &pairs);
    }
    read_requests(data);
}

fn has(form: &Form, pairs: &BTreeMap<String, String>) {
    for (name, value) in pairs {
        let given = Some(value.as_str()).filter(|value| !value.is_empty());
        assert_eq!(form.get(name), given);
    }
    assert_eq!(form.is_empty(), pairs.values().all(String::is_empty));
}

/// Whatever reads a form keeps its limits.
fn read_requests(data: &[u8]) {
    let form = || Form::parse(data).unwrap();
    if let Ok(TokenRequest::Password {
        username, password, ..
    }) = TokenRequest::parse(&mut form())
    {
        assert!(username.len() <= TokenRequest::MAX_USERNAME_BYTES);
        assert!(password.expose().len() <= TokenRequest::MAX_PASSWORD_BYTES);
    }
    if let Ok(request) = TokenRequest::parse_refresh(&mut form()) {
        assert!(matches!(request, TokenRequest::RefreshToken { .. }));
    }
    if let Ok(inquiry) = TokenInquiry::parse(&mut form()) {
        assert!(!inquiry.token.expose().is_empty());
    }
    let mut rest = form();
    let posted = PostedCredentials::take(&mut rest);
    assert_eq!(posted.client_id.as_deref(), form().get("client_id"));
    assert_eq!(rest.get("client_secret"), None);
}

/// The reading of a form written a second time and another way: none when it must be refused.
fn read_pairs(body: &[u8]) -> Option<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    if body.len() > 64 * 1024 {
        return None;
    }
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at(end);
        let name = unescape(name)?;
        let value = unescape(value.strip_prefix(b"=").unwrap_or_default())?;
        if name.is_empty() || pairs.len() == 64 || pairs.insert(name, value).is_some() {
            return None;
        }
    }
    Some(pairs)
}

fn unescape(mut raw: &[u8]) -> Option<String> {
    let mut bytes = Vec::new();
    while let Some((first, rest)) = raw.split_first() {
        raw = rest;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let (digits, rest) = raw.split_at_checked(2)?;
                raw = rest;
                let digits = str::from_utf8(digits).ok()?;
                let plain = digits.chars().all(|digit| digit.is_ascii_hexdigit());
                u8::from_str_radix(digits, 16).ok().filter(|_| plain)?
            }
            other => *other,
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(|c| c.is_ascii_control())).then_some(text)
}

/// Writes a name or a value of a form, more carefully than needed.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// Credentials that are read are text with a name, and read the same when they are written anew.
pub fn fuzz_basic(data: &[u8]) {
    let Ok(read) = BasicCredentials::parse(data) else {
        return;
    };
    assert!(data.len() <= BasicCredentials::MAX_BYTES);
    assert!(
        data.get(..6)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
    );
    let (id, secret) = (read.client_id.as_str(), read.secret.expose());
    assert!(!id.is_empty());
    assert!(!id.chars().chain(secret.chars()).any(|c| c.is_ascii_control()));
    let pair = format!("{}:{}", escape(id), escape(secret));
    let written = format!("Basic {}", STANDARD.encode(pair));
    if written.len() <= BasicCredentials::MAX_BYTES {
        let again = BasicCredentials::parse(written.as_bytes()).unwrap();
        assert_eq!((again.client_id.as_str(), again.secret.expose()), (id, secret));
    }
}

/// A token that is read has three canonical parts and a plain header, and none verifies but a genuine one.
pub fn fuzz_jws(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(jws) = UnverifiedJws::parse(text) else {
        return;
    };
    assert!(text.len() <= MAX_COMPACT_BYTES);
    let parts: Vec<&str> = text.split('.').collect();
    assert_eq!(parts.len(), 3);
    for part in &parts {
        let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(bytes), *part);
    }
    let header = URL_SAFE_NO_PAD.decode(parts[0]).unwrap();
    let header: Map<String, Value> = serde_json::from_slice(&header).unwrap();
    for (member, value) in &header {
        assert!(["alg", "typ", "kid", "cty"].contains(&member.as_str()));
        assert!(value.is_string());
    }
    assert!(!header["alg"].as_str().unwrap().eq_ignore_ascii_case("none"));
    assert_eq!(header["typ"], jws.typ());
    assert_eq!(header.get("kid").and_then(Value::as_str), jws.kid());

    let world = &*WORLD;
    let kid = |token: &str| UnverifiedJws::parse(token).unwrap().kid().unwrap().to_owned();
    let signing = world.ring.verifying_key(&kid(&world.access), NOW).unwrap();
    if jws.verify(&signing).is_ok() {
        // An ECDSA signature has a twin that verifies too; what is signed has none.
        let signed = |token: &str| token.rsplit_once('.').unwrap().0.to_owned();
        assert_eq!(signed(text), signed(&world.access));
    }
    let mac = world.ring.refresh_mac_verifying(&kid(&world.refresh), NOW);
    if jws.verify(mac.unwrap()).is_ok() {
        assert_eq!(text, world.refresh);
    }
}

/// No text passes for a refresh token but the genuine one: neither `data` as it is, nor the genuine one with what
/// `data` changes in it, three bytes a change: two say where, one which bits.
pub fn fuzz_refresh_token(data: &[u8]) {
    let world = &*WORLD;
    let mut garbled = world.refresh.clone().into_bytes();
    for [high, low, bits] in data.as_chunks::<3>().0 {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % garbled.len();
        // Without its highest bit it stays text.
        garbled[at] ^= bits & 0x7f;
    }
    for text in [String::from_utf8_lossy(data), String::from_utf8_lossy(&garbled)] {
        assert_eq!(world.takes(&text), text == world.refresh);
    }
}
