//! The way out: what the issuer asks of other hosts, over https to the addresses of the whole world, each name resolved
//! once and every address of it judged before a connection is made.

mod address;
mod fetch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::ACCEPT;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;
use url::{Host, Url};
use vouchsafe_issuer::{Asked, Fetched, Outbound, OutboundError};
use vouchsafe_protocol::redirect_uri;

use address::is_public;

/// From the first look-up to the last byte.
const LIMIT: Duration = Duration::from_secs(2);
/// Names that are looked up at once. The system cannot be told to stop: a look-up that nobody waits for any more still holds
/// a thread that passwords and files need too.
const LOOK_UPS: usize = 64;

/// HTTP to other hosts.
pub(crate) struct HttpOutbound {
    tls: ClientConfig,
    allow_private: bool,
    look_ups: Arc<Semaphore>,
}

impl HttpOutbound {
    /// Trusts the certificate authorities that are compiled in.
    ///
    /// # Errors
    /// When the TLS library takes none of its own versions.
    pub(crate) fn new(allow_private: bool) -> Result<Self, rustls::Error> {
        let roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls,
            allow_private,
            look_ups: Arc::new(Semaphore::new(LOOK_UPS)),
        })
    }

    /// The addresses of a host, each of which may be asked.
    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, OutboundError> {
        self.must_be_web(url)?;
        let port = url
            .port_or_known_default()
            .ok_or(OutboundError::Refused("it has no port"))?;
        let found = match url.host() {
            Some(Host::Ipv4(address)) => vec![SocketAddr::from((address, port))],
            Some(Host::Ipv6(address)) => vec![SocketAddr::from((address, port))],
            Some(Host::Domain(name)) => self.look_up(name, port).await?,
            None => return Err(OutboundError::Refused("it has no host")),
        };
        let plain = url.scheme() == "http";
        if plain && !found.iter().all(|address| address.ip().is_loopback()) {
            return Err(OutboundError::Refused("http is for loopback hosts only"));
        }
        if !self.allow_private && !found.iter().all(|address| is_public(address.ip())) {
            return Err(OutboundError::Refused(
                "it leads to an address that is not public",
            ));
        }
        Ok(found)
    }

    async fn look_up(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, OutboundError> {
        let asked = (name.to_owned(), port);
        let found = held_to_its_end(&self.look_ups, async move {
            let found = tokio::net::lookup_host(asked).await;
            found.map(Iterator::collect::<Vec<SocketAddr>>)
        });
        let found = found.await?;
        let found = found.map_err(|error| OutboundError::Failed(error.to_string()))?;
        if found.is_empty() {
            return Err(OutboundError::Failed("the name has no address".to_owned()));
        }
        Ok(found)
    }

    fn must_be_web(&self, url: &Url) -> Result<(), OutboundError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutboundError::Refused("it holds credentials"));
        }
        if url.fragment().is_some() {
            return Err(OutboundError::Refused("it has a fragment"));
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.allow_private && redirect_uri::is_loopback(url.as_str()) => Ok(()),
            _ => Err(OutboundError::Refused("it is not https")),
        }
    }
}

impl Outbound for HttpOutbound {
    fn allows_private(&self) -> bool {
        self.allow_private
    }

    fn judge<'a>(&'a self, url: &'a Url) -> Asked<'a, ()> {
        Box::pin(within(async move { self.addresses(url).await.map(drop) }))
    }

    fn get<'a>(&'a self, url: &'a Url) -> Asked<'a, Fetched> {
        Box::pin(within(async move {
            let to = self.addresses(url).await?;
            let request =
                |client: &reqwest::Client| client.get(url.clone()).header(ACCEPT, "application/json");
            fetch::send(self.tls.clone(), to, request).await
        }))
    }

    fn post_form<'a>(&'a self, url: &'a Url, form: &'a [(&'a str, &'a str)]) -> Asked<'a, Fetched> {
        Box::pin(within(async move {
            let to = self.addresses(url).await?;
            let request = |client: &reqwest::Client| client.post(url.clone()).form(form);
            fetch::send(self.tls.clone(), to, request).await
        }))
    }
}

async fn within<T>(asked: impl Future<Output = Result<T, OutboundError>>) -> Result<T, OutboundError> {
    tokio::time::timeout(LIMIT, asked)
        .await
        .unwrap_or(Err(OutboundError::TooSlow))
}

/// Does the work as soon as there is a permit, which is given back only when the work is done, also where nobody waits for
/// it any more.
async fn held_to_its_end<T: Send + 'static>(
    permits: &Arc<Semaphore>,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, OutboundError> {
    let failed = || OutboundError::Failed("it was not looked up".to_owned());
    let permit = Arc::clone(permits).acquire_owned().await.map_err(|_| failed())?;
    let task = tokio::spawn(async move {
        let done = work.await;
        drop(permit);
        done
    });
    task.await.map_err(|_| failed())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn outbound(allow_private: bool) -> HttpOutbound {
        HttpOutbound::new(allow_private).unwrap()
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    /// Answers one request with these bytes; gives its address, and later what was asked.
    async fn answering(answer: Vec<u8>) -> (Url, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let length = stream.read(&mut asked).await.unwrap();
            // Whoever has read enough hangs up.
            let _ = stream.write_all(&answer).await;
            asked.truncate(length);
            String::from_utf8(asked).unwrap()
        });
        (url(&format!("http://{address}/client.json")), served)
    }

    fn with_body(head: &str, body: &[u8]) -> Vec<u8> {
        let mut answer = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend_from_slice(body);
        answer
    }

    #[tokio::test]
    async fn c03_cl26_nothing_but_https_to_public_addresses_is_asked() {
        for text in [
            "http://app.example/",
            "http://127.0.0.1/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://0/",
            "https://localhost/",
            "https://10.1.2.3/",
            "https://169.254.169.254/latest/meta-data/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[fd00::1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://user@1.1.1.1/",
            "https://1.1.1.1/#x",
            "file:///etc/passwd",
            "gopher://1.1.1.1/",
            "data:application/json,{}",
        ] {
            let (url, out) = (url(text), outbound(false));
            let answers = [
                out.judge(&url).await.err(),
                out.get(&url).await.err(),
                out.post_form(&url, &[]).await.err(),
            ];
            for error in answers {
                assert!(
                    matches!(error, Some(OutboundError::Refused(_))),
                    "{text}: {error:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn private_addresses_are_for_development_and_http_for_loopback() {
        let out = outbound(true);
        for text in [
            "https://10.1.2.3/",
            "https://127.0.0.1/",
            "http://127.0.0.1/",
            "http://localhost/",
        ] {
            assert!(out.judge(&url(text)).await.is_ok(), "{text}");
        }
        for text in [
            "http://10.1.2.3/",
            "http://1.1.1.1/",
            "http://app.example/",
            "ftp://127.0.0.1/",
        ] {
            let refused = out.judge(&url(text)).await;
            assert!(matches!(refused, Err(OutboundError::Refused(_))), "{text}");
        }
    }

    #[tokio::test]
    async fn a_document_is_read_with_its_lifetime() {
        let (url, served) = answering(with_body("200 OK\r\nCache-Control: max-age=60", b"{}")).await;
        let fetched = outbound(true).get(&url).await.unwrap();
        assert_eq!((fetched.status, fetched.body.as_slice()), (200, b"{}".as_slice()));
        assert_eq!(fetched.cache_for, Some(Duration::from_secs(60)));
        let asked = served.await.unwrap().to_ascii_lowercase();
        assert!(asked.starts_with("get /client.json http/1.1\r\n"), "{asked}");
        assert!(asked.contains("user-agent: vouchsafe\r\n"), "{asked}");
        assert!(
            !asked.contains("cookie") && !asked.contains("accept-encoding"),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn a_form_is_sent() {
        let (url, served) = answering(with_body("204 No Content", b"")).await;
        let fetched = outbound(true).post_form(&url, &[("logout_token", "a b&c")]).await;
        assert_eq!(fetched.unwrap().status, 204);
        let asked = served.await.unwrap();
        assert!(
            asked.contains("content-type: application/x-www-form-urlencoded\r\n"),
            "{asked}"
        );
        assert!(asked.starts_with("POST /client.json HTTP/1.1\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn c03_a_redirect_is_an_answer_like_any_other() {
        let head = "302 Found\r\nLocation: http://127.0.0.1:9/other";
        let (url, _served) = answering(with_body(head, b"")).await;
        assert_eq!(outbound(true).get(&url).await.unwrap().status, 302);
    }

    #[tokio::test]
    async fn c03_a_long_answer_is_not_read_to_its_end() {
        let fits = with_body("200 OK", &[b'x'; 64 * 1024]);
        let (url, _served) = answering(fits).await;
        assert_eq!(outbound(true).get(&url).await.unwrap().body.len(), 64 * 1024);
        let declared = with_body("200 OK", &[b'x'; 64 * 1024 + 1]);
        let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        endless.resize(endless.len() + 100 * 1024, b'x');
        for answer in [declared, endless] {
            let (url, _served) = answering(answer).await;
            let error = outbound(true).get(&url).await.err();
            assert!(matches!(error, Some(OutboundError::TooLarge)), "{error:?}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_a_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let free = listener.local_addr().unwrap();
        drop(listener);
        let error = outbound(true).get(&url(&format!("http://{free}/"))).await.err();
        assert!(matches!(error, Some(OutboundError::Failed(_))), "{error:?}");
    }

    #[tokio::test]
    async fn c03_a_look_up_that_nobody_waits_for_any_more_holds_its_permit() {
        let permits = Arc::new(Semaphore::new(1));
        let (answer, asked) = tokio::sync::oneshot::channel::<()>();
        let moment = Duration::from_millis(20);
        let hangs = held_to_its_end(&permits, asked);
        assert!(tokio::time::timeout(moment, hangs).await.is_err());
        let next = held_to_its_end(&permits, std::future::ready(1));
        assert!(tokio::time::timeout(moment, next).await.is_err());
        answer.send(()).unwrap();
        let next = held_to_its_end(&permits, std::future::ready(2)).await;
        assert_eq!(next.unwrap(), 2);
    }
}
