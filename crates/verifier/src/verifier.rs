//! The checks of an access token in their one order (RFC 9068 section 4, RFC 8725): each line of
//! [`Verifier::check`] has one reason to fail, and passing all of them is the only proof.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use vouchsafe_jose::{Algorithm, JoseError};
use vouchsafe_protocol::{AccessTokenClaims, TYP_ACCESS_TOKEN, Timestamp};

use crate::key_set::KeySource;
use crate::rejection::Rejection;
use crate::revocation_index::RevocationIndex;
use crate::token::{UnverifiedToken, VerifiedToken};

const DEFAULT_LEEWAY: Duration = Duration::from_secs(5);
const DEFAULT_MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A token issued in the second of a revocation carries the next one, so that it is not born dead.
const AHEAD: Duration = Duration::from_secs(1);

/// For whom a token must be; there is no default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedAudience {
    /// `aud` names this resource server, byte for byte.
    Is(String),
    /// `aud` names one of these.
    AnyOf(Vec<String>),
    /// Whatever `aud` names, for the issuer's own introspection alone (RFC 7662): a resource server
    /// that chose this would accept tokens meant for others.
    AnyAudienceOfIssuer,
}

impl ExpectedAudience {
    fn accepts(&self, claims: &AccessTokenClaims) -> bool {
        match self {
            Self::Is(audience) => claims.aud.contains(audience),
            Self::AnyOf(audiences) => audiences.iter().any(|one| claims.aud.contains(one)),
            Self::AnyAudienceOfIssuer => true,
        }
    }
}

/// What a service expects of the tokens it accepts.
#[derive(Clone, Debug)]
pub struct Verifier {
    issuer: String,
    audience: ExpectedAudience,
    leeway: Duration,
    algorithms: Vec<Algorithm>,
    max_lifetime: Duration,
}

/// The one claim of RFC 7519 that our own tokens do not carry but that binds when it is there.
#[derive(Deserialize)]
struct NotBefore {
    #[serde(default, deserialize_with = "present")]
    nbf: Option<Timestamp>,
}

impl Verifier {
    /// Accepts tokens of `issuer` for `audience`, signed by ES256, RS256 or EdDSA, with 5 s of
    /// leeway for clocks and a lifetime of at most 24 h.
    pub fn new(issuer: impl Into<String>, audience: ExpectedAudience) -> Self {
        Self {
            issuer: issuer.into(),
            audience,
            leeway: DEFAULT_LEEWAY,
            algorithms: vec![Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA],
            max_lifetime: DEFAULT_MAX_LIFETIME,
        }
    }

    /// Allows for clocks that differ by this much, in whole seconds.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Accepts these algorithms and no other; a MAC is none for tokens that others verify.
    #[must_use]
    pub fn with_algorithms(mut self, algorithms: impl Into<Vec<Algorithm>>) -> Self {
        self.algorithms = algorithms.into();
        self
    }

    /// Accepts tokens whose `exp` is at most this far from their `iat`, in whole seconds.
    #[must_use]
    pub fn with_max_lifetime(mut self, max_lifetime: Duration) -> Self {
        self.max_lifetime = max_lifetime;
        self
    }

    /// Checks a token at the time `now`.
    ///
    /// # Errors
    /// The [`Rejection`] of the first check that fails.
    pub fn check(
        &self,
        token: &UnverifiedToken<'_>,
        keys: &dyn KeySource,
        revocations: &RevocationIndex,
        now: Timestamp,
    ) -> Result<VerifiedToken, Rejection> {
        ensure(token.typ_is(TYP_ACCESS_TOKEN), Rejection::WrongType)?;
        let kid = token.kid().ok_or(Rejection::MissingKid)?;
        let key = keys.verifying_key(kid).ok_or(Rejection::UnknownKey)?;
        let allowed = self.algorithms.contains(&token.jws().algorithm());
        ensure(allowed, Rejection::WrongAlgorithm)?;
        let payload = token.jws().verify(&key).map_err(|error| match error {
            JoseError::AlgorithmMismatch => Rejection::WrongAlgorithm,
            _ => Rejection::BadSignature,
        })?;

        let claims: AccessTokenClaims = payload.claims().map_err(|_| Rejection::BadClaims)?;
        let not_before: NotBefore = payload.claims().map_err(|_| Rejection::BadClaims)?;
        let names_someone = !claims.sub.is_empty() && claims.aud.iter().next().is_some();
        ensure(names_someone, Rejection::BadClaims)?;

        ensure(claims.iss == self.issuer, Rejection::WrongIssuer)?;
        ensure(self.audience.accepts(&claims), Rejection::WrongAudience)?;

        ensure(now < claims.exp.plus(self.leeway), Rejection::Expired)?;
        let latest = now.plus(self.leeway);
        ensure(claims.iat <= latest.max(now.plus(AHEAD)), Rejection::NotYetValid)?;
        let begun = not_before.nbf.is_none_or(|nbf| nbf <= latest);
        ensure(begun, Rejection::NotYetValid)?;
        ensure(claims.iat < claims.exp, Rejection::BadClaims)?;
        let lifetime = claims.exp.since(claims.iat);
        ensure(lifetime <= self.max_lifetime, Rejection::LifetimeTooLong)?;

        ensure(!revocations.is_revoked(&claims, kid), Rejection::Revoked)?;
        Ok(VerifiedToken::new(claims, kid.to_owned()))
    }
}

fn ensure(holds: bool, otherwise: Rejection) -> Result<(), Rejection> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// A claim that may be absent but, when present, is a time and not `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Timestamp::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ring::hmac;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::{Value, json};
    use vouchsafe_jose::signature::{self, Signer};
    use vouchsafe_jose::{JwtSigner, PublicJwk, VerifyingKey, sign};
    use vouchsafe_protocol::SecretBytes;

    use super::*;
    use crate::{KeySet, RevocationEntry, RevocationKind};

    const ISSUER: &str = "https://issuer.example";
    const AUDIENCE: &str = "https://api.example";
    const NOW: i64 = 1_800_000_000;

    /// An issuer's ES256 key with its published half.
    struct Issuer {
        pair: EcdsaKeyPair,
        jwk: PublicJwk,
    }

    impl Issuer {
        fn new() -> Self {
            let rng = SystemRandom::new();
            let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve, &rng).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(curve, pkcs8.as_ref(), &rng).unwrap();
            let jwk = PublicJwk::ec_p256(pair.public_key().as_ref()).unwrap();
            Self { pair, jwk }
        }

        fn document(&self) -> String {
            json!({"keys": [self.jwk]}).to_string()
        }

        fn keys(&self) -> KeySet {
            KeySet::from_json(self.document().as_bytes()).unwrap()
        }

        fn token(&self, claims: &Value) -> String {
            sign(self, TYP_ACCESS_TOKEN, self.jwk.kid(), claims).unwrap()
        }

        fn check(&self, token: &str) -> Result<VerifiedToken, Rejection> {
            check_with(&verifier(), token, &self.keys(), &RevocationIndex::new())
        }
    }

    impl Signer<Vec<u8>> for Issuer {
        fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
            self.pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| signature::Error::new())
        }
    }

    impl JwtSigner for Issuer {
        fn algorithm(&self) -> Algorithm {
            Algorithm::ES256
        }
    }

    /// A signer that MACs with bytes anybody may know.
    struct Mac(Vec<u8>);

    impl Signer<Vec<u8>> for Mac {
        fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
            Ok(hmac::sign(&key, message).as_ref().to_vec())
        }
    }

    impl JwtSigner for Mac {
        fn algorithm(&self) -> Algorithm {
            Algorithm::HS256
        }
    }

    /// A signer that gives out the same bytes for everything.
    struct Constant(Vec<u8>);

    impl Signer<Vec<u8>> for Constant {
        fn try_sign(&self, _: &[u8]) -> Result<Vec<u8>, signature::Error> {
            Ok(self.0.clone())
        }
    }

    impl JwtSigner for Constant {
        fn algorithm(&self) -> Algorithm {
            Algorithm::ES256
        }
    }

    /// A source that answers every `kid` with one key.
    struct OneKey(Arc<VerifyingKey>);

    impl KeySource for OneKey {
        fn verifying_key(&self, _: &str) -> Option<Arc<VerifyingKey>> {
            Some(Arc::clone(&self.0))
        }
    }

    fn verifier() -> Verifier {
        Verifier::new(ISSUER, ExpectedAudience::Is(AUDIENCE.to_owned()))
    }

    fn check_with(
        verifier: &Verifier,
        token: &str,
        keys: &dyn KeySource,
        revocations: &RevocationIndex,
    ) -> Result<VerifiedToken, Rejection> {
        let token = UnverifiedToken::parse(token)?;
        verifier.check(&token, keys, revocations, Timestamp::from_unix(NOW))
    }

    fn claims() -> Value {
        json!({
            "iss": ISSUER, "sub": "usr_CCCCCCCCCCCCCCCCCCCCCA", "aud": AUDIENCE,
            "client_id": "app", "scope": "openid read", "iat": NOW - 10, "exp": NOW + 290,
            "jti": "AAAAAAAAAAAAAAAAAAAAAA", "sid": "BBBBBBBBBBBBBBBBBBBBBA",
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        let members = claims.as_object_mut().unwrap();
        members.insert(name.to_owned(), value);
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    #[test]
    fn a_good_token_gives_its_claims() {
        let issuer = Issuer::new();
        let token = issuer.check(&issuer.token(&claims())).unwrap();
        assert_eq!(token.kid(), issuer.jwk.kid());
        assert_eq!(token.claims().client_id.as_str(), "app");
        assert!(token.has_scope("read") && token.has_scope("openid"));
        assert!(!token.has_scope("rea") && !token.has_scope("") && !token.has_scope("openid read"));

        let unknown_member = with("https://example.org/x", json!([1]));
        assert!(issuer.check(&issuer.token(&unknown_member)).is_ok());
        assert!(issuer.check(&issuer.token(&without("sid"))).is_ok());
    }

    #[test]
    fn j01_forged_signatures_and_algorithms_are_refused() {
        let issuer = Issuer::new();
        let kid = issuer.jwk.kid();
        let check = |signer: &dyn JwtSigner| {
            let token = sign(signer, TYP_ACCESS_TOKEN, kid, &claims()).unwrap();
            issuer.check(&token).unwrap_err()
        };
        assert_eq!(check(&Issuer::new()), Rejection::BadSignature);
        assert_eq!(check(&Constant(vec![0; 64])), Rejection::BadSignature);
        assert_eq!(check(&Constant(vec![0])), Rejection::BadSignature);
        assert_eq!(check(&Constant(Vec::new())), Rejection::Malformed);
        let document = issuer.document().into_bytes();
        assert_eq!(check(&Mac(document)), Rejection::WrongAlgorithm);
        let point = issuer.pair.public_key().as_ref().to_vec();
        assert_eq!(check(&Mac(point)), Rejection::WrongAlgorithm);

        // {"typ":"at+jwt","alg":A,"kid":"k"} for A in none, None, nOnE.
        for header in [
            "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJub25lIiwia2lkIjoiayJ9",
            "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJOb25lIiwia2lkIjoiayJ9",
            "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJuT25FIiwia2lkIjoiayJ9",
        ] {
            let unsigned = issuer.check(&format!("{header}.e30."));
            assert_eq!(unsigned.unwrap_err(), Rejection::Malformed);
            let signed = issuer.check(&format!("{header}.e30.AQ"));
            assert_eq!(signed.unwrap_err(), Rejection::WrongAlgorithm);
        }
    }

    #[test]
    fn j01_a_mac_key_in_the_source_is_of_no_use() {
        let secret = vec![7; 32];
        let key = VerifyingKey::hmac_sha256("k1", &SecretBytes::new(secret.clone()));
        let keys = OneKey(Arc::new(key));
        let token = sign(&Mac(secret), TYP_ACCESS_TOKEN, "k1", &claims()).unwrap();
        let none = RevocationIndex::new();
        let refused = check_with(&verifier(), &token, &keys, &none);
        assert_eq!(refused.unwrap_err(), Rejection::WrongAlgorithm);

        let issuer = Issuer::new();
        let refused = check_with(&verifier(), &issuer.token(&claims()), &keys, &none);
        assert_eq!(refused.unwrap_err(), Rejection::WrongAlgorithm);
        let only_eddsa = verifier().with_algorithms([Algorithm::EdDSA]);
        let refused = check_with(&only_eddsa, &issuer.token(&claims()), &issuer.keys(), &none);
        assert_eq!(refused.unwrap_err(), Rejection::WrongAlgorithm);
    }

    #[test]
    fn j02_the_kid_decides_and_must_be_known() {
        let issuer = Issuer::new();
        for kid in ["other", "../../etc/passwd", "' OR 1=1", "k\u{e9}"] {
            let token = sign(&issuer, TYP_ACCESS_TOKEN, kid, &claims()).unwrap();
            let refused = issuer.check(&token).unwrap_err();
            let plain = kid.bytes().all(|byte| byte.is_ascii_graphic());
            let expected = if plain {
                Rejection::UnknownKey
            } else {
                Rejection::Malformed
            };
            assert_eq!(refused, expected, "{kid}");
        }
        // {"typ":"at+jwt","alg":"ES256"}
        let anonymous = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiJ9.e30.AQ";
        assert_eq!(issuer.check(anonymous).unwrap_err(), Rejection::MissingKid);

        let other = Issuer::new();
        let foreign = other.token(&claims());
        assert_eq!(issuer.check(&foreign).unwrap_err(), Rejection::UnknownKey);
    }

    #[test]
    fn j02_a_key_of_another_issuer_does_not_speak_for_this_one() {
        let other = Issuer::new();
        for iss in [
            "https://other.example",
            "https://issuer.example/",
            "https://ISSUER.example",
            "https://issuer.example ",
            "",
        ] {
            let token = other.token(&with("iss", json!(iss)));
            assert_eq!(other.check(&token).unwrap_err(), Rejection::WrongIssuer, "{iss}");
        }
    }

    #[test]
    fn j03_only_access_tokens_are_access_tokens() {
        let issuer = Issuer::new();
        for (typ, accepted) in [
            ("at+jwt", true),
            ("AT+jwt", true),
            ("application/at+jwt", true),
            ("rt+jwt", false),
            ("JWT", false),
            ("jwt", false),
            ("logout+jwt", false),
            ("at+jwt2", false),
            ("", false),
        ] {
            let token = sign(&issuer, typ, issuer.jwk.kid(), &claims()).unwrap();
            let expected = if accepted {
                None
            } else {
                Some(Rejection::WrongType)
            };
            assert_eq!(issuer.check(&token).err(), expected, "{typ}");
        }
        // {"alg":"ES256","kid":"k"}
        let untyped = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.e30.AQ";
        assert_eq!(issuer.check(untyped).unwrap_err(), Rejection::WrongType);
    }

    #[test]
    fn j04_required_claims_are_there_and_of_their_type() {
        let issuer = Issuer::new();
        let refused = |claims: &Value| issuer.check(&issuer.token(claims)).err();
        for name in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"] {
            assert_eq!(refused(&without(name)), Some(Rejection::BadClaims), "{name}");
            for value in [
                json!(null),
                json!(true),
                json!({}),
                json!([]),
                json!([5]),
                json!([null]),
                json!({"iss": ISSUER}),
                json!(1.5),
                json!(-1),
            ] {
                let wrong = with(name, value.clone());
                assert_eq!(refused(&wrong), Some(Rejection::BadClaims), "{name} {value}");
            }
        }
        for (name, value) in [
            ("iss", json!([ISSUER])),
            ("iss", json!(5)),
            ("sub", json!(5)),
            ("sub", json!("")),
            ("aud", json!(5)),
            ("aud", json!([AUDIENCE, 5])),
            ("client_id", json!("")),
            ("client_id", json!(["app"])),
            ("exp", json!((NOW + 290).to_string())),
            ("iat", json!(NOW.to_string())),
            ("nbf", json!(null)),
            ("nbf", json!(NOW.to_string())),
            ("sid", json!(null)),
            ("scope", json!(["read"])),
        ] {
            let wrong = with(name, value.clone());
            assert_eq!(refused(&wrong), Some(Rejection::BadClaims), "{name} {value}");
        }
        assert_eq!(refused(&json!([])), Some(Rejection::BadClaims));
        assert_eq!(refused(&json!("claims")), Some(Rejection::BadClaims));
    }

    #[test]
    fn the_audience_is_the_expected_one() {
        let issuer = Issuer::new();
        let is = ExpectedAudience::Is(AUDIENCE.to_owned());
        let any = ExpectedAudience::AnyOf(vec!["https://b.example".to_owned(), AUDIENCE.to_owned()]);
        let none = ExpectedAudience::AnyOf(Vec::new());
        let issuers = ExpectedAudience::AnyAudienceOfIssuer;
        for (expected, aud, accepted) in [
            (&is, json!(AUDIENCE), true),
            (&is, json!([AUDIENCE]), true),
            (&is, json!(["https://b.example", AUDIENCE]), true),
            (&is, json!("https://b.example"), false),
            (&is, json!("https://api.example/"), false),
            (&is, json!("https://API.example"), false),
            (&is, json!("https://api.example https://b.example"), false),
            (&any, json!("https://b.example"), true),
            (&any, json!(AUDIENCE), true),
            (&any, json!("https://c.example"), false),
            (&none, json!(AUDIENCE), false),
            (&issuers, json!("https://c.example"), true),
        ] {
            let verifier = Verifier::new(ISSUER, expected.clone());
            let token = issuer.token(&with("aud", aud.clone()));
            let none = RevocationIndex::new();
            let checked = check_with(&verifier, &token, &issuer.keys(), &none);
            let rejection = if accepted {
                None
            } else {
                Some(Rejection::WrongAudience)
            };
            assert_eq!(checked.err(), rejection, "{expected:?} {aud}");
        }
        let elsewhere = Verifier::new("https://other.example", issuers);
        let none = RevocationIndex::new();
        let checked = check_with(&elsewhere, &issuer.token(&claims()), &issuer.keys(), &none);
        assert_eq!(checked.unwrap_err(), Rejection::WrongIssuer);
    }

    #[test]
    fn j06_times_are_held_to_the_second() {
        use Rejection::{BadClaims, Expired, LifetimeTooLong, NotYetValid};
        let issuer = Issuer::new();
        let day = 24 * 60 * 60;
        for (iat, exp, nbf, leeway, expected) in [
            (NOW - 10, NOW + 1, None, 0, None),
            (NOW - 10, NOW, None, 0, Some(Expired)),
            (NOW - 10, NOW - 1, None, 0, Some(Expired)),
            (NOW - 10, NOW - 4, None, 5, None),
            (NOW - 10, NOW - 5, None, 5, Some(Expired)),
            (NOW, NOW + 10, None, 0, None),
            (NOW + 1, NOW + 10, None, 0, None),
            (NOW + 2, NOW + 10, None, 0, Some(NotYetValid)),
            (NOW + 5, NOW + 10, None, 5, None),
            (NOW + 6, NOW + 10, None, 5, Some(NotYetValid)),
            (NOW + 600, NOW + 900, None, 5, Some(NotYetValid)),
            (NOW, NOW + 10, Some(NOW), 0, None),
            (NOW, NOW + 10, Some(NOW + 1), 0, Some(NotYetValid)),
            (NOW, NOW + 10, Some(NOW + 5), 5, None),
            (NOW, NOW + 10, Some(NOW + 600), 5, Some(NotYetValid)),
            (NOW, NOW + 10, Some(0), 5, None),
            (NOW + 3, NOW + 3, None, 5, Some(BadClaims)),
            (NOW + 4, NOW + 3, None, 5, Some(BadClaims)),
            (NOW, NOW + day, None, 5, None),
            (NOW, NOW + day + 1, None, 5, Some(LifetimeTooLong)),
            (NOW - 5 * day, NOW + 10, None, 5, Some(LifetimeTooLong)),
            (NOW, 253_402_300_799, None, 5, Some(LifetimeTooLong)),
        ] {
            let mut claims = with("iat", json!(iat));
            let members = claims.as_object_mut().unwrap();
            members.insert("exp".to_owned(), json!(exp));
            if let Some(nbf) = nbf {
                members.insert("nbf".to_owned(), json!(nbf));
            }
            let verifier = verifier().with_leeway(Duration::from_secs(leeway));
            let token = issuer.token(&claims);
            let none = RevocationIndex::new();
            let checked = check_with(&verifier, &token, &issuer.keys(), &none);
            assert_eq!(checked.err(), expected, "{claims} leeway {leeway}");
        }
        let short = verifier().with_max_lifetime(Duration::from_secs(299));
        let none = RevocationIndex::new();
        let checked = check_with(&short, &issuer.token(&claims()), &issuer.keys(), &none);
        assert_eq!(checked.unwrap_err(), LifetimeTooLong);
    }

    #[test]
    fn j06_numbers_that_are_no_time_are_refused() {
        let issuer = Issuer::new();
        for name in ["exp", "iat", "nbf"] {
            for value in [
                json!(u64::MAX),
                json!(i64::MAX),
                json!(i64::MIN),
                json!(-1),
                json!(253_402_300_800_i64),
                json!(1e300),
                json!(1.8e9),
            ] {
                let token = issuer.token(&with(name, value.clone()));
                let refused = issuer.check(&token).err();
                assert_eq!(refused, Some(Rejection::BadClaims), "{name} {value}");
            }
        }
    }

    #[test]
    fn j02_what_is_revoked_is_refused() {
        let issuer = Issuer::new();
        let token = issuer.token(&claims());
        for (kind, key) in [
            (RevocationKind::Session, "BBBBBBBBBBBBBBBBBBBBBA"),
            (RevocationKind::Subject, "usr_CCCCCCCCCCCCCCCCCCCCCA"),
            (RevocationKind::Client, "app"),
            (RevocationKind::Jti, "AAAAAAAAAAAAAAAAAAAAAA"),
            (RevocationKind::Kid, issuer.jwk.kid()),
            (RevocationKind::All, ""),
        ] {
            let mut revocations = RevocationIndex::new();
            revocations.apply(&RevocationEntry {
                n: 1,
                kind,
                key: key.to_owned(),
                not_before: Timestamp::from_unix(NOW - 10),
                expires: Timestamp::from_unix(NOW + 600),
            });
            let checked = check_with(&verifier(), &token, &issuer.keys(), &revocations);
            assert_eq!(checked.unwrap_err(), Rejection::Revoked, "{kind}");
        }
    }

    #[test]
    fn j01_any_changed_character_is_noticed() {
        let issuer = Issuer::new();
        let token = issuer.token(&claims());
        for (index, old) in token.char_indices() {
            let mut changed = token.clone();
            changed.replace_range(index..=index, if old == 'A' { "B" } else { "A" });
            assert!(issuer.check(&changed).is_err(), "position {index}");
        }
    }

    #[test]
    fn t12_headers_that_bring_a_key_are_malformed() {
        for header in [
            // {"typ":"at+jwt","alg":"ES256","kid":"k","jwk":{}}
            "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiIsImtpZCI6ImsiLCJqd2siOnt9fQ",
            // {"typ":"at+jwt","alg":"ES256","kid":"k","crit":["exp"]}
            "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiIsImtpZCI6ImsiLCJjcml0IjpbImV4cCJdfQ",
        ] {
            let token = format!("{header}.e30.AQ");
            let refused = UnverifiedToken::parse(&token).unwrap_err();
            assert_eq!(refused, Rejection::Malformed);
        }
    }
}
