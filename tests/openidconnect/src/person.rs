//! A person who needs no browser: keeps cookies, follows redirects within the issuer, and posts the forms of its pages.

use std::collections::BTreeMap;

use openidconnect::reqwest::blocking::{Client, RequestBuilder};
use openidconnect::reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use openidconnect::url::Url;

use crate::Outcome;

/// More redirects than any answer needs.
const REDIRECTS: usize = 10;

/// Where a request led to.
#[derive(Debug)]
pub enum Arrival {
    /// A page of the issuer.
    Page(Page),
    /// Another site, which is not asked.
    Away(Url),
}

impl Arrival {
    /// The page, or an error that names the other site.
    ///
    /// # Errors
    /// It is none.
    pub fn page(self) -> Outcome<Page> {
        match self {
            Self::Page(page) => Ok(page),
            Self::Away(url) => Err(format!("a page was expected, and not {url}").into()),
        }
    }

    /// The address at the other site, or an error that shows the page.
    ///
    /// # Errors
    /// It is none.
    pub fn away(self) -> Outcome<Url> {
        match self {
            Self::Away(url) => Ok(url),
            Self::Page(page) => Err(format!(
                "the way back was expected, and not {} ({})\n{}",
                page.url, page.status, page.html
            )
            .into()),
        }
    }
}

/// A page as it was sent.
#[derive(Debug)]
pub struct Page {
    /// Where it is, after redirects.
    pub url: Url,
    /// Its status.
    pub status: u16,
    /// Its text.
    pub html: String,
}

/// A person with cookies.
pub struct Person {
    http: Client,
    issuer: Url,
    cookies: BTreeMap<String, String>,
}

impl Person {
    /// Someone whom the issuer does not know yet. The client must follow no redirect.
    ///
    /// # Errors
    /// The issuer is no URL.
    pub fn new(http: &Client, issuer: &str) -> Outcome<Self> {
        Ok(Self {
            http: http.clone(),
            issuer: Url::parse(issuer)?,
            cookies: BTreeMap::new(),
        })
    }

    /// Opens an address.
    ///
    /// # Errors
    /// No answer, or redirects without an end.
    pub fn open(&mut self, url: Url) -> Outcome<Arrival> {
        let request = self.http.get(url.clone());
        self.follow(request, url)
    }

    /// Posts the form of a page that has the first of these fields, with what it hides.
    ///
    /// # Errors
    /// There is no such form; as for [`Person::open`].
    pub fn submit(&mut self, page: &Page, filled: &[(&str, &str)]) -> Outcome<Arrival> {
        let form = page
            .html
            .split("<form")
            .skip(1)
            .filter_map(|rest| rest.split("</form>").next())
            .find(|form| {
                let names = tags(form, "input").chain(tags(form, "button"));
                let mut names = names.filter_map(|tag| attribute(tag, "name"));
                filled
                    .first()
                    .is_some_and(|(wanted, _)| names.any(|name| name == *wanted))
            })
            .ok_or_else(|| format!("no form with {filled:?} on {}\n{}", page.url, page.html))?;
        let mut fields = Vec::new();
        for tag in tags(form, "input") {
            if attribute(tag, "type").as_deref() == Some("hidden")
                && let Some(name) = attribute(tag, "name")
            {
                fields.push((name, attribute(tag, "value").unwrap_or_default()));
            }
        }
        fields.retain(|(name, _)| !filled.iter().any(|(filled, _)| filled == name));
        let filled = filled
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        fields.extend(filled);
        let action = form.split('>').next().and_then(|tag| attribute(tag, "action"));
        let url = page.url.join(&action.unwrap_or_default())?;
        let request = self.http.post(url.clone()).form(&fields);
        self.follow(request.header(ORIGIN, page.url.origin().ascii_serialization()), url)
    }

    fn follow(&mut self, mut request: RequestBuilder, mut url: Url) -> Outcome<Arrival> {
        for _ in 0..REDIRECTS {
            if !self.cookies.is_empty() {
                request = request.header(COOKIE, self.cookie());
            }
            let answer = request.send()?;
            for set in answer.headers().get_all(SET_COOKIE) {
                self.keep(set.to_str()?);
            }
            let Some(location) = answer.headers().get(LOCATION) else {
                return Ok(Arrival::Page(Page {
                    url,
                    status: answer.status().as_u16(),
                    html: answer.text()?,
                }));
            };
            url = url.join(location.to_str()?)?;
            if url.origin() != self.issuer.origin() {
                return Ok(Arrival::Away(url));
            }
            request = self.http.get(url.clone());
        }
        Err(format!("redirects without an end, at {url}").into())
    }

    fn cookie(&self) -> String {
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    /// Takes over one Set-Cookie; an empty value takes the cookie away.
    fn keep(&mut self, set: &str) {
        let pair = set.split(';').next().unwrap_or_default();
        if let Some((name, value)) = pair.split_once('=') {
            self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            self.cookies.retain(|_, value| !value.is_empty());
        }
    }
}

/// The insides of every tag of this name.
fn tags<'a>(html: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    html.split('<').filter_map(move |rest| {
        let inside = rest.strip_prefix(name)?;
        let inside = inside.split('>').next()?;
        inside.starts_with(char::is_whitespace).then_some(inside)
    })
}

/// The value of an attribute in double quotes.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = format!("{name}=\"");
    let at = tag
        .match_indices(&start)
        .map(|(at, _)| at)
        .find(|at| tag.get(..*at).is_some_and(|before| before.ends_with(char::is_whitespace)))?;
    let value = tag.get(at + start.len()..)?.split('"').next()?;
    Some(unescaped(value))
}

/// Takes back what HTML escapes.
fn unescaped(text: &str) -> String {
    let names = [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#x27;", "'"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ];
    names.iter().fold(text.to_owned(), |text, (escaped, plain)| {
        text.replace(escaped, plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_attributes_are_read() {
        let form = r#" method="post" action="/a?b=1&#38;c=2"><input type="hidden" name="ticket" value="a&#34;b"><button
            name="decision" value="allow">Allow</button><inputs name="no">"#;
        let hidden: Vec<&str> = tags(form, "input").collect();
        assert_eq!(hidden.len(), 1);
        assert_eq!(attribute(hidden[0], "value").unwrap(), "a\"b");
        assert_eq!(attribute(hidden[0], "lue"), None);
        assert_eq!(
            attribute(form.split('>').next().unwrap(), "action").unwrap(),
            "/a?b=1&c=2"
        );
        assert_eq!(attribute(tags(form, "button").next().unwrap(), "name").unwrap(), "decision");
    }
}
