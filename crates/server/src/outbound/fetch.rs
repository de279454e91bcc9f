//! One request to addresses that were judged before: no redirect, no proxy, no cookie, no compression, and no more of the
//! answer than is wanted.

use std::future::ready;
use std::net::SocketAddr;
use std::time::Duration;

use http::HeaderMap;
use http::header::CACHE_CONTROL;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use rustls::ClientConfig;
use vouchsafe_issuer::{Fetched, OutboundError};
use vouchsafe_protocol::Chain;

/// The longest body that is read.
const MAX_BODY: usize = 64 * 1024;
const USER_AGENT: &str = "vouchsafe";

/// Answers every question for an address with those that were judged: no second look-up can say otherwise.
struct Pinned(Vec<SocketAddr>);

impl Resolve for Pinned {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(ready(Ok(addresses)))
    }
}

/// Sends one request to these addresses and reads the answer.
pub(super) async fn send(
    tls: ClientConfig,
    to: Vec<SocketAddr>,
    request: impl FnOnce(&Client) -> RequestBuilder,
) -> Result<Fetched, OutboundError> {
    let client = client(tls, to)?;
    let mut response = request(&client).send().await.map_err(failed)?;
    let (status, cache_for) = (response.status().as_u16(), cache_for(response.headers()));
    let declared = response.content_length().unwrap_or(0);
    if declared > MAX_BODY as u64 {
        return Err(OutboundError::TooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if chunk.len() > MAX_BODY.saturating_sub(body.len()) {
            return Err(OutboundError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Fetched {
        status,
        body,
        cache_for,
    })
}

fn client(tls: ClientConfig, to: Vec<SocketAddr>) -> Result<Client, OutboundError> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Pinned(to))
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .http1_only()
        .pool_max_idle_per_host(0)
        .user_agent(USER_AGENT)
        .build()
        .map_err(failed)
}

fn failed(error: reqwest::Error) -> OutboundError {
    OutboundError::Failed(Chain(&error.without_url()).to_string())
}

/// How long the answer may be kept (RFC 9111 5.2.2): the shortest `max-age`, and not at all where it says so.
fn cache_for(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let directives = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','));
    let lifetime = |directive: &str| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => Some(0),
            "max-age" => value.trim().trim_matches('"').parse().ok(),
            _ => None,
        }
    };
    directives.filter_map(lifetime).min().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_shortest_lifetime_counts() {
        for (values, seconds) in [
            ("max-age=600", Some(600)),
            ("public, max-age=\"60\"", Some(60)),
            ("Max-Age=600, must-revalidate|max-age=5", Some(5)),
            ("max-age=600, no-store", Some(0)),
            ("no-cache", Some(0)),
            ("public", None),
            ("max-age=-1", None),
            ("max-age=99999999999999999999999", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values.split('|') {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(value));
            }
            assert_eq!(cache_for(&headers), seconds.map(Duration::from_secs), "{values}");
        }
    }
}
