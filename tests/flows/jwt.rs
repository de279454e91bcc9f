//! Tokens that nobody may accept, at every endpoint that reads tokens: each is right but for one thing, and most are
//! signed by the issuer's own key.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it is")]

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value, json};
use vouchsafe_keys::{KeyPolicy, KeyRecord, KeyRing, MasterKey, SealedKey};
use vouchsafe_protocol::{Kid, SigningAlgorithm, Timestamp};
use vouchsafe_store::KeyRow;
use vouchsafe_tests::{Answer, Setup, TestApp, TestClient};

/// The master key of these tests, known here so that they can sign as the issuer does.
const MASTER_KEY: &str = "8UB7hEqCYqkFV3ga/kMSidQUWOHY4O9xUw5u2sXSBD0=";
const BASE64URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const DAY: Duration = Duration::from_secs(86_400);

async fn start() -> TestApp {
    Setup::default().set("keys.master_key", MASTER_KEY).start().await
}

/// Signs and MACs with the keys of an application as they were when it was made.
struct Forger {
    ring: KeyRing,
    now: Timestamp,
}

impl Forger {
    async fn of(app: &TestApp) -> Self {
        let (rows, _) = app.inside().store().keys().await.unwrap();
        let records: Vec<KeyRecord> = rows.into_iter().map(record).collect();
        let master = MasterKey::parse(MASTER_KEY).unwrap();
        let (policy, now) = (KeyPolicy::default(), app.now());
        let ring = KeyRing::open(&records, &master, &policy, now).unwrap();
        Self { ring, now }
    }

    fn sign(&self, typ: &str, claims: &impl Serialize) -> String {
        let signer = self.ring.signer(SigningAlgorithm::Es256, self.now).unwrap();
        signer.sign(typ, claims).unwrap()
    }

    fn mac(&self, typ: &str, claims: &impl Serialize) -> String {
        let signer = self.ring.refresh_mac(self.now).unwrap();
        signer.sign(typ, claims).unwrap()
    }
}

fn record(row: KeyRow) -> KeyRecord {
    let sealed = row.sealed.zip(row.sealed_by);
    KeyRecord {
        algorithm: row.algorithm.parse().unwrap(),
        purpose: row.purpose.parse().unwrap(),
        public_jwk: row.public_jwk.map(|text| serde_json::from_str(&text).unwrap()),
        sealed: sealed.map(|(nonce_and_ciphertext, master_id)| SealedKey {
            master_id,
            nonce_and_ciphertext,
        }),
        published_at: row.published_at,
        activates_at: row.activates_at,
        deactivates_at: row.deactivates_at,
        compromised_at: row.compromised_at,
        kid: row.kid,
    }
}

/// A compact form of anything.
fn compact(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let input = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = sign(input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn mac_with(key: &[u8]) -> impl FnOnce(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    move |input| hmac::sign(&key, input).as_ref().to_vec()
}

/// The signature of somebody with a key of their own.
fn by_a_stranger(input: &[u8]) -> Vec<u8> {
    let (random, curve) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(curve, pkcs8.as_ref(), &random).unwrap();
    pair.sign(&random, input).unwrap().as_ref().to_vec()
}

fn header_of(token: &str) -> Value {
    let header = token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

fn with(claims: &Value, changes: &[(&str, Value)]) -> Value {
    let mut claims = claims.clone();
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes {
        members.insert((*name).to_owned(), value.clone());
    }
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name).unwrap();
    claims
}

/// Claims in which one member comes a second time.
struct Twice<'a> {
    claims: &'a Value,
    name: &'a str,
    second: &'a str,
}

impl Serialize for Twice<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.claims.as_object().into_iter().flatten() {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry(self.name, self.second)?;
        map.end()
    }
}

/// The same bytes to a careless decoder: the bits that the last character has to spare are not zero.
fn loosely_encoded(token: &str) -> String {
    let (rest, last) = token.split_at(token.len() - 1);
    let next = BASE64URL.find(last).unwrap() + 1;
    format!("{rest}{}", BASE64URL.chars().nth(next).unwrap())
}

/// What a token of this type may be turned into by somebody who has it and the key set, but no key.
fn forgeries(token: &str, claims: &Value, jwks: &Answer) -> Vec<(String, String)> {
    let header = header_of(token);
    let headed = |alg: &str| with(&header, &[("alg", json!(alg))]);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let genuine = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut forged = Vec::new();
    for alg in ["none", "None", "nOnE", "NONE", "", "HS512", "es256"] {
        for signature in [Vec::new(), vec![0], vec![0; 64], genuine.clone()] {
            let what = format!("alg {alg:?}, signature of {} bytes", signature.len());
            forged.push((what, compact(&headed(alg), claims, |_| signature)));
        }
    }
    for alg in ["ES256", "ES384", "RS256", "PS256", "EdDSA", "HS256"] {
        for length in [1, 32, 64, 96, 256] {
            let what = format!("{alg} of {length} zeros");
            forged.push((what, compact(&headed(alg), claims, |_| vec![0; length])));
        }
        let token = compact(&headed(alg), claims, by_a_stranger);
        forged.push((format!("{alg} by a stranger"), token));
    }
    let keys = jwks.json.get("keys").and_then(Value::as_array).unwrap();
    let own = keys.iter().find(|key| key.get("kid") == header.get("kid"));
    let jwk = own.or(keys.first()).unwrap();
    let x = jwk.get("x").and_then(Value::as_str).unwrap();
    let kid = header.get("kid").and_then(Value::as_str).unwrap();
    let (written, point) = (jwk.to_string(), URL_SAFE_NO_PAD.decode(x).unwrap());
    let known: [&[u8]; 6] = [
        jwks.text.as_bytes(),
        written.as_bytes(),
        x.as_bytes(),
        &point,
        kid.as_bytes(),
        b"",
    ];
    for (at, key) in known.into_iter().enumerate() {
        let token = compact(&headed("HS256"), claims, mac_with(key));
        forged.push((format!("HS256 with public text {at}"), token));
    }
    let wider = with(claims, &[("scope", json!("openid items:read items:write"))]);
    let another = with(&header, &[("kid", json!("another"))]);
    for (what, token) in [
        ("another payload", compact(&header, &wider, |_| genuine.clone())),
        ("another kid", compact(&another, claims, |_| genuine.clone())),
        ("no kid", compact(&without(&header, "kid"), claims, by_a_stranger)),
        ("no typ", compact(&without(&header, "typ"), claims, by_a_stranger)),
        ("no signature", signed.to_owned()),
        ("an empty signature", format!("{signed}.")),
        ("a fourth part", format!("{token}.AA")),
        ("padding", format!("{token}=")),
        ("a space", format!(" {token}")),
        ("loose base64", loosely_encoded(token)),
    ] {
        forged.push((what.to_owned(), token));
    }
    forged
}

async fn jwks(app: &TestApp) -> Answer {
    let request = app.http.get(format!("{}/.well-known/jwks.json", app.base));
    Answer::read(request.send().await.unwrap()).await
}

/// A client that holds tokens of a person.
async fn signed_in(app: &TestApp) -> (TestClient<'_>, Answer) {
    app.user("alice", &[]).await;
    let web = app.client("web", "openid items:read").await;
    let grant = web.sign_in("alice").await;
    (web, grant)
}

/// Is nothing at introspection, and nothing to refresh with or to revoke by.
async fn assert_worthless(client: &TestClient<'_>, token: &str, what: &str) {
    assert_inactive(client, token, what).await;
    let refreshed = client.refresh(token).await;
    assert_eq!(refreshed.outcome(), "400 invalid_grant malformed_token", "{what}");
    let revoked = client.revoke(token).await;
    assert_eq!((revoked.status, revoked.text.as_str()), (200, ""), "{what}");
}

async fn assert_inactive(client: &TestClient<'_>, token: &str, what: &str) {
    let answer = client.introspect(token).await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (200, r#"{"active":false}"#),
        "{what}"
    );
}

/// The forgeries left the true tokens as they were.
async fn assert_untouched(client: &TestClient<'_>, grant: &Answer) {
    assert!(client.is_active(grant.str("access_token")).await);
    assert!(client.is_active(grant.str("refresh_token")).await);
    let refreshed = client.refresh(grant.str("refresh_token")).await;
    assert_eq!(refreshed.outcome(), "200");
    assert_eq!(refreshed.refresh_claims().get("seq"), Some(&json!(1)));
}

#[tokio::test]
async fn j01_forged_signatures_and_algorithms_are_worthless() {
    let app = start().await;
    let (web, grant) = signed_in(&app).await;
    let jwks = jwks(&app).await;
    for (token, claims) in [
        (grant.str("access_token"), grant.claims()),
        (grant.str("refresh_token"), grant.refresh_claims()),
    ] {
        for (what, forged) in forgeries(token, &claims, &jwks) {
            assert_ne!(forged, token);
            assert_worthless(&web, &forged, &what).await;
        }
    }
    assert_untouched(&web, &grant).await;
}

#[tokio::test]
async fn j02_only_keys_that_this_issuer_trusts_now_verify() {
    let app = start().await;
    let web = app.client("web", "items:read").await;
    let grant = web.credentials().await;
    let forger = Forger::of(&app).await;
    let lately = || {
        let now = app.now().as_unix();
        with(&grant.claims(), &[("iat", json!(now)), ("exp", json!(now + 300))])
    };
    assert!(web.is_active(&forger.sign("at+jwt", &lately())).await);
    let stranger = Forger::of(&start().await).await;
    let foreign = stranger.sign("at+jwt", &lately());
    assert_worthless(&web, &foreign, "the key of another issuer").await;
    for kid in [
        "../../etc/passwd",
        "' OR 1=1 --",
        "",
        "x",
        "k".repeat(300).as_str(),
    ] {
        let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": kid});
        let forged = compact(&header, &lately(), by_a_stranger);
        assert_worthless(&web, &forged, kid).await;
    }
    // Verify-only from day 30 on, retired from day 37 on, whoever still has the private key.
    app.advance(DAY * 37 - Duration::from_secs(1)).await;
    assert!(web.is_active(&forger.sign("at+jwt", &lately())).await);
    app.advance(Duration::from_secs(1)).await;
    assert_inactive(&web, &forger.sign("at+jwt", &lately()), "a retired key").await;
    assert!(web.is_active(web.credentials().await.str("access_token")).await);
}

#[tokio::test]
async fn j02_a_revoked_key_verifies_nothing_even_when_the_log_has_forgotten_it() {
    let app = start().await;
    let web = app.client("web", "items:read").await;
    let grant = web.credentials().await;
    let forger = Forger::of(&app).await;
    let lately = || {
        let now = app.now().as_unix();
        with(&grant.claims(), &[("iat", json!(now)), ("exp", json!(now + 300))])
    };
    let header = header_of(grant.str("access_token"));
    let kid = Kid::parse(header["kid"].as_str().unwrap()).unwrap();
    assert!(web.is_active(&forger.sign("at+jwt", &lately())).await);
    app.inside().revoke_key(&kid, &TestApp::operator()).await.unwrap();
    assert_inactive(&web, &forger.sign("at+jwt", &lately()), "at once").await;
    app.advance(DAY * 2).await;
    let swept = app.inside().sweep(100).await.unwrap();
    assert_eq!(swept.revocations, 1);
    // The next revocation makes memory forget it too.
    let other = web.credentials().await;
    assert_eq!(web.revoke(other.str("access_token")).await.status, 200);
    assert_inactive(&web, &forger.sign("at+jwt", &lately()), "after two days").await;
    assert!(web.is_active(web.credentials().await.str("access_token")).await);
}

#[tokio::test]
async fn j03_a_type_is_what_it_says_and_nothing_else() {
    let app = start().await;
    let (web, grant) = signed_in(&app).await;
    let forger = Forger::of(&app).await;
    let claims = grant.claims();
    // RFC 9068 4 takes both.
    for typ in ["at+jwt", "application/at+jwt"] {
        assert!(web.is_active(&forger.sign(typ, &claims)).await, "{typ}");
    }
    for typ in [
        "",
        "JWT",
        "jwt",
        "at",
        "at+jwt ",
        "at-jwt",
        "x/at+jwt",
        "at+jwt+x",
        "id_token",
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
    ] {
        assert_worthless(&web, &forger.sign(typ, &claims), typ).await;
    }
    let id_token = json!({
        "iss": app.issuer,
        "sub": claims["sub"],
        "aud": "web",
        "azp": "web",
        "iat": claims["iat"],
        "exp": claims["exp"],
        "auth_time": claims["auth_time"],
        "nonce": "n-0S6_WzA2Mj",
        "sid": claims["sid"],
    });
    let logout_token = json!({
        "iss": app.issuer,
        "sub": claims["sub"],
        "aud": "web",
        "iat": claims["iat"],
        "exp": claims["exp"],
        "jti": claims["jti"],
        "sid": claims["sid"],
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    for (what, other) in [("an ID token", id_token), ("a logout token", logout_token)] {
        for typ in ["JWT", "at+jwt", "rt+jwt"] {
            assert_worthless(&web, &forger.sign(typ, &other), what).await;
        }
    }
    assert_untouched(&web, &grant).await;
}

#[tokio::test]
async fn j03_k11_an_access_token_is_no_refresh_token_and_the_other_way_round() {
    let app = start().await;
    let (web, grant) = signed_in(&app).await;
    let forger = Forger::of(&app).await;
    let (access, refresh) = (grant.claims(), grant.refresh_claims());
    // What forger makes by the rules is as good as the real thing.
    assert!(web.is_active(&forger.sign("at+jwt", &access)).await);
    assert!(web.is_active(&forger.mac("rt+jwt", &refresh)).await);
    for (what, token) in [
        (
            "a refresh token called an access token",
            forger.mac("at+jwt", &refresh),
        ),
        ("access claims under the MAC key", forger.mac("at+jwt", &access)),
        ("access claims in a refresh token", forger.mac("rt+jwt", &access)),
        (
            "a refresh token under the signing key",
            forger.sign("rt+jwt", &refresh),
        ),
        (
            "refresh claims in an access token",
            forger.sign("at+jwt", &refresh),
        ),
        (
            "an access token called a refresh token",
            forger.sign("rt+jwt", &access),
        ),
    ] {
        assert_worthless(&web, &token, what).await;
    }
    let refreshed = web.refresh(grant.str("access_token")).await;
    assert_eq!(refreshed.outcome(), "400 invalid_grant malformed_token");
    assert_untouched(&web, &grant).await;
}

#[tokio::test]
async fn j04_claims_that_are_missing_or_of_another_kind_are_worthless() {
    let app = start().await;
    let (web, grant) = signed_in(&app).await;
    let forger = Forger::of(&app).await;
    let claims = grant.claims();
    let issuer = app.issuer.as_str();
    let mut cases: Vec<(String, Value)> = Vec::new();
    for name in ["iss", "aud", "sub", "exp", "iat", "jti", "client_id", "scope"] {
        cases.push((format!("no {name}"), without(&claims, name)));
        for value in [
            json!(null),
            json!(true),
            json!(7),
            json!(1.5),
            json!({}),
            json!([]),
        ] {
            cases.push((format!("{name} {value}"), with(&claims, &[(name, value)])));
        }
    }
    for (name, value) in [
        ("iss", json!([issuer])),
        ("iss", json!("")),
        ("iss", json!(format!("{issuer}/"))),
        ("iss", json!(issuer.to_uppercase())),
        ("iss", json!("https://other.example")),
        ("sub", json!("")),
        ("sub", json!([claims["sub"]])),
        ("aud", json!([issuer, 7])),
        ("exp", json!(claims["exp"].to_string())),
        ("jti", json!("short")),
        ("sid", json!(null)),
        ("sid", json!(7)),
        ("roles", json!("admin")),
    ] {
        cases.push((format!("{name} {value}"), with(&claims, &[(name, value)])));
    }
    for (what, claims) in &cases {
        assert_inactive(&web, &forger.sign("at+jwt", claims), what).await;
    }
    for (name, second) in [("iss", issuer), ("sub", "somebody"), ("scope", "items:write")] {
        let twice = Twice {
            claims: &claims,
            name,
            second,
        };
        assert_inactive(&web, &forger.sign("at+jwt", &twice), name).await;
    }
    // Members that nobody knows harm nobody.
    let more = with(&claims, &[("more", json!({"a": [1, null]}))]);
    assert!(web.is_active(&forger.sign("at+jwt", &more)).await);
    assert_untouched(&web, &grant).await;
}

#[tokio::test]
async fn j04_j06_the_claims_of_a_refresh_token_are_as_strict() {
    let app = start().await;
    let (web, grant) = signed_in(&app).await;
    let forger = Forger::of(&app).await;
    let claims = grant.refresh_claims();
    let mut cases: Vec<(String, Value)> = Vec::new();
    for name in [
        "iss",
        "aud",
        "client_id",
        "sid",
        "seq",
        "jti",
        "iat",
        "exp",
        "scope",
    ] {
        cases.push((format!("no {name}"), without(&claims, name)));
        for value in [json!(null), json!(true), json!(1.5), json!({}), json!([])] {
            cases.push((format!("{name} {value}"), with(&claims, &[(name, value)])));
        }
    }
    for (name, value) in [
        ("iss", json!("https://other.example")),
        ("aud", json!("https://other.example")),
        ("aud", json!([app.issuer])),
        ("seq", json!(-1)),
        ("seq", json!("0")),
        ("exp", json!(u64::MAX)),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("resource", json!(null)),
    ] {
        cases.push((format!("{name} {value}"), with(&claims, &[(name, value)])));
    }
    for (what, claims) in &cases {
        assert_worthless(&web, &forger.mac("rt+jwt", claims), what).await;
    }
    let twice = Twice {
        claims: &claims,
        name: "scope",
        second: "openid items:read items:write",
    };
    assert_worthless(&web, &forger.mac("rt+jwt", &twice), "two scopes").await;
    assert_untouched(&web, &grant).await;
}

#[tokio::test]
async fn j06_times_have_no_leeway_here_and_no_way_round_the_longest_life() {
    let app = start().await;
    let (web, grant) = signed_in(&app).await;
    let forger = Forger::of(&app).await;
    let claims = grant.claims();
    let now = app.now().as_unix();
    assert_eq!(claims["iat"], now);
    let cases: Vec<(Vec<(&str, Value)>, bool)> = vec![
        (vec![], true),
        (vec![("exp", json!(now + 1))], true),
        (vec![("exp", json!(now))], false),
        (vec![("iat", json!(now - 300)), ("exp", json!(now - 1))], false),
        (vec![("exp", json!(now + 86_400))], true),
        (vec![("exp", json!(now + 86_401))], false),
        (vec![("exp", json!(253_402_300_799_i64))], false),
        (vec![("exp", json!(253_402_300_800_i64))], false),
        (vec![("exp", json!(u64::MAX))], false),
        (vec![("exp", json!(1e300))], false),
        (vec![("exp", json!(-1))], false),
        (vec![("exp", json!(now as f64 + 300.0))], false),
        // One second ahead is what a revocation of this second makes of a token.
        (vec![("iat", json!(now + 1))], true),
        (vec![("iat", json!(now + 2))], false),
        (vec![("iat", json!(now + 600)), ("exp", json!(now + 900))], false),
        (vec![("iat", json!(now + 300))], false),
        (vec![("iat", json!(-1))], false),
        (vec![("iat", json!(now as f64))], false),
        (vec![("nbf", json!(now))], true),
        (vec![("nbf", json!(now + 1))], false),
        (vec![("nbf", json!(now + 600))], false),
        (vec![("nbf", json!(null))], false),
        (vec![("nbf", json!("soon"))], false),
        (vec![("auth_time", json!(-1))], false),
    ];
    for (changes, live) in &cases {
        let token = forger.sign("at+jwt", &with(&claims, changes));
        assert_eq!(web.is_active(&token).await, *live, "{changes:?}");
    }
}

#[tokio::test]
async fn j09_no_two_tokens_of_one_second_have_a_name_in_common() {
    let app = start().await;
    let (web, grant) = signed_in(&app).await;
    let answers = join_all((0..64).map(|_| web.credentials())).await;
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut add = |claims: Value, member: &str| {
        let name = claims[member].as_str().unwrap().to_owned();
        // 128 bits in base64url.
        assert_eq!(URL_SAFE_NO_PAD.decode(&name).unwrap().len(), 16, "{name}");
        assert!(names.insert(name.clone()), "{name} twice");
    };
    for answer in &answers {
        add(answer.claims(), "jti");
    }
    for person in [web.sign_in("alice").await, grant] {
        add(person.claims(), "jti");
        add(person.refresh_claims(), "jti");
        add(person.claims(), "sid");
    }
    assert_eq!(names.len(), 70);
}
