//! The way between an issuer and its PostgreSQL, which a test can make slow, silent or impassable, or have lose exactly
//! the answer to a COMMIT. It knows as much of the protocol as that takes: messages, and which statement they run
//! (PostgreSQL manual, "Frontend/Backend Protocol", "Message Formats").

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream, tcp, unix};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::Cluster;

/// The letters of messages, as the protocol has them.
mod letter {
    pub(super) const QUERY: u8 = b'Q';
    pub(super) const PARSE: u8 = b'P';
    pub(super) const BIND: u8 = b'B';
    pub(super) const COMMAND_COMPLETE: u8 = b'C';
    pub(super) const ERROR: u8 = b'E';
    pub(super) const READY_FOR_QUERY: u8 = b'Z';
    /// A notification, a notice, a changed parameter: what comes without having been asked for.
    pub(super) const UNASKED: [u8; 3] = [b'A', b'N', b'S'];
}

/// A letter and a length.
const HEAD: usize = 5;

/// Picks statements by their text.
type Picks = Arc<dyn Fn(&str) -> bool + Send + Sync>;

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Flow {
    #[default]
    Open,
    Silent,
    Cut,
}

/// What the proxy does now.
#[derive(Clone, Default)]
struct Rules {
    flow: Flow,
    /// How long the answer to each request waits.
    delay: Duration,
    blocked: Option<Picks>,
    held: Option<Picks>,
}

impl Rules {
    fn blocks(&self, text: &str) -> bool {
        self.blocked.as_ref().is_some_and(|picks| picks(text))
    }

    fn holds(&self, text: &str) -> bool {
        self.held.as_ref().is_some_and(|picks| picks(text))
    }
}

#[derive(Default)]
struct Counts {
    /// So many commits from now, one loses its answer; 0 for none.
    commits_left: AtomicUsize,
    lost: AtomicUsize,
    holding: AtomicUsize,
}

impl Counts {
    /// Counts a COMMIT; says whether it is the one that loses its answer.
    fn loses(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        let before = self
            .commits_left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less);
        before == Ok(1)
    }
}

/// A port on this machine that leads to a [`Cluster`]. What goes through it ends when this is dropped.
pub struct Proxy {
    address: SocketAddr,
    rules: watch::Sender<Rules>,
    counts: Arc<Counts>,
}

impl Proxy {
    /// Starts one, on the runtime of the caller, that lets everything pass.
    pub fn start(cluster: &Cluster) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let (rules, followed) = watch::channel(Rules::default());
        let counts = Arc::<Counts>::default();
        let way = Way {
            rules: followed,
            counts: Arc::clone(&counts),
        };
        tokio::spawn(accept(listener, cluster.socket(), way));
        Self {
            address,
            rules,
            counts,
        }
    }

    /// The URL by which a database of the cluster is reached through here.
    pub fn url(&self, database_url: &str) -> String {
        let (user, place) = database_url.split_once('@').unwrap();
        let (_, name) = place.split_once('/').unwrap();
        let name = name.split('?').next().unwrap_or(name);
        format!("{user}@{}/{name}?sslmode=disable", self.address)
    }

    /// From now on the answer to each request of the issuer waits so long, also while a connection is being made.
    pub fn delay(&self, pause: Duration) {
        self.rules.send_modify(|rules| rules.delay = pause);
    }

    /// Closes every connection, and each new one as soon as it is made, until [`Proxy::heal`].
    pub fn cut(&self) {
        self.rules.send_modify(|rules| rules.flow = Flow::Cut);
    }

    /// Accepts everything and passes on nothing, until [`Proxy::heal`]; what was sent meanwhile arrives then.
    pub fn hang(&self) {
        self.rules.send_modify(|rules| rules.flow = Flow::Silent);
    }

    /// The answer to the `n`-th COMMIT from now is lost, once the database has given it, and its connection with it.
    pub fn cut_after_commit(&self, n: usize) {
        self.counts.commits_left.store(n, Ordering::Release);
    }

    /// How many COMMITs have lost their answer.
    pub fn lost_commits(&self) -> usize {
        self.counts.lost.load(Ordering::Acquire)
    }

    /// A statement that mentions this word does not get through: its connection is closed, until [`Proxy::heal`].
    pub fn block(&self, word: &str) {
        let word = word.to_owned();
        let picks: Picks = Arc::new(move |text| text.contains(&word));
        self.rules.send_modify(|rules| rules.blocked = Some(picks));
    }

    /// Statements that are picked by their text wait here with their connection, until [`Proxy::heal`].
    pub fn hold(&self, picks: impl Fn(&str) -> bool + Send + Sync + 'static) {
        let picks: Picks = Arc::new(picks);
        self.rules.send_modify(|rules| rules.held = Some(picks));
    }

    /// How many statements wait now because of [`Proxy::hold`].
    pub fn holding(&self) -> usize {
        self.counts.holding.load(Ordering::Acquire)
    }

    /// Lets everything pass again, at once.
    pub fn heal(&self) {
        self.counts.commits_left.store(0, Ordering::Release);
        self.rules.send_replace(Rules::default());
    }
}

/// What every connection through the proxy obeys and counts.
#[derive(Clone)]
struct Way {
    rules: watch::Receiver<Rules>,
    counts: Arc<Counts>,
}

/// Why nothing more passes: the proxy is gone.
fn gone<E>(_: E) -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

impl Way {
    /// Completes when the rules allow it.
    async fn until(&mut self, allowed: impl FnMut(&Rules) -> bool) -> io::Result<()> {
        self.rules.wait_for(allowed).await.map(drop).map_err(gone)
    }

    /// Waits as long as answers wait now, or until they no longer do.
    async fn pause(&mut self) -> io::Result<()> {
        let delay = self.rules.borrow().delay;
        if delay.is_zero() {
            return Ok(());
        }
        match timeout(delay, self.until(|rules| rules.delay.is_zero())).await {
            Ok(healed) => healed,
            Err(_) => Ok(()),
        }
    }
}

async fn accept(listener: TcpListener, socket: PathBuf, way: Way) {
    let mut proxy = way.rules.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Never true, so this ends with the proxy only.
            _ = proxy.wait_for(|_| false) => return,
        };
        let is_cut = way.rules.borrow().flow == Flow::Cut;
        if let (Ok((client, _)), false) = (accepted, is_cut) {
            tokio::spawn(pass(client, socket.clone(), way.clone()));
        }
    }
}

/// Passes on both ways until one side is gone or the proxy cuts it.
async fn pass(client: TcpStream, socket: PathBuf, mut way: Way) {
    let Ok(server) = UnixStream::connect(socket).await else {
        return;
    };
    // Without it the measured delays would be those of the kernel.
    let _ = client.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let lost = AtomicBool::new(false);
    let (asking, answering) = (way.clone(), way.clone());
    tokio::select! {
        _ = ask(from_client, to_server, asking, &lost) => {}
        _ = answer(from_server, to_client, answering, &lost) => {}
        _ = way.until(|rules| rules.flow == Flow::Cut) => {}
    }
}

/// From the issuer to the database.
async fn ask(
    mut from: tcp::OwnedReadHalf,
    mut to: unix::OwnedWriteHalf,
    mut way: Way,
    lost: &AtomicBool,
) -> io::Result<()> {
    // The first message has no letter.
    let mut message = read(&mut from, HEAD - 1).await?;
    let mut statements = Statements::default();
    loop {
        way.until(|rules| rules.flow != Flow::Silent).await?;
        to.write_all(&message).await?;
        message = read(&mut from, HEAD).await?;
        let Some(Statement { text, runs }) = statements.see(&message) else {
            continue;
        };
        if way.rules.borrow().blocks(&text) {
            return Ok(());
        }
        if way.rules.borrow().holds(&text) {
            way.counts.holding.fetch_add(1, Ordering::AcqRel);
            let released = way.until(|rules| !rules.holds(&text)).await;
            way.counts.holding.fetch_sub(1, Ordering::AcqRel);
            released?;
        }
        if runs && is_commit(&text) && way.counts.loses() {
            lost.store(true, Ordering::Release);
        }
    }
}

/// From the database to the issuer.
async fn answer(
    mut from: unix::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut way: Way,
    lost: &AtomicBool,
) -> io::Result<()> {
    let mut begun = false;
    loop {
        let message = read(&mut from, HEAD).await?;
        let kind = message[0];
        if lost.load(Ordering::Acquire) {
            match kind {
                letter::COMMAND_COMPLETE => {
                    way.counts.lost.fetch_add(1, Ordering::AcqRel);
                    return Ok(());
                }
                letter::ERROR => return Ok(()),
                _ => continue,
            }
        }
        if !letter::UNASKED.contains(&kind) {
            if !begun {
                way.pause().await?;
            }
            begun = kind != letter::READY_FOR_QUERY;
        }
        way.until(|rules| rules.flow != Flow::Silent).await?;
        to.write_all(&message).await?;
    }
}

/// One message whole; `head` is what it has before its body, the last four bytes of which are its length.
async fn read(from: &mut (impl AsyncRead + Unpin), head: usize) -> io::Result<Vec<u8>> {
    let mut message = vec![0; head];
    from.read_exact(&mut message).await?;
    let length = message[head - 4..].iter().fold(0, |length: usize, byte| {
        length.wrapping_mul(256).wrapping_add(usize::from(*byte))
    });
    // The length counts itself.
    message.resize(head + length.saturating_sub(4), 0);
    from.read_exact(&mut message[head..]).await?;
    Ok(message)
}

/// The texts of the statements that a connection has prepared, by name.
#[derive(Default)]
struct Statements(HashMap<String, String>);

/// A statement that a message is about.
struct Statement {
    text: String,
    /// True when the message runs it, false when it prepares it.
    runs: bool,
}

impl Statements {
    fn see(&mut self, message: &[u8]) -> Option<Statement> {
        let mut words = message[HEAD..]
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned());
        let (text, runs) = match message[0] {
            letter::QUERY => (words.next()?, true),
            letter::PARSE => {
                let (name, text) = (words.next()?, words.next()?);
                self.0.insert(name, text.clone());
                (text, false)
            }
            letter::BIND => (self.0.get(&words.nth(1)?)?.clone(), true),
            _ => return None,
        };
        Some(Statement { text, runs })
    }
}

/// True when the last of the statements in a text is COMMIT.
fn is_commit(text: &str) -> bool {
    let mut statements = text.rsplit(';').map(str::trim);
    let last = statements.find(|statement| !statement.is_empty());
    last.is_some_and(|last| last.eq_ignore_ascii_case("commit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with this letter and body.
    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind][..], &length, body].concat()
    }

    #[tokio::test]
    async fn messages_are_read_whole_and_one_by_one() {
        let first = message(letter::QUERY, b"COMMIT\0");
        let stream = [first.clone(), message(b'S', b"")].concat();
        let mut stream = stream.as_slice();
        assert_eq!(read(&mut stream, HEAD).await.unwrap(), first);
        assert_eq!(read(&mut stream, HEAD).await.unwrap(), b"S\0\0\0\x04");
        assert!(read(&mut stream, HEAD).await.is_err());
    }

    #[test]
    fn a_prepared_statement_is_known_when_it_runs() {
        let mut statements = Statements::default();
        let parse = message(letter::PARSE, b"s_1\0SELECT 1\0\0\0");
        let seen = statements.see(&parse).unwrap();
        assert_eq!((seen.text.as_str(), seen.runs), ("SELECT 1", false));
        let bind = message(letter::BIND, b"\0s_1\0\0\0\0\0\0\0");
        let seen = statements.see(&bind).unwrap();
        assert_eq!((seen.text.as_str(), seen.runs), ("SELECT 1", true));
        assert!(statements.see(&message(b'E', b"\0\0\0\0\0")).is_none());
    }

    #[test]
    fn the_commit_that_loses_its_answer_is_the_one_that_was_named() {
        assert!(is_commit("COMMIT") && is_commit("UPDATE a SET b = 1; commit;"));
        assert!(!is_commit("ROLLBACK") && !is_commit("SELECT 'COMMIT'"));
        let counts = Counts::default();
        assert!(!counts.loses());
        counts.commits_left.store(2, Ordering::Release);
        assert_eq!(
            [counts.loses(), counts.loses(), counts.loses()],
            [false, true, false]
        );
    }
}
