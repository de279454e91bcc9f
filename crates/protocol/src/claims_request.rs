//! The `claims` parameter (OpenID Connect Core 5.5): which claims are asked for by name, and where they are to appear.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const MAX_BYTES: usize = 4096;
const MAX_NAMES: usize = 64;

/// Claims asked for by name. Values that are asked for are kept of `sub` alone: no other claim can be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimsRequest {
    /// For the ID token.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub id_token: BTreeSet<String>,
    /// For userinfo.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub userinfo: BTreeSet<String>,
    /// The only person who will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The contexts of which one is essential; the person could not be let in by another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub essential_acr: Vec<String>,
}

impl ClaimsRequest {
    /// Reads the parameter; none for what is no such JSON object.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let Value::Object(members) = serde_json::from_str(text).ok()? else {
            return None;
        };
        let id_token = section(&members, "id_token")?;
        let userinfo = section(&members, "userinfo")?;
        let request = Self {
            sub: chosen_sub(id_token)?.or(chosen_sub(userinfo)?),
            essential_acr: essential_acr(id_token),
            id_token: names(id_token),
            userinfo: names(userinfo),
        };
        (request.id_token.len() + request.userinfo.len() <= MAX_NAMES).then_some(request)
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One member that is an object or absent; an empty one stands for the absent one.
fn section<'a>(members: &'a Map<String, Value>, name: &str) -> Option<Option<&'a Map<String, Value>>> {
    match members.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::Object(section)) => Some(Some(section)),
        Some(_) => None,
    }
}

fn names(section: Option<&Map<String, Value>>) -> BTreeSet<String> {
    section.into_iter().flat_map(Map::keys).cloned().collect()
}

fn chosen_sub(section: Option<&Map<String, Value>>) -> Option<Option<String>> {
    match section
        .and_then(|section| section.get("sub"))
        .and_then(|sub| sub.get("value"))
    {
        None => Some(None),
        Some(Value::String(sub)) => Some(Some(sub.clone())),
        Some(_) => None,
    }
}

fn essential_acr(section: Option<&Map<String, Value>>) -> Vec<String> {
    let Some(acr) = section.and_then(|section| section.get("acr")) else {
        return Vec::new();
    };
    if acr.get("essential") != Some(&Value::Bool(true)) {
        return Vec::new();
    }
    let one = acr.get("value");
    let several = acr.get("values").and_then(Value::as_array).into_iter().flatten();
    one.into_iter()
        .chain(several)
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_values_and_essential_contexts_are_read() {
        let text = r#"{"userinfo":{"given_name":{"essential":true},"nickname":null},
            "id_token":{"auth_time":null,"sub":{"value":"usr_x"},"acr":{"essential":true,"values":["1","2"]}},"other":1}"#;
        let request = ClaimsRequest::parse(text).unwrap();
        assert_eq!(
            request.userinfo,
            BTreeSet::from(["given_name".into(), "nickname".into()])
        );
        assert!(request.id_token.contains("auth_time"));
        assert_eq!(request.sub.as_deref(), Some("usr_x"));
        assert_eq!(request.essential_acr, ["1", "2"]);
        assert!(ClaimsRequest::parse("{}").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_claims_object_is_refused() {
        for bad in [
            "",
            "[]",
            "1",
            "{",
            r#"{"userinfo":[]}"#,
            r#"{"id_token":{"sub":{"value":1}}}"#,
        ] {
            assert_eq!(ClaimsRequest::parse(bad), None, "{bad}");
        }
        assert_eq!(
            ClaimsRequest::parse(&format!("{{\"x\":\"{}\"}}", "y".repeat(5000))),
            None
        );
    }
}
