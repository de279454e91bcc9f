//! What each page shows: plain values that the handlers decide, and the templates that put them into HTML, escaped.

pub(crate) use super::account_view::{
    Account, AccountNotice, AppLine, ConsentLine, Password, PasswordError, SessionLine, SignUp, SignUpError,
};
use super::brand::Brand;
pub(crate) use super::device_view::{DeviceCode, DeviceConfirm, DeviceDone};
use super::texts::{Lang, Texts, fill};

/// What every page knows.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) lang: Lang,
    /// The client for which the page speaks.
    pub(crate) brand: Option<Brand>,
    /// The address of the style sheet below `base`, beginning with a slash.
    pub(crate) css: &'static str,
    /// The path of the issuer, empty or like `/x`, in front of every address of ours.
    pub(crate) base: String,
}

impl Page {
    pub(super) fn t(&self) -> &'static Texts {
        self.lang.texts()
    }

    pub(super) fn at(&self, place: &str) -> String {
        fill(self.t().scope_at, &[("place", place)])
    }

    pub(super) fn since(&self, time: &str) -> String {
        fill(self.t().since, &[("time", time)])
    }

    pub(super) fn last_seen(&self, time: &str) -> String {
        fill(self.t().last_seen, &[("time", time)])
    }

    pub(super) fn last_used(&self, time: &str) -> String {
        fill(self.t().last_used, &[("time", time)])
    }

    pub(super) fn allowed_at(&self, time: &str) -> String {
        fill(self.t().allowed_at, &[("time", time)])
    }

    /// The warning about a client that nobody vouches for, if it is one: with its host, where that is known.
    pub(super) fn unvetted(&self, client: &str, host: Option<&Option<String>>) -> Option<String> {
        let t = self.t();
        host.map(|host| match host {
            Some(host) => fill(t.consent_unvetted, &[("client", client), ("host", host)]),
            None => fill(t.consent_unvetted_nowhere, &[("client", client)]),
        })
    }

    /// The first letter of a name, for the round picture.
    #[expect(clippy::unused_self, reason = "templates reach it by the page")]
    pub(super) fn initial(&self, name: &str) -> String {
        name.chars().take(1).collect()
    }

    /// An address of ours as the value of a parameter.
    #[expect(clippy::unused_self, reason = "templates reach it by the page")]
    pub(super) fn query(&self, address: &str) -> String {
        query_of(address)
    }

    fn back_to(&self, name: Option<&str>) -> String {
        let t = self.t();
        match name {
            Some(name) => fill(t.back_to_app, &[("client", name)]),
            None => t.back_to_unnamed.to_owned(),
        }
    }
}

/// An address of ours as the value of a parameter.
pub(super) fn query_of(address: &str) -> String {
    url::form_urlencoded::byte_serialize(address.as_bytes()).collect()
}

/// `GET /sign-in`.
#[derive(askama::Template)]
#[template(path = "sign-in.html")]
pub(crate) struct SignIn {
    pub(crate) page: Page,
    pub(crate) ticket: String,
    pub(crate) continue_to: String,
    /// As it was typed, or as the app hinted.
    pub(crate) username: String,
    pub(crate) error: Option<SignInError>,
    /// Somebody comes from signing up.
    pub(crate) created: bool,
    /// Whether people may sign up.
    pub(crate) sign_up: bool,
}

/// Why nobody was signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignInError {
    Wrong,
    TooMany,
    Busy,
    Expired,
}

impl SignIn {
    fn alert(&self) -> Option<&'static str> {
        let t = self.page.t();
        self.error.map(|error| match error {
            SignInError::Wrong => t.sign_in_wrong,
            SignInError::TooMany => t.too_many,
            SignInError::Busy => t.busy,
            SignInError::Expired => t.expired,
        })
    }

    fn wrong(&self) -> bool {
        self.error == Some(SignInError::Wrong)
    }

    fn focus_username(&self) -> bool {
        self.error.is_none() && self.username.is_empty()
    }

    fn focus_password(&self) -> bool {
        self.error.is_none() && !self.username.is_empty()
    }
}

/// `GET /select-account`.
#[derive(askama::Template)]
#[template(path = "select-account.html")]
pub(crate) struct SelectAccount {
    pub(crate) page: Page,
    pub(crate) ticket: String,
    pub(crate) continue_to: String,
    pub(crate) username: String,
}

/// One thing that an app will be able to do.
#[derive(Clone, Debug)]
pub(crate) struct ScopeLine {
    /// What it is in words, or the name of the scope.
    pub(crate) words: String,
    /// The resource server that knows the scope, where the words are its name.
    pub(crate) at: Option<String>,
}

/// `GET /consent`.
#[derive(askama::Template)]
#[template(path = "consent.html")]
pub(crate) struct Consent {
    pub(crate) page: Page,
    pub(crate) ticket: String,
    pub(crate) continue_to: String,
    /// Names what is asked here.
    pub(crate) question: String,
    pub(crate) username: String,
    pub(crate) client: String,
    /// Where a client that nobody vouches for is known to be; none for one of an operator.
    pub(crate) client_host: Option<Option<String>>,
    /// The host to which the answer goes.
    pub(crate) redirect_host: String,
    /// The answer stays on this device: a loopback address or a scheme of an app.
    pub(crate) loopback: bool,
    pub(crate) scopes: Vec<ScopeLine>,
    /// `https` only, as the next.
    pub(crate) policy_uri: Option<String>,
    pub(crate) tos_uri: Option<String>,
}

impl Consent {
    fn title(&self) -> String {
        fill(self.page.t().consent_title, &[("client", self.client.as_str())])
    }

    fn goes_to(&self) -> String {
        let t = self.page.t();
        if self.loopback {
            t.consent_goes_here.to_owned()
        } else {
            fill(t.consent_goes, &[("host", self.redirect_host.as_str())])
        }
    }

    fn has_links(&self) -> bool {
        self.policy_uri.is_some() || self.tos_uri.is_some()
    }
}

/// `GET /logout` and `POST /logout` (OpenID Connect RP-Initiated Logout 1.0, 2).
#[derive(askama::Template)]
#[template(path = "logout.html")]
pub(crate) struct Logout {
    pub(crate) page: Page,
    pub(crate) ticket: String,
    pub(crate) continue_to: String,
    pub(crate) username: String,
    /// The client that asks.
    pub(crate) client: Option<String>,
}

impl Logout {
    fn asked(&self) -> String {
        let t = self.page.t();
        match self.client.as_deref() {
            Some(client) => fill(t.logout_asked, &[("client", client)]),
            None => t.logout_asked_here.to_owned(),
        }
    }
}

/// `GET /signed-out`, and `GET /logout` where nobody is signed in.
#[derive(askama::Template)]
#[template(path = "signed-out.html")]
pub(crate) struct SignedOut {
    pub(crate) page: Page,
    pub(crate) client: Option<String>,
    /// A registered address of the client.
    pub(crate) back: Option<String>,
}

impl SignedOut {
    fn back_to(&self) -> String {
        self.page.back_to(self.client.as_deref())
    }
}

/// The page of a request that came to nothing.
#[derive(askama::Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage {
    pub(crate) page: Page,
    pub(crate) error: PageError,
    /// The code of the refusal and its reason, for whoever helps.
    pub(crate) code: &'static str,
    pub(crate) reason: &'static str,
    /// How the person may take the refusal to a client that nobody vouches for.
    pub(crate) back: Option<WayBack>,
}

/// An answer to a client that is sent only if the person wants it.
#[derive(Clone, Debug)]
pub(crate) struct WayBack {
    /// Where to, with the answer in it unless there are fields.
    pub(crate) address: String,
    /// Its host, if it has one.
    pub(crate) host: Option<String>,
    /// What is posted there, if the client asked for that.
    pub(crate) fields: Vec<(String, String)>,
}

/// What a page says when there is none to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageError {
    UnknownClient,
    BadRedirect,
    BadRequest,
    Forbidden,
    NotFound,
    Expired,
    Decided,
    Unavailable,
    Failed,
}

impl ErrorPage {
    fn said(&self) -> (&'static str, &'static str) {
        let t = self.page.t();
        match self.error {
            PageError::UnknownClient => (t.unknown_client_title, t.unknown_client),
            PageError::BadRedirect => (t.bad_redirect_title, t.bad_redirect),
            PageError::BadRequest => (t.bad_request_title, t.bad_request),
            PageError::Forbidden => (t.forbidden_title, t.forbidden),
            PageError::NotFound => (t.not_found_title, t.not_found),
            PageError::Expired => (t.expired_title, t.expired_page),
            PageError::Decided => (t.decided_title, t.decided),
            PageError::Unavailable => (t.unavailable_title, t.unavailable),
            PageError::Failed => (t.failed_title, t.failed),
        }
    }

    fn title(&self) -> &'static str {
        self.said().0
    }

    fn text(&self) -> &'static str {
        self.said().1
    }

    fn back_to(&self) -> String {
        let back = self.back.as_ref();
        self.page.back_to(back.and_then(|back| back.host.as_deref()))
    }
}

/// An answer that the browser posts to the client (OAuth 2.0 Form Post Response Mode).
#[derive(askama::Template)]
#[template(path = "form-post.html")]
pub(crate) struct FormPost {
    pub(crate) page: Page,
    /// The redirect URI, registered and checked.
    pub(crate) action: String,
    pub(crate) fields: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use askama::Template as _;

    use super::super::brand::Color;
    use super::*;

    const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}";

    fn text() -> String {
        HOSTILE.to_owned()
    }

    fn page(lang: Lang) -> Page {
        Page {
            lang,
            brand: Some(Brand {
                name: text(),
                logo: Some(text()),
                color: Color::parse("#1f5f51"),
            }),
            css: "/assets/vouchsafe.css",
            base: "/x".to_owned(),
        }
    }

    fn scopes() -> Vec<ScopeLine> {
        vec![
            ScopeLine {
                words: text(),
                at: None,
            },
            ScopeLine {
                words: text(),
                at: Some(text()),
            },
        ]
    }

    fn account(lang: Lang) -> Account {
        Account {
            page: page(lang),
            ticket: text(),
            username: text(),
            sessions: vec![SessionLine {
                id: text(),
                agent: text(),
                since: text(),
                last_seen: text(),
                current: true,
            }],
            apps: vec![AppLine {
                sid: text(),
                client: text(),
                scopes: vec![text()],
                since: text(),
                last_used: text(),
                offline: true,
            }],
            consents: vec![ConsentLine {
                client_id: text(),
                client: text(),
                scopes: vec![text()],
                since: text(),
            }],
            notice: Some(AccountNotice::AppEnded),
        }
    }

    fn consent(lang: Lang) -> Consent {
        Consent {
            page: page(lang),
            ticket: text(),
            question: text(),
            continue_to: text(),
            username: text(),
            client: text(),
            client_host: Some(Some(text())),
            redirect_host: text(),
            loopback: false,
            scopes: scopes(),
            policy_uri: Some(text()),
            tos_uri: Some(text()),
        }
    }

    fn device_pages(lang: Lang) -> Vec<askama::Result<String>> {
        let code = DeviceCode {
            page: page(lang),
            ticket: text(),
            user_code: text(),
            error: true,
        };
        let confirm = DeviceConfirm {
            page: page(lang),
            ticket: text(),
            user_code: text(),
            username: text(),
            client: text(),
            client_host: Some(Some(text())),
            scopes: scopes(),
            source: Some(text()),
        };
        let done = DeviceDone {
            page: page(lang),
            allowed: true,
        };
        vec![code.render(), confirm.render(), done.render()]
    }

    fn account_pages(lang: Lang) -> Vec<askama::Result<String>> {
        let sign_up = SignUp {
            page: page(lang),
            ticket: text(),
            continue_to: text(),
            username: text(),
            email: text(),
            error: Some(SignUpError::BadEmail),
        };
        let password = Password {
            page: page(lang),
            ticket: text(),
            username: text(),
            error: Some(PasswordError::Wrong),
        };
        vec![sign_up.render(), account(lang).render(), password.render()]
    }

    fn other_pages(lang: Lang) -> Vec<askama::Result<String>> {
        let sign_in = SignIn {
            page: page(lang),
            ticket: text(),
            continue_to: text(),
            username: text(),
            error: Some(SignInError::Wrong),
            created: true,
            sign_up: true,
        };
        let select = SelectAccount {
            page: page(lang),
            ticket: text(),
            continue_to: text(),
            username: text(),
        };
        let logout = Logout {
            page: page(lang),
            ticket: text(),
            continue_to: text(),
            username: text(),
            client: Some(text()),
        };
        let signed_out = SignedOut {
            page: page(lang),
            client: Some(text()),
            back: Some(text()),
        };
        let error = ErrorPage {
            page: page(lang),
            error: PageError::BadRedirect,
            code: "invalid_request",
            reason: HOSTILE,
            back: Some(WayBack {
                address: text(),
                host: Some(text()),
                fields: Vec::new(),
            }),
        };
        let form_post = FormPost {
            page: page(lang),
            action: text(),
            fields: vec![(text(), text())],
        };
        vec![
            sign_in.render(),
            select.render(),
            consent(lang).render(),
            logout.render(),
            signed_out.render(),
            error.render(),
            form_post.render(),
        ]
    }

    fn pages(lang: Lang) -> Vec<String> {
        let mut pages = device_pages(lang);
        pages.extend(account_pages(lang));
        pages.extend(other_pages(lang));
        pages.into_iter().map(|page| page.unwrap()).collect()
    }

    #[test]
    fn l13_whatever_is_shown_is_escaped() {
        for html in pages(Lang::En) {
            assert!(!html.contains("<script>"), "{html}");
            assert!(!html.contains("</script>\""), "{html}");
            assert!(html.contains("&#60;script&#62;alert(1)"), "{html}");
            for inline in [" style=", "<style", " onclick=", "javascript:"] {
                assert!(!html.contains(inline), "{inline}: {html}");
            }
        }
    }

    #[test]
    fn every_page_has_one_heading_one_main_part_and_its_language() {
        for lang in [Lang::En, Lang::De] {
            for html in pages(lang) {
                let count = |what: &str| html.matches(what).count();
                assert_eq!(
                    (count("<h1>"), count("<main>"), count("<title>")),
                    (1, 1, 1),
                    "{html}"
                );
                assert!(
                    html.contains(&format!("<html lang=\"{}\">", lang.as_str())),
                    "{html}"
                );
                assert!(
                    !html.contains("<title></title>") && !html.contains("data-page=\"\""),
                    "{html}"
                );
                assert!(count(" autofocus>") <= 1, "{html}");
                assert!(html.contains("href=\"/x/assets/vouchsafe.css\""), "{html}");
                assert!(html.contains("href=\"/x/assets/brand/1f5f51.css\""), "{html}");
            }
        }
    }

    #[test]
    fn every_form_of_ours_carries_a_ticket_and_stays_below_the_issuer() {
        for html in pages(Lang::En) {
            let forms = html.matches("<form").count();
            let ours = html.matches("action=\"/x/").count();
            if html.contains("data-page=\"form-post\"") {
                assert_eq!((forms, ours), (1, 0), "{html}");
                assert!(
                    html.contains("<script src=\"/x/assets/form-post.js\" defer></script>"),
                    "{html}"
                );
            } else {
                assert_eq!(
                    (forms, html.matches("name=\"ticket\"").count()),
                    (ours, forms),
                    "{html}"
                );
            }
        }
    }

    #[test]
    fn allow_and_deny_weigh_the_same() {
        let html = consent(Lang::En).render().unwrap();
        for decision in ["allow", "deny"] {
            let button =
                format!("<button class=\"button\" type=\"submit\" name=\"decision\" value=\"{decision}\">");
            assert!(html.contains(&button), "{html}");
        }
        assert!(html.contains("registered itself"), "{html}");
    }

    #[test]
    fn whoever_nobody_vouches_for_is_named_as_such_with_a_host_or_without() {
        for lang in [Lang::En, Lang::De] {
            let page = page(lang);
            let (somewhere, nowhere) = (Some("h.example".to_owned()), None);
            assert_eq!(page.unvetted("App", None), None);
            let said = page.unvetted("App", Some(&somewhere)).unwrap();
            assert!(said.contains("App") && said.contains("h.example"), "{said}");
            let said = page.unvetted("App", Some(&nowhere)).unwrap();
            assert!(said.contains("App") && !said.contains("h.example"), "{said}");
        }
    }

    #[test]
    fn an_answer_that_is_posted_waits_for_the_person() {
        let back = WayBack {
            address: "https://app.example/cb".to_owned(),
            host: None,
            fields: vec![("error".to_owned(), text())],
        };
        let error = ErrorPage {
            page: page(Lang::En),
            error: PageError::BadRequest,
            code: "invalid_scope",
            reason: "scope_not_allowed",
            back: Some(back),
        };
        let html = error.render().unwrap();
        assert!(
            html.contains("<form class=\"form after\" method=\"post\" action=\"https://app.example/cb\">"),
            "{html}"
        );
        assert!(
            html.contains("name=\"error\"") && !html.contains("form-post.js"),
            "{html}"
        );
        assert!(html.contains(Lang::En.texts().back_to_unnamed), "{html}");
    }

    #[test]
    fn what_is_not_asked_for_is_not_shown() {
        let plain = Consent {
            client_host: None,
            scopes: Vec::new(),
            policy_uri: None,
            tos_uri: None,
            loopback: true,
            ..consent(Lang::De)
        };
        let html = plain.render().unwrap();
        for absent in [
            "hat sich selbst registriert",
            "class=\"ticks\"",
            "class=\"links\"",
        ] {
            assert!(!html.contains(absent), "{absent}: {html}");
        }
        assert!(html.contains(Lang::De.texts().consent_goes_here), "{html}");
    }
}
