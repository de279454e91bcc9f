//! Public keys as JWKs (RFC 7517, RFC 7518 section 6, RFC 8037): what is read is judged at once,
//! and there is no place in which a private member could be kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use ring::digest;
use ring::signature::ED25519_PUBLIC_KEY_LEN;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::JoseError;
use crate::provider::P256_POINT_BYTES;

/// The members that only a private or symmetric key has (RFC 7518 sections 6.2.2, 6.3.2, 6.4).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

const P256_COORDINATE_BYTES: usize = 32;
const P384_COORDINATE_BYTES: usize = 48;
const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;

/// ring reads public exponents of up to 33 bits.
const MAX_RSA_EXPONENT_BYTES: usize = 5;

/// The longest `kid` that is read, in bytes.
const MAX_KID_BYTES: usize = 256;

/// The numbers of a public key, each of the right size for its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Material {
    P256 { x: Vec<u8>, y: Vec<u8> },
    P384 { x: Vec<u8>, y: Vec<u8> },
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ed25519 { x: Vec<u8> },
}

/// A public signature key with its `kid` and its one algorithm.
///
/// Kinds: EC on P-256 (ES256) and P-384 (ES384), RSA of 2048 to 8192 bits (RS256, PS256), and
/// Ed25519 (EdDSA). Reading one ignores unknown members and refuses private ones, another `use`
/// than `sig`, a missing `kid`, and an `alg` that does not fit; only an RSA key needs an `alg`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct PublicJwk {
    material: Material,
    algorithm: Algorithm,
    kid: String,
}

impl PublicJwk {
    /// An ES256 key from its uncompressed point (65 bytes); its `kid` is its thumbprint.
    ///
    /// # Errors
    /// [`JoseError::Key`] when `point` is not of that form.
    pub fn ec_p256(point: &[u8]) -> Result<Self, JoseError> {
        let coordinates = match point.split_first() {
            Some((0x04, coordinates)) if point.len() == P256_POINT_BYTES => coordinates,
            _ => return Err(JoseError::Key),
        };
        let (x, y) = coordinates
            .split_at_checked(P256_COORDINATE_BYTES)
            .ok_or(JoseError::Key)?;
        let material = Material::P256 {
            x: x.to_vec(),
            y: y.to_vec(),
        };
        Ok(Self::named_by_thumbprint(material, Algorithm::ES256))
    }

    /// An RS256 key from modulus and exponent, big-endian; its `kid` is its thumbprint.
    ///
    /// # Errors
    /// [`JoseError::Key`] when the modulus has fewer than 2048 or more than 8192 bits, the
    /// exponent is not an odd number of at least 3, or either starts with a zero byte.
    pub fn rsa(n: &[u8], e: &[u8]) -> Result<Self, JoseError> {
        let material = rsa_material(n.to_vec(), e.to_vec())?;
        Ok(Self::named_by_thumbprint(material, Algorithm::RS256))
    }

    /// An EdDSA key from the 32 bytes of its public half; its `kid` is its thumbprint.
    ///
    /// # Errors
    /// [`JoseError::Key`] when the length is another.
    pub fn ed25519(x: &[u8]) -> Result<Self, JoseError> {
        if x.len() != ED25519_PUBLIC_KEY_LEN {
            return Err(JoseError::Key);
        }
        let material = Material::Ed25519 { x: x.to_vec() };
        Ok(Self::named_by_thumbprint(material, Algorithm::EdDSA))
    }

    /// The name by which tokens refer to this key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The only algorithm this key is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The SHA-256 thumbprint in base64url, 43 characters (RFC 7638 section 3).
    pub fn thumbprint(&self) -> String {
        self.material.thumbprint()
    }

    pub(crate) fn material(&self) -> &Material {
        &self.material
    }

    fn named_by_thumbprint(material: Material, algorithm: Algorithm) -> Self {
        let kid = material.thumbprint();
        Self {
            material,
            algorithm,
            kid,
        }
    }
}

impl Material {
    fn read(members: &Map<String, Value>) -> Result<Self, JoseError> {
        match text(members, "kty")? {
            "EC" => match text(members, "crv")? {
                "P-256" => Ok(Self::P256 {
                    x: fixed(members, "x", P256_COORDINATE_BYTES)?,
                    y: fixed(members, "y", P256_COORDINATE_BYTES)?,
                }),
                "P-384" => Ok(Self::P384 {
                    x: fixed(members, "x", P384_COORDINATE_BYTES)?,
                    y: fixed(members, "y", P384_COORDINATE_BYTES)?,
                }),
                _ => Err(JoseError::Key),
            },
            "RSA" => rsa_material(bytes(members, "n")?, bytes(members, "e")?),
            "OKP" => match text(members, "crv")? {
                "Ed25519" => Ok(Self::Ed25519 {
                    x: fixed(members, "x", ED25519_PUBLIC_KEY_LEN)?,
                }),
                _ => Err(JoseError::Key),
            },
            _ => Err(JoseError::Key),
        }
    }

    /// Curves have one algorithm each; RSA has two that must not be mixed, so it must say which.
    fn algorithm(&self, declared: Option<&Value>) -> Result<Algorithm, JoseError> {
        let declared = match declared {
            None => None,
            Some(Value::String(name)) => Some(name.as_str()),
            Some(_) => return Err(JoseError::Key),
        };
        match (self, declared) {
            (Self::P256 { .. }, None | Some("ES256")) => Ok(Algorithm::ES256),
            (Self::P384 { .. }, None | Some("ES384")) => Ok(Algorithm::ES384),
            (Self::Ed25519 { .. }, None | Some("EdDSA")) => Ok(Algorithm::EdDSA),
            (Self::Rsa { .. }, Some("RS256")) => Ok(Algorithm::RS256),
            (Self::Rsa { .. }, Some("PS256")) => Ok(Algorithm::PS256),
            _ => Err(JoseError::Key),
        }
    }

    fn parameters(&self) -> Parameters {
        let encoded = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
        let point = |crv, x: &[u8], y: &[u8]| Parameters {
            kty: "EC",
            crv: Some(crv),
            x: encoded(x),
            y: encoded(y),
            ..Parameters::default()
        };
        match self {
            Self::P256 { x, y } => point("P-256", x, y),
            Self::P384 { x, y } => point("P-384", x, y),
            Self::Rsa { n, e } => Parameters {
                kty: "RSA",
                n: encoded(n),
                e: encoded(e),
                ..Parameters::default()
            },
            Self::Ed25519 { x } => Parameters {
                kty: "OKP",
                crv: Some("Ed25519"),
                x: encoded(x),
                ..Parameters::default()
            },
        }
    }

    /// The hash of the required members in lexicographic order, without white space.
    fn thumbprint(&self) -> String {
        let parameters = self.parameters();
        let members: Vec<String> = [
            ("crv", parameters.crv),
            ("e", parameters.e.as_deref()),
            ("kty", Some(parameters.kty)),
            ("n", parameters.n.as_deref()),
            ("x", parameters.x.as_deref()),
            ("y", parameters.y.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("\"{name}\":\"{value}\"")))
        .collect();
        let canonical = format!("{{{}}}", members.join(","));
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
    }
}

impl TryFrom<Map<String, Value>> for PublicJwk {
    type Error = JoseError;

    /// Reads the members of a JWK.
    ///
    /// # Errors
    /// [`JoseError::PrivateMember`] when there is one, whatever the rest may be;
    /// [`JoseError::Key`] when the key cannot be used.
    fn try_from(members: Map<String, Value>) -> Result<Self, JoseError> {
        if PRIVATE_MEMBERS.iter().any(|name| members.contains_key(*name)) {
            return Err(JoseError::PrivateMember);
        }
        if members.get("use").is_some_and(|usage| usage != "sig") {
            return Err(JoseError::Key);
        }
        if members.get("key_ops").is_some_and(|ops| !verifies(ops)) {
            return Err(JoseError::Key);
        }
        let material = Material::read(&members)?;
        let algorithm = material.algorithm(members.get("alg"))?;
        let kid = text(&members, "kid")?;
        if !is_plain_kid(kid) {
            return Err(JoseError::Key);
        }
        Ok(Self {
            material,
            algorithm,
            kid: kid.to_owned(),
        })
    }
}

/// The members that make up the key itself, as text.
#[derive(Default, Serialize)]
struct Parameters {
    kty: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
}

/// All members as they are written, in this order.
#[derive(Serialize)]
struct Wire<'a> {
    #[serde(flatten)]
    parameters: Parameters,
    kid: &'a str,
    alg: Algorithm,
    #[serde(rename = "use")]
    usage: &'static str,
}

impl Serialize for PublicJwk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = Wire {
            parameters: self.material.parameters(),
            kid: &self.kid,
            alg: self.algorithm,
            usage: "sig",
        };
        wire.serialize(serializer)
    }
}

/// Whether a `kid` is one that may be looked up and logged: 1 to 256 visible ASCII characters.
pub(crate) fn is_plain_kid(kid: &str) -> bool {
    (1..=MAX_KID_BYTES).contains(&kid.len()) && kid.bytes().all(|byte| byte.is_ascii_graphic())
}

fn rsa_material(n: Vec<u8>, e: Vec<u8>) -> Result<Material, JoseError> {
    let bits = match n.first() {
        Some(&first) if first != 0 => n.len() * 8 - first.leading_zeros() as usize,
        _ => return Err(JoseError::Key),
    };
    let exponent_is_sound = match (e.first(), e.last()) {
        (Some(&first), Some(&last)) => {
            first != 0 && last % 2 == 1 && e.len() <= MAX_RSA_EXPONENT_BYTES && e != [1]
        }
        _ => false,
    };
    if (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) && exponent_is_sound {
        Ok(Material::Rsa { n, e })
    } else {
        Err(JoseError::Key)
    }
}

/// Whether `key_ops` allows verification (RFC 7517 section 4.3).
fn verifies(key_ops: &Value) -> bool {
    key_ops
        .as_array()
        .is_some_and(|ops| ops.iter().any(|op| op == "verify"))
}

fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Result<&'m str, JoseError> {
    members.get(name).and_then(Value::as_str).ok_or(JoseError::Key)
}

fn bytes(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, JoseError> {
    URL_SAFE_NO_PAD
        .decode(text(members, name)?)
        .map_err(|_| JoseError::Key)
}

fn fixed(members: &Map<String, Value>, name: &str, length: usize) -> Result<Vec<u8>, JoseError> {
    bytes(members, name).and_then(|bytes| {
        if bytes.len() == length {
            Ok(bytes)
        } else {
            Err(JoseError::Key)
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(jwk: Value) -> Result<PublicJwk, JoseError> {
        PublicJwk::try_from(jwk.as_object().cloned().unwrap())
    }

    /// One valid key of each kind, without private members.
    fn samples() -> [Value; 5] {
        let coordinate = |length| URL_SAFE_NO_PAD.encode(vec![5_u8; length]);
        [
            json!({"kty": "EC", "crv": "P-256", "x": coordinate(32), "y": coordinate(32), "kid": "a", "alg": "ES256", "use": "sig"}),
            json!({"kty": "EC", "crv": "P-384", "x": coordinate(48), "y": coordinate(48), "kid": "b", "alg": "ES384", "use": "sig"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": coordinate(32), "kid": "c", "alg": "EdDSA", "use": "sig"}),
            json!({"kty": "RSA", "n": RFC_7638_MODULUS, "e": "AQAB", "kid": "d", "alg": "RS256", "use": "sig"}),
            json!({"kty": "RSA", "n": RFC_7638_MODULUS, "e": "AQAB", "kid": "e", "alg": "PS256", "use": "sig"}),
        ]
    }

    fn with(mut jwk: Value, name: &str, value: Value) -> Value {
        jwk.as_object_mut().unwrap().insert(name.to_owned(), value);
        jwk
    }

    fn without(mut jwk: Value, name: &str) -> Value {
        jwk.as_object_mut().unwrap().remove(name);
        jwk
    }

    #[test]
    fn every_kind_survives_the_wire() {
        for sample in samples() {
            let jwk = read(sample.clone()).unwrap();
            assert_eq!(serde_json::to_value(&jwk).unwrap(), sample);
            let text = serde_json::to_string(&jwk).unwrap();
            assert_eq!(serde_json::from_str::<PublicJwk>(&text).unwrap(), jwk);
        }
    }

    #[test]
    fn m01_private_members_are_refused_on_every_kind_and_never_written() {
        for sample in samples() {
            for name in PRIVATE_MEMBERS {
                for value in [json!("AQAB"), json!(null), json!(1), json!([]), json!("")] {
                    let leaking = with(sample.clone(), name, value);
                    assert!(matches!(read(leaking.clone()), Err(JoseError::PrivateMember)));
                    assert!(serde_json::from_value::<PublicJwk>(leaking).is_err());
                }
            }
            let written = serde_json::to_value(read(sample).unwrap()).unwrap();
            for name in PRIVATE_MEMBERS {
                assert!(written.get(name).is_none());
            }
        }
        let symmetric = json!({"kty": "oct", "k": "AQAB", "kid": "s", "alg": "HS256"});
        assert!(matches!(read(symmetric), Err(JoseError::PrivateMember)));
    }

    #[test]
    fn t11_a_missing_or_foreign_alg_does_not_pass() {
        for sample in samples() {
            for alg in ["HS256", "none", "RS384", "es256", ""] {
                assert!(read(with(sample.clone(), "alg", json!(alg))).is_err(), "{alg}");
            }
            assert!(read(with(sample.clone(), "alg", json!(null))).is_err());
            let needs_alg = sample.get("kty").unwrap() == "RSA";
            assert_eq!(read(without(sample, "alg")).is_err(), needs_alg);
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for sample in samples() {
            for (name, value) in [
                ("kty", json!("oct")),
                ("kty", json!(null)),
                ("use", json!("enc")),
                ("use", json!(null)),
                ("key_ops", json!(["sign"])),
                ("key_ops", json!("verify")),
                ("kid", json!("")),
                ("kid", json!("a\nb")),
                ("kid", json!("x".repeat(257))),
                ("kid", json!(7)),
            ] {
                let changed = with(sample.clone(), name, value);
                assert!(read(changed.clone()).is_err(), "{changed}");
            }
            for name in ["crv", "x", "y", "n", "e"] {
                if sample.get(name).is_some() {
                    for value in [json!(""), json!("AQAB="), json!("AQAC+"), json!(5)] {
                        let changed = with(sample.clone(), name, value);
                        assert!(read(changed.clone()).is_err(), "{changed}");
                    }
                    assert!(read(without(sample.clone(), name)).is_err(), "{name}");
                }
            }
            assert!(read(with(sample.clone(), "key_ops", json!(["verify"]))).is_ok());
            assert!(read(with(sample.clone(), "x5t", json!("ignored"))).is_ok());
            assert!(read(without(sample.clone(), "kid")).is_err());
            assert!(read(without(sample, "use")).is_ok());
        }
    }

    #[test]
    fn weak_rsa_keys_are_refused() {
        let sound = [0x80; 256];
        let bits_2047 = [0x7f; 256];
        let cases: [(&[u8], &[u8], bool); 10] = [
            (&sound, &[1, 0, 1], true),
            (&sound, &[3], true),
            (&[0x80; 1024], &[1, 0, 1], true),
            (&[0x80; 1025], &[1, 0, 1], false),
            (&bits_2047, &[1, 0, 1], false),
            (&[0x80; 128], &[1, 0, 1], false),
            (&[], &[1, 0, 1], false),
            (&sound, &[1], false),
            (&sound, &[2], false),
            (&sound, &[0, 1, 0, 1], false),
        ];
        for (n, e, accepted) in cases {
            assert_eq!(PublicJwk::rsa(n, e).is_ok(), accepted, "{} {e:?}", n.len());
        }
        let padded = [[0_u8].as_slice(), &sound].concat();
        assert!(PublicJwk::rsa(&padded, &[3]).is_err());
        assert!(PublicJwk::rsa(&sound, &[]).is_err());
    }

    #[test]
    fn constructors_check_lengths_and_name_by_thumbprint() {
        let mut point = [6; 65];
        assert!(PublicJwk::ec_p256(&point).is_err());
        point.fill(4);
        let jwk = PublicJwk::ec_p256(&point).unwrap();
        assert_eq!(jwk.kid(), jwk.thumbprint());
        assert_eq!(jwk.algorithm(), Algorithm::ES256);
        assert!(PublicJwk::ec_p256(&[4; 64]).is_err());
        assert!(PublicJwk::ec_p256(&[4; 66]).is_err());
        assert!(PublicJwk::ec_p256(&[]).is_err());
        assert!(PublicJwk::ed25519(&[4; 31]).is_err());
        assert!(PublicJwk::ed25519(&[4; 33]).is_err());
    }

    #[test]
    fn thumbprints_are_those_of_the_rfcs() {
        let rsa =
            json!({"kty": "RSA", "n": RFC_7638_MODULUS, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
        assert_eq!(
            read(rsa).unwrap().thumbprint(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "k"});
        assert_eq!(
            read(ed).unwrap().thumbprint(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    const RFC_7638_MODULUS: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
}
