//! A browser without a window: keeps cookies, reads forms off pages and posts them, and follows nothing by itself. And the
//! code flow of an application, by way of it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use reqwest::header::HeaderMap;
use url::{Url, form_urlencoded};

use crate::app::password_of;
use crate::{Answer, TestApp, TestClient, http_client};

/// A verifier of PKCE that fits [`CHALLENGE`] (RFC 7636, appendix B).
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Its challenge.
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// Where the applications of tests are sent back to.
pub const CALLBACK: &str = "https://app.example/cb";

/// Steps that a flow may take before something is wrong.
const STEPS: usize = 10;

/// A browser.
pub struct Browser<'a> {
    app: &'a TestApp,
    http: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// A page, or a redirect.
#[derive(Debug)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
    /// The path and query that were asked for.
    pub address: String,
}

impl<'a> Browser<'a> {
    /// A new one, without cookies.
    pub fn new(app: &'a TestApp) -> Self {
        let http = http_client()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            app,
            http,
            cookies: Mutex::default(),
        }
    }

    /// One at which a person signed in.
    pub async fn signed_in(app: &'a TestApp, name: &str) -> Self {
        let browser = Self::new(app);
        browser.sign_in(name).await;
        browser
    }

    /// The value of its cookie, if it has one.
    pub fn cookie(&self) -> Option<String> {
        self.cookies.lock().unwrap().values().next().cloned()
    }

    /// Gives it a cookie from elsewhere.
    pub fn set_cookie(&self, value: &str) {
        let mut cookies = self.cookies.lock().unwrap();
        cookies.insert("vouchsafe".to_owned(), value.to_owned());
    }

    /// Asks for a path of the issuer.
    pub async fn get(&self, path: &str) -> Page {
        self.send(reqwest::Method::GET, path, &[], &[]).await
    }

    /// The same with headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Page {
        self.send(reqwest::Method::GET, path, &[], headers).await
    }

    /// Posts fields to a path.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.send(reqwest::Method::POST, path, fields, &[]).await
    }

    /// The same with headers.
    pub async fn post_with(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Page {
        self.send(reqwest::Method::POST, path, fields, headers).await
    }

    async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Page {
        let is_form = method == reqwest::Method::POST;
        let mut request = self.http.request(method, format!("{}{path}", self.app.base));
        let cookies = self.cookies.lock().unwrap().clone();
        if !cookies.is_empty() {
            let pairs: Vec<String> = cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request = request.header("cookie", pairs.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if is_form {
            request = request.form(fields);
        }
        let response = request.send().await.unwrap();
        for value in response.headers().get_all("set-cookie") {
            self.keep(value.to_str().unwrap());
        }
        Page {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
            address: path.to_owned(),
        }
    }

    fn keep(&self, header: &str) {
        let (name, rest) = header.split_once('=').unwrap();
        let value = rest.split(';').next().unwrap_or_default();
        let mut cookies = self.cookies.lock().unwrap();
        if value.is_empty() {
            cookies.remove(name);
        } else {
            cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Posts the first form of a page, its hidden fields included.
    pub async fn submit(&self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let (action, hidden) = page.form();
        let mut all: Vec<(&str, &str)> = hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !fields.iter().any(|(field, _)| field == name))
            .collect();
        all.extend(fields);
        self.post(&action, &all).await
    }

    /// Goes where a redirect of the issuer leads.
    pub async fn follow(&self, page: &Page) -> Page {
        self.get(&page.place()).await
    }

    /// Signs a person in whom [`TestApp::user`] made.
    pub async fn sign_in(&self, name: &str) {
        let page = self.get("/sign-in").await;
        let password = password_of(name);
        let done = self
            .submit(&page, &[("username", name), ("password", &password)])
            .await;
        assert_eq!(done.status, 303, "{}", done.text);
    }

    /// The query of an authorization request with PKCE.
    pub fn request(client: &TestClient<'_>, more: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let usual = [
            ("client_id", client.id),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("state", "st4te"),
        ];
        for (name, value) in usual {
            if !more.iter().any(|(other, _)| *other == name) {
                query.append_pair(name, value);
            }
        }
        for (name, value) in more.iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        query.finish()
    }

    /// Begins an authorization request.
    pub async fn authorize(&self, client: &TestClient<'_>, more: &[(&str, &str)]) -> Page {
        let query = Self::request(client, more);
        self.get(&format!("/authorize?{query}")).await
    }

    /// Goes through pages, allowing what is asked, until the client is answered: then that redirect.
    pub async fn go_through(&self, begun: Page) -> Page {
        let mut page = begun;
        for _ in 0..STEPS {
            page = match page.status {
                303 if page.leaves(&self.app.base) => return page,
                303 => self.follow(&page).await,
                200 if page.is("consent") => self.submit(&page, &[("decision", "allow")]).await,
                200 if page.is("select-account") => self.submit(&page, &[("choice", "current")]).await,
                _ => return page,
            };
        }
        panic!("no end: {page:?}")
    }

    /// A code, for whoever is signed in.
    pub async fn code(&self, client: &TestClient<'_>, more: &[(&str, &str)]) -> String {
        let page = self.go_through(self.authorize(client, more).await).await;
        page.answer("code").unwrap_or_else(|| panic!("no code: {page:?}"))
    }

    /// The whole code flow, for whoever is signed in.
    pub async fn code_grant(&self, client: &TestClient<'_>, more: &[(&str, &str)]) -> Answer {
        let code = self.code(client, more).await;
        client.redeem(&code).await
    }
}

impl Page {
    /// The redirect's address; empty for a page.
    pub fn location(&self) -> &str {
        let location = self.headers.get("location");
        location.map_or("", |location| location.to_str().unwrap())
    }

    /// The path and query of a redirect within the issuer.
    fn place(&self) -> String {
        let location = self.location();
        match Url::parse(location) {
            Ok(url) => match url.query() {
                Some(query) => format!("{}?{query}", url.path()),
                None => url.path().to_owned(),
            },
            Err(_) => location.to_owned(),
        }
    }

    /// Whether the redirect leads away from the issuer.
    pub fn leaves(&self, base: &str) -> bool {
        let location = self.location();
        !location.starts_with('/') && !location.starts_with(base)
    }

    /// One parameter of an answer to a client.
    pub fn answer(&self, name: &str) -> Option<String> {
        let url = Url::parse(self.location()).ok()?;
        url.query_pairs()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.into_owned())
    }

    /// Whether this is the page of that name.
    pub fn is(&self, name: &str) -> bool {
        self.text.contains(&format!("data-page=\"{name}\""))
    }

    /// One header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The value of a hidden field of the first form.
    pub fn hidden(&self, name: &str) -> String {
        let (_, fields) = self.form();
        let found = fields.into_iter().find(|(field, _)| field == name);
        found
            .unwrap_or_else(|| panic!("no field {name}: {}", self.text))
            .1
    }

    /// Where the first form goes, and its hidden fields.
    pub fn form(&self) -> (String, Vec<(String, String)>) {
        let (_, rest) = self
            .text
            .split_once("<form")
            .unwrap_or_else(|| panic!("no form: {} {} {}", self.status, self.location(), self.text));
        let form = rest.split("</form>").next().unwrap();
        let action = attribute(form.split('>').next().unwrap(), "action").unwrap();
        let inputs = form
            .split("<input")
            .skip(1)
            .map(|input| input.split('>').next().unwrap());
        let hidden = inputs.filter(|input| attribute(input, "type").as_deref() == Some("hidden"));
        let fields = hidden
            .map(|input| {
                (
                    attribute(input, "name").unwrap(),
                    attribute(input, "value").unwrap(),
                )
            })
            .collect();
        (action, fields)
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let value = rest.split('"').next()?;
    Some(
        value
            .replace("&#38;", "&")
            .replace("&amp;", "&")
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&#60;", "<")
            .replace("&#62;", ">"),
    )
}
