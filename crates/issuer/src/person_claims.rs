//! What is told of a person (OpenID Connect Core 5.1): by scope, and by name.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use vouchsafe_protocol::{ClaimsRequest, ScopeSet};
use vouchsafe_store::{Family, User};

/// The claims of the scope `profile` (OpenID Connect Core 5.4).
pub(crate) const PROFILE: [&str; 14] = [
    "name",
    "family_name",
    "given_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "updated_at",
];
const EMAIL: [&str; 2] = ["email", "email_verified"];
const PHONE: [&str; 2] = ["phone_number", "phone_number_verified"];
const ADDRESS: [&str; 1] = ["address"];

/// Every claim that is told of a person.
#[must_use]
pub fn supported_claims() -> Vec<&'static str> {
    let groups: [&[&'static str]; 4] = [&PROFILE, &EMAIL, &PHONE, &ADDRESS];
    groups.concat()
}

/// The claims of each scope (OpenID Connect Core 5.4).
const GROUPS: [(&str, &[&str]); 4] = [
    ("profile", &PROFILE),
    ("email", &EMAIL),
    ("phone", &PHONE),
    ("address", &ADDRESS),
];

/// The scope that a claim belongs to; none for one that no scope is needed for.
pub(crate) fn scope_of(claim: &str) -> Option<&'static str> {
    let group = GROUPS.iter().find(|(_, claims)| claims.contains(&claim));
    group.map(|(scope, _)| *scope)
}

/// What the scopes let be told, and what else was asked for by name.
pub(crate) fn told_of(user: &User, scope: &ScopeSet, names: &BTreeSet<String>) -> Map<String, Value> {
    let mut told = Map::new();
    for (of_scope, claims) in GROUPS {
        for claim in claims {
            let asked = scope.contains(of_scope) || names.contains(*claim);
            if let Some(value) = value_of(user, claim).filter(|_| asked) {
                told.insert((*claim).to_owned(), value);
            }
        }
    }
    told
}

/// The claims that a family's authorization request asked for by name, of those that the client's scopes still cover.
pub(crate) fn asked_by_name(family: &Family, held: &ScopeSet) -> ClaimsRequest {
    let text = family.claims.as_deref();
    let mut asked: ClaimsRequest = text
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    keep_allowed(&mut asked, held);
    asked
}

/// Passes over names whose scope the client does not hold, as OpenID Connect Core 5.5 lets anything be.
pub(crate) fn keep_allowed(asked: &mut ClaimsRequest, held: &ScopeSet) {
    let allowed = |name: &String| scope_of(name).is_none_or(|scope| held.contains(scope));
    asked.id_token.retain(allowed);
    asked.userinfo.retain(allowed);
}

fn value_of(user: &User, claim: &str) -> Option<Value> {
    match claim {
        "preferred_username" => Some(json!(user.username)),
        "updated_at" => Some(json!(user.updated_at.as_unix())),
        "email" => user.email.as_ref().map(|email| json!(email)),
        "email_verified" => user.email.as_ref().map(|_| json!(user.email_verified)),
        "phone_number_verified" if !user.profile.contains_key("phone_number") => None,
        other => user.profile.get(other).cloned(),
    }
}
