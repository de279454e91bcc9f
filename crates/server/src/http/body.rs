//! Reads a request body whole, within bytes and time, and lets a refused client finish writing so that it can read
//! the refusal.

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

/// How much of a refused body is thrown away before the connection is.
const LINGER_BYTES: usize = 8 * 1024 * 1024;
/// How long a refused body is thrown away before the connection is.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// A whole body and its share of the memory for bodies, given back on drop.
pub(super) struct Buffered {
    pub(super) bytes: Bytes,
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    TooLarge,
    TooSlow,
    Broken,
    NoRoom,
}

/// Reads `body` to its end. What it declares (or has sent) beyond the limit is refused without buffering it.
pub(super) async fn read<B>(
    body: &mut B,
    limits: &Limits,
    room: &Arc<Semaphore>,
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
    timeout(limits.body_deadline, collect(body, limits.body_bytes, room))
        .await
        .unwrap_or(Err(BodyError::TooSlow))
}

async fn collect<B>(body: &mut B, limit: usize, room: &Arc<Semaphore>) -> Result<Buffered, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut bytes = BytesMut::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
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
        let size = u32::try_from(chunk.len()).map_err(|_| BodyError::TooLarge)?;
        let share = Arc::clone(room)
            .try_acquire_many_owned(size)
            .map_err(|_| BodyError::NoRoom)?;
        match &mut held {
            Some(all) => all.merge(share),
            None => held = Some(share),
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Buffered {
        bytes: bytes.freeze(),
        room: held,
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
    use super::{BodyError, read};
    use crate::http::pipeline::Limits;
    use bytes::Bytes;
    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::{Body, Frame};
    use std::convert::Infallible;
    use std::io;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::Semaphore;

    const KIB_64: usize = 64 * 1024;

    async fn outcome<B>(mut body: B, room: usize) -> Result<usize, BodyError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let limits = Limits {
            body_deadline: Duration::from_millis(50),
            ..Limits::default()
        };
        let room = Arc::new(Semaphore::new(room));
        read(&mut body, &limits, &room)
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
        assert_eq!(outcome(full(1_000), 999).await, Err(BodyError::NoRoom));
    }

    #[tokio::test]
    async fn h05_room_is_given_back() {
        let room = Arc::new(Semaphore::new(KIB_64));
        let buffered = read(&mut full(1_000), &Limits::default(), &room).await;
        assert_eq!(room.available_permits(), KIB_64 - 1_000);
        drop(buffered);
        assert_eq!(room.available_permits(), KIB_64);
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
