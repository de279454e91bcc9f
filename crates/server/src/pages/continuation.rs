//! Where a person goes on after a page: an address of ours, and only one of a few. It travels in the parameter
//! `continue`, so that nothing is stored for whoever has not signed in.

use vouchsafe_issuer::Proofs;
use vouchsafe_protocol::Form;

const AUTHORIZE: &str = "/authorize?";
const LOGOUT: &str = "/logout?";
/// Whole addresses, or what begins like them.
const PLACES: [&str; 3] = ["/account", "/account/password", "/device"];
const DEVICE: &str = "/device/confirm?user_code=";
/// A request with a `state` of the greatest length, each byte of it escaped, is shorter.
const LONGEST: usize = 32 * 1024;

/// Proof that the person signed in for this request; see [`vouchsafe_issuer::TicketPurpose::SignedIn`].
pub(super) const SIGNED_IN: &str = "signed_in";
/// Proof that the person chose the account for this request.
pub(super) const SELECTED: &str = "selected";

/// An address of ours below the path of the issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Continuation(String);

impl Continuation {
    /// Checks an address that came from outside; none for one that is not ours to go to.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let known = text.starts_with(AUTHORIZE)
            || text.starts_with(LOGOUT)
            || text.starts_with(DEVICE)
            || PLACES.contains(&text);
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        (known && plain && text.len() <= LONGEST).then(|| Self(text.to_owned()))
    }

    /// One's own account: where nobody said where to go.
    pub(super) fn account() -> Self {
        Self("/account".to_owned())
    }

    /// The page of another password.
    pub(super) fn password() -> Self {
        Self("/account/password".to_owned())
    }

    /// The authorization request of this query.
    pub(super) fn authorize(query: &str) -> Self {
        Self(format!("{AUTHORIZE}{}", plain(query)))
    }

    /// The logout request of this query.
    pub(super) fn logout(query: &str) -> Self {
        Self(format!("{LOGOUT}{}", plain(query)))
    }

    /// The question about a device.
    pub(super) fn device(user_code: &str) -> Self {
        let code: String = url::form_urlencoded::byte_serialize(user_code.as_bytes()).collect();
        Self(format!("{DEVICE}{code}"))
    }

    /// Whether it is short enough to travel as a parameter.
    pub(super) fn fits(&self) -> bool {
        self.0.len() <= LONGEST
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The query of an authorization request, if it is one.
    pub(super) fn authorization_query(&self) -> Option<&str> {
        self.0.strip_prefix(AUTHORIZE)
    }

    /// The query of a logout request, if it is one.
    pub(super) fn logout_query(&self) -> Option<&str> {
        self.0.strip_prefix(LOGOUT)
    }

    /// The same without proofs: what they are bound to.
    pub(super) fn bare(&self) -> Self {
        let Some((place, query)) = self.0.split_once('?') else {
            return self.clone();
        };
        let is_proof = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            name == SIGNED_IN || name == SELECTED
        };
        let kept: Vec<&str> = query.split('&').filter(|pair| !is_proof(pair)).collect();
        Self(format!("{place}?{}", kept.join("&")))
    }

    /// The same with one more proof.
    pub(super) fn with_proof(&self, name: &str, ticket: &str) -> Self {
        Self(format!("{}&{name}={ticket}", self.0))
    }

    /// The proofs in it, unchecked.
    pub(super) fn proofs(&self) -> (Option<&str>, Option<&str>) {
        let query = self.0.split_once('?').map_or("", |(_, query)| query);
        let find = |wanted: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
        };
        (find(SIGNED_IN), find(SELECTED))
    }

    /// The languages that the request at its end asks for.
    pub(super) fn ui_locales(&self) -> Option<String> {
        let query = self.0.split_once('?').map_or("", |(_, query)| query);
        Form::parse_with_resources(query.as_bytes())
            .ok()?
            .take("ui_locales")
    }
}

/// Browsers leave a backslash in a query as it is.
fn plain(query: &str) -> String {
    query.replace('\\', "%5C")
}

/// No proof at all.
pub(super) const UNPROVEN: Proofs = Proofs {
    signed_in: false,
    selected: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l12_only_places_of_ours_are_gone_to() {
        for good in [
            "/authorize?client_id=a",
            "/account",
            "/device",
            "/device/confirm?user_code=BCDF-GHJK",
            "/logout?",
        ] {
            assert!(Continuation::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "//evil.example/",
            "https://evil.example/",
            "/\\evil.example",
            "/authorize",
            "/authorize?a b",
            "/account/../x",
            "/account?x",
            "/authorize?\r\nSet-Cookie:x",
            "javascript:alert(1)",
        ] {
            assert!(Continuation::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn proofs_are_put_on_and_taken_off() {
        let bare = Continuation::authorize("client_id=a&state=signed_in");
        let proven = bare.with_proof(SIGNED_IN, "k.1.n.m").with_proof(SELECTED, "x");
        assert_eq!(proven.bare(), bare);
        assert_eq!(proven.proofs(), (Some("k.1.n.m"), Some("x")));
        assert_eq!(bare.proofs(), (None, None));
    }
}
