//! Reads a JSON object from a token and refuses what parsers disagree about: members given twice,
//! invalid UTF-8, and anything behind the object (RFC 7515 section 4, RFC 7519 section 4).

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, DeserializeOwned, IgnoredAny, MapAccess, Visitor};

/// The bytes are not the object asked for; which of the reasons it was is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotTheObject;

/// Reads `bytes` as one JSON object without duplicate top-level members.
pub(crate) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotTheObject> {
    let text = std::str::from_utf8(bytes).map_err(|_| NotTheObject)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    serde::Deserializer::deserialize_map(&mut reader, UniqueMembers).map_err(|_| NotTheObject)?;
    serde_json::from_str(text).map_err(|_| NotTheObject)
}

/// Walks over an object and keeps nothing but the names it has seen.
struct UniqueMembers;

impl<'de> Visitor<'de> for UniqueMembers {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object without duplicate members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            members.next_value::<IgnoredAny>()?;
            if !seen.insert(name) {
                return Err(de::Error::custom("duplicate member"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    #[test]
    fn one_object_is_read() {
        for text in ["{}", " {\"a\":1} ", "{\"a\":1,\"b\":{\"a\":1}}", "{\"a\":[{}]}"] {
            assert!(object::<Map<String, Value>>(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn duplicates_and_other_shapes_are_refused() {
        for text in [
            "",
            "null",
            "[]",
            "1",
            "\"a\"",
            "{",
            "{}{}",
            "{} x",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":1,\"b\":2,\"a\":null}",
            "{\"a\":1,\"\\u0061\":1}",
            "{'a':1}",
            "\u{feff}{}",
        ] {
            assert_eq!(object::<Value>(text.as_bytes()), Err(NotTheObject), "{text}");
        }
        assert_eq!(object::<Value>(b"{\"a\":\"\xff\"}"), Err(NotTheObject));
    }
}
