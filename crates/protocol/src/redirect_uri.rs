//! Redirect URIs as the texts that they are: told apart byte for byte, with the one exception of RFC 8252. Nothing is
//! normalised, so that no two spellings of one address pass for each other.

use url::{Host, Url};

use crate::id::is_uri_text;

/// The longest one that is taken, in bytes.
pub const MAX_BYTES: usize = 500;

/// The loopback addresses whose port is chosen when the application starts (RFC 8252 section 7.3).
const LITERALS: [&str; 2] = ["127.0.0.1", "[::1]"];
const LOCALHOST: &str = "localhost";
/// Schemes that browsers take for themselves: of the web, and those that run or show something instead of leading away.
const OF_BROWSERS: [&str; 9] = [
    "http",
    "https",
    "javascript",
    "data",
    "vbscript",
    "file",
    "blob",
    "filesystem",
    "about",
];

/// Whether a request may use `asked` where `registered` was registered: the same text, or the same but for the port of
/// an http URI on a loopback address (RFC 8252 section 7.3). `localhost` counts as one only where `localhost_too`, for
/// native applications.
pub fn matches(registered: &str, asked: &str, localhost_too: bool) -> bool {
    if registered == asked {
        return true;
    }
    let registered = without_port(registered, localhost_too);
    registered.is_some() && registered == without_port(asked, localhost_too)
}

/// Whether `uri` has only the characters of RFC 3986, an absolute form that no parser has to mend, and no fragment
/// (RFC 6749 section 3.1.2).
pub fn is_plain(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return false;
    };
    let scheme_text = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte));
    let has_host = rest.starts_with("//") && !rest.starts_with("///");
    uri.len() <= MAX_BYTES
        && scheme_text
        && (has_host || !matches!(scheme, "http" | "https"))
        && !uri.contains('#')
        && is_uri_text(uri)
        && Url::parse(uri).is_ok()
}

/// The host of a web address, for people to see; none where the scheme alone says where it leads.
pub fn host_of(uri: &str) -> Option<String> {
    let url = web_address(uri)?;
    url.host_str().map(str::to_owned)
}

/// Whether a web address leads to the person's own machine.
pub fn is_loopback(uri: &str) -> bool {
    let Some(url) = web_address(uri) else {
        return false;
    };
    match url.host() {
        Some(Host::Domain(name)) => name == LOCALHOST,
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether the scheme is one of an application, without the dot that would tie it to somebody's domain: any other
/// application on the machine may claim it as well (RFC 8252 section 7.1).
pub fn is_anybodys(uri: &str) -> bool {
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| !scheme.contains('.') && !OF_BROWSERS.contains(&scheme))
}

fn web_address(uri: &str) -> Option<Url> {
    Url::parse(uri)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
}

/// Host and what follows the port of an http URI on a loopback address.
fn without_port(uri: &str, localhost_too: bool) -> Option<(&'static str, &str)> {
    let after_scheme = uri.strip_prefix("http://")?;
    let mut hosts = LITERALS.into_iter().chain(localhost_too.then_some(LOCALHOST));
    let (host, tail) = hosts.find_map(|host| Some((host, after_scheme.strip_prefix(host)?)))?;
    let rest = match tail.strip_prefix(':') {
        Some(with_port) => after_port(with_port)?,
        None => tail,
    };
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
}

fn after_port(text: &str) -> Option<&str> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (port, rest) = text.split_at(end);
    let usual = !port.starts_with('0') && port.parse::<u16>().is_ok();
    usual.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a02_only_the_same_bytes_match() {
        let registered = "https://app.example/cb?tenant=1";
        assert!(matches(registered, registered, true));
        for asked in [
            "https://app.example/cb",
            "https://app.example/cb?tenant=1&x=2",
            "https://app.example/cb?tenant=1/",
            "https://app.example/cb/?tenant=1",
            "https://app.example:443/cb?tenant=1",
            "https://app.example:8443/cb?tenant=1",
            "https://APP.example/cb?tenant=1",
            "HTTPS://app.example/cb?tenant=1",
            "https://app.example/cb/..;/?tenant=1",
            "https://app.example/x/../cb?tenant=1",
            "https://app.example/%63b?tenant=1",
            "https://app.example/cb?tenant=1#",
            "https://user@app.example/cb?tenant=1",
            "https://app.example\\@evil.example/cb?tenant=1",
            " https://app.example/cb?tenant=1",
            "http://app.example/cb?tenant=1",
            "",
        ] {
            for localhost_too in [false, true] {
                assert!(!matches(registered, asked, localhost_too), "{asked}");
            }
        }
    }

    #[test]
    fn a05_cl16_only_the_port_of_a_loopback_address_may_vary() {
        // Registered, asked, matches without and with localhost.
        let table = [
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", true, true),
            (
                "http://127.0.0.1:8000/cb",
                "http://127.0.0.1:51004/cb",
                true,
                true,
            ),
            ("http://127.0.0.1:8000/cb", "http://127.0.0.1/cb", true, true),
            ("http://127.0.0.1/cb?a=1", "http://127.0.0.1:1/cb?a=1", true, true),
            ("http://127.0.0.1", "http://127.0.0.1:65535", true, true),
            ("http://[::1]/cb", "http://[::1]:51004/cb", true, true),
            ("http://localhost/cb", "http://localhost:51004/cb", false, true),
            ("http://localhost:3000/cb", "http://localhost:3000/cb", true, true),
            ("http://127.0.0.1/cb", "http://localhost:51004/cb", false, false),
            ("http://localhost/cb", "http://127.0.0.1:51004/cb", false, false),
            ("http://127.0.0.1/cb", "http://[::1]:51004/cb", false, false),
            (
                "http://127.0.0.1/cb",
                "http://127.0.0.1:51004/other",
                false,
                false,
            ),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb/", false, false),
            (
                "http://127.0.0.1/cb",
                "http://127.0.0.1:51004/cb?x=1",
                false,
                false,
            ),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb#x", false, false),
            (
                "http://127.0.0.1/cb",
                "http://127.0.0.1:51004/x/../cb",
                false,
                false,
            ),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/%63b", false, false),
            (
                "http://127.0.0.1/cb",
                "http://127.0.0.1:51004/cb%2e%2e",
                false,
                false,
            ),
            (
                "http://127.0.0.1/cb",
                "http://127.0.0.1:51004/..;/cb",
                false,
                false,
            ),
            ("http://127.0.0.1/cb", "http://127.0.0.1:/cb", false, false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:0/cb", false, false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:080/cb", false, false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:65536/cb", false, false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:+80/cb", false, false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:80:90/cb", false, false),
            (
                "http://127.0.0.1/cb",
                "http://127.0.0.1:80@evil.example/cb",
                false,
                false,
            ),
            (
                "http://127.0.0.1/cb",
                "http://127.0.0.1:80\\@evil.example/cb",
                false,
                false,
            ),
            (
                "http://127.0.0.1/cb",
                "http://127.0.0.1.evil.example/cb",
                false,
                false,
            ),
            (
                "http://127.0.0.1/cb",
                "http://127.0.0.1@evil.example/cb",
                false,
                false,
            ),
            ("http://127.0.0.1/cb", "http://u@127.0.0.1:51004/cb", false, false),
            ("http://127.0.0.1/cb", "https://127.0.0.1:51004/cb", false, false),
            ("http://127.0.0.1/cb", "HTTP://127.0.0.1:51004/cb", false, false),
            ("http://127.0.0.1/cb", "http://127.1:51004/cb", false, false),
            ("http://127.0.0.1/cb", "http://0x7f000001:51004/cb", false, false),
            ("http://127.0.0.1/cb", "http://127.0.0.2:51004/cb", false, false),
            ("http://127.0.0.2/cb", "http://127.0.0.2:51004/cb", false, false),
            ("https://127.0.0.1/cb", "https://127.0.0.1:51004/cb", false, false),
            ("http://localhost/cb", "http://LOCALHOST:51004/cb", false, false),
            (
                "http://localhost/cb",
                "http://localhost.evil.example:1/cb",
                false,
                false,
            ),
            (
                "http://app.example/cb",
                "http://app.example:51004/cb",
                false,
                false,
            ),
        ];
        for (registered, asked, without, with) in table {
            assert_eq!(matches(registered, asked, false), without, "{registered} {asked}");
            assert_eq!(matches(registered, asked, true), with, "{registered} {asked}");
        }
    }

    #[test]
    fn a06_texts_that_a_parser_would_mend_are_not_plain() {
        for uri in [
            "https://app.example/cb?x=%2e%2e",
            "http://127.0.0.1:8000",
            "http://[::1]/cb",
            "com.example.app:/cb",
            "com.example.app://cb",
            // Plain text, which the rules on schemes refuse.
            "javascript:alert(1)",
        ] {
            assert!(is_plain(uri), "{uri}");
        }
        let long = format!("https://app.example/{}", "a".repeat(MAX_BYTES));
        for uri in [
            "",
            "/cb",
            "app.example/cb",
            "https:app.example/cb",
            "https:///app.example/cb",
            "https://",
            "https:\\\\app.example/cb",
            "https://app.example\\@evil.example/",
            "JaVaScript:alert(1)",
            "HTTPS://app.example/cb",
            " https://app.example/cb",
            "https://app.example/cb ",
            "ht\ttps://app.example/cb",
            "https://app.example/cb\n",
            "https://app.example/cb#",
            "https://app.example/cb#x",
            "https://app.example/%",
            "https://app.example/%zz",
            "https://app.example/\"><script>",
            "https://\u{e4}pp.example/cb",
            "1app:/cb",
            ":/cb",
            long.as_str(),
        ] {
            assert!(!is_plain(uri), "{uri}");
        }
    }

    #[test]
    fn what_is_shown_is_the_host_of_a_web_address() {
        assert_eq!(
            host_of("https://app.example:8443/cb").as_deref(),
            Some("app.example")
        );
        assert_eq!(host_of("http://[::1]:80/cb").as_deref(), Some("[::1]"));
        assert_eq!(host_of("com.example.app://bank.example/cb"), None);
        assert_eq!(host_of("nothing"), None);
        for (uri, loopback) in [
            ("http://127.0.0.1/cb", true),
            ("http://127.8.9.1/cb", true),
            ("http://[::1]:8000/cb", true),
            ("http://localhost:3000/cb", true),
            ("https://localhost/cb", true),
            ("https://app.example/cb", false),
            ("http://localhost.example/cb", false),
            ("com.example.app://localhost/cb", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(uri), loopback, "{uri}");
        }
    }

    #[test]
    fn a06_a_scheme_without_a_dot_is_anybodys_unless_browsers_take_it() {
        for (uri, anybodys) in [
            ("cursor://anysphere.cursor-mcp/oauth/callback", true),
            ("myapp:/cb", true),
            ("com.example.app:/cb", false),
            ("https://app.example/cb", false),
            ("http://localhost/cb", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
            ("vbscript:x", false),
            ("file:///etc/passwd", false),
            ("nothing", false),
        ] {
            assert_eq!(is_anybodys(uri), anybodys, "{uri}");
        }
    }
}
