//! Reads a request body whole, within bytes and time, and lets a refused client finish writing so that it can read
//! the refusal.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::pipeline::Limits;
use super::share::{Share, Shares};

/// How much of a refused body is thrown away before the connection is.
const LINGER_BYTES: usize = 8 * 1024 * 1024;
/// How long a refused body is thrown away before the connection is.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// One address gets this part of the room for all bodies.
const PART_OF_AN_ADDRESS: usize = 16;

/// The memory for the bodies of all requests.
pub(super) struct BodyRoom {
    all: Arc<Semaphore>,
    addresses: Shares,
}

impl BodyRoom {
    /// Room for so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(bytes)),
            addresses: Shares::new(bytes / PART_OF_AN_ADDRESS),
        }
    }

    fn open(&self, address: IpAddr) -> Room {
        Room {
            all: Arc::clone(&self.all),
            held: None,
            share: self.addresses.open(address),
        }
    }
}

/// What one body takes of the [`BodyRoom`], given back on drop.
pub(super) struct Room {
    all: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    share: Share,
}

impl Room {
    /// Takes `bytes` more. A room that could not is of no more use.
    fn grow(&mut self, bytes: usize) -> bool {
        let Ok(size) = u32::try_from(bytes) else {
            return false;
        };
        if !self.share.grow(bytes) {
            return false;
        }
        let Ok(more) = Arc::clone(&self.all).try_acquire_many_owned(size) else {
            return false;
        };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }
}

/// A whole body and the room that it takes.
pub(super) struct Buffered {
    pub(super) bytes: Bytes,
    pub(super) room: Option<Room>,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    TooLarge,
    TooSlow,
    Broken,
    NoRoom,
}

/// Reads `body` to its end; `address` pays for it. What it declares (or has sent) beyond the limit is refused without
/// buffering it.
pub(super) async fn read<B>(
    body: &mut B,
    limits: &Limits,
    room: &BodyRoom,
    address: IpAddr,
) -> Result<Buffered, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return Err(BodyError::TooLarge);
    }
    if body.is_end_stream() {
        return Ok(Buffered {
            bytes: Bytes::new(),
            room: None,
        });
    }
    let room = room.open(address);
    timeout(limits.body_deadline, collect(body, limits.body_bytes, room))
        .await
        .unwrap_or(Err(BodyError::TooSlow))
}

async fn collect<B>(body: &mut B, limit: usize, mut room: Room) -> Result<Buffered, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(BodyError::Broken);
        };
        // Trailers say nothing here.
        let Ok(chunk) = frame.into_data() else {
            continue;
        };
        if chunk.len() > limit.saturating_sub(bytes.len()) {
            return Err(BodyError::TooLarge);
        }
        if !room.grow(chunk.len()) {
            return Err(BodyError::NoRoom);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Buffered {
        bytes: bytes.freeze(),
        room: Some(room),
    })
}

/// Throws the rest of a refused body away for a moment: closing with bytes unread resets the connection, and the
/// client would see that instead of the refusal. One that waits for `100 Continue` has sent nothing yet.
pub(super) fn linger<B>(body: B, headers: &HeaderMap)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    if !body.is_end_stream() && !headers.contains_key(EXPECT) {
        tokio::spawn(timeout(LINGER_TIME, discard(body)));
    }
}

async fn discard<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut left = LINGER_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        // An empty frame counts too.
        let size = frame.data_ref().map_or(1, |data| data.len().max(1));
        match left.checked_sub(size) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BodyError, BodyRoom, read};
    use crate::http::pipeline::Limits;
    use bytes::Bytes;
    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::{Body, Frame};
    use std::convert::Infallible;
    use std::io;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    const KIB_64: usize = 64 * 1024;
    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    /// Of a body that is sent while its address may send `room` bytes.
    async fn outcome<B>(mut body: B, room: usize) -> Result<usize, BodyError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let limits = Limits {
            body_deadline: Duration::from_millis(50),
            ..Limits::default()
        };
        read(&mut body, &limits, &BodyRoom::new(room * 16), ONE)
            .await
            .map(|buffered| buffered.bytes.len())
    }

    fn full(size: usize) -> Full<Bytes> {
        Full::new(Bytes::from(vec![b'x'; size]))
    }

    #[tokio::test]
    async fn h01_a_declared_size_is_judged_before_reading() {
        assert_eq!(outcome(full(KIB_64), KIB_64).await, Ok(KIB_64));
        assert_eq!(
            outcome(full(KIB_64 + 1), KIB_64 * 2).await,
            Err(BodyError::TooLarge)
        );
        assert_eq!(outcome(full(0), 0).await, Ok(0));
    }

    #[tokio::test]
    async fn h01_an_endless_chunked_body_stops_at_the_limit() {
        let chunk = Bytes::from(vec![b'x'; 1_000]);
        let endless = stream::repeat_with(move || Ok::<_, Infallible>(Frame::data(chunk.clone())));
        assert_eq!(
            outcome(StreamBody::new(endless), KIB_64 * 2).await,
            Err(BodyError::TooLarge)
        );
    }

    #[tokio::test]
    async fn h05_a_body_that_stops_coming_meets_the_deadline() {
        let silent = stream::pending::<Result<Frame<Bytes>, Infallible>>();
        assert_eq!(
            outcome(StreamBody::new(silent), KIB_64).await,
            Err(BodyError::TooSlow)
        );
    }

    #[tokio::test]
    async fn h01_all_bodies_together_are_bounded() {
        let room = BodyRoom::new(16_000);
        let taken = room.all.try_acquire_many(15_001);
        assert!(taken.is_ok());
        let buffered = read(&mut full(1_000), &Limits::default(), &room, ONE).await;
        assert_eq!(buffered.err(), Some(BodyError::NoRoom));
    }

    #[tokio::test]
    async fn h05_one_address_gets_a_sixteenth_of_the_room() {
        assert_eq!(outcome(full(1_001), 1_000).await, Err(BodyError::NoRoom));
        let (room, limits) = (BodyRoom::new(16_000), Limits::default());
        let first = read(&mut full(600), &limits, &room, ONE).await;
        let second = read(&mut full(401), &limits, &room, ONE).await;
        assert_eq!(second.err(), Some(BodyError::NoRoom));
        assert!(read(&mut full(1_000), &limits, &room, OTHER).await.is_ok());
        drop(first);
        assert!(read(&mut full(1_000), &limits, &room, ONE).await.is_ok());
        assert_eq!(room.all.available_permits(), 16_000);
    }

    #[tokio::test]
    async fn h05_room_is_given_back() {
        let room = BodyRoom::new(KIB_64);
        let buffered = read(&mut full(1_000), &Limits::default(), &room, ONE).await;
        assert_eq!(room.all.available_permits(), KIB_64 - 1_000);
        drop(buffered);
        assert_eq!(room.all.available_permits(), KIB_64);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_refused() {
        let broken = stream::iter([
            Ok(Frame::data(Bytes::from_static(b"grant_"))),
            Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        ]);
        assert_eq!(
            outcome(StreamBody::new(broken), KIB_64).await,
            Err(BodyError::Broken)
        );
    }
}
