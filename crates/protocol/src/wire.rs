//! Gives closed enums their names on the wire, so that each name is written down once.

/// A word that is not in the closed set of its kind; the word itself is not repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a known {kind}")]
pub struct UnknownName {
    pub(crate) kind: &'static str,
}

/// Derives `Display`, `FromStr` and serde from a `Copy` enum's `ALL` and `as_str`; compares
/// exactly, case included.
macro_rules! wire_names {
    ($name:ident, $kind:literal) => {
        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::UnknownName;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Self::ALL
                    .into_iter()
                    .find(|known| known.as_str() == word)
                    .ok_or($crate::UnknownName { kind: $kind })
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <String as ::serde::Deserialize>::deserialize(deserializer)?;
                word.parse::<Self>().map_err(::serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use wire_names;
