//! Bodies on their way through: streamed as they come, trailers too. Collecting them, for functions that
//! want them, is `whole`'s.
//!
//! Both directions give up when the sender makes no progress for a while. A peer that reads slowly is
//! not waited for here: nothing is polled then.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};

use super::account::Account;
use super::upstream::Lease;

/// How long a client may send nothing in the middle of a body.
const CLIENT_STALL_MAX: Duration = Duration::from_mins(1);
/// How long an upstream may: longer, since streams of events have pauses.
const UPSTREAM_STALL_MAX: Duration = Duration::from_mins(5);

/// Why a body ended early. The connection it went to is cut, so that its reader sees it too.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The connection that it came from failed.
    #[error("read body: {0}")]
    Broken(#[from] hyper::Error),
    /// Nothing came for too long.
    #[error("nothing of the body came for {0:?}")]
    Stalled(Duration),
}

/// A request's body on its way upstream.
#[derive(Debug)]
pub enum RequestBody {
    /// There is none.
    Empty,
    /// The client's.
    Streamed(Streamed),
    /// What functions had whole, or put in its place.
    Whole(Bytes),
}

/// A client's body, and who is told when it is through.
#[derive(Debug)]
pub struct Streamed {
    source: Incoming,
    patience: Patience,
    /// Counts bytes, where nobody said before how many there are.
    arriving: Option<Arc<AtomicU64>>,
    /// Dropped at the end, which the other side notices.
    _through: oneshot::Sender<()>,
}

impl RequestBody {
    /// The body that a client sends. The receiver, where there is one, resolves once nothing more of
    /// it goes upstream.
    pub fn of(source: Incoming, account: &mut Account) -> (Self, Option<oneshot::Receiver<()>>) {
        if source.is_end_stream() {
            return (Self::Empty, None);
        }
        let arriving = match source.size_hint().exact() {
            Some(bytes) => {
                account.body_declared(bytes);
                None
            }
            None => Some(account.body_arriving()),
        };
        let (sender, receiver) = oneshot::channel();
        let patience = Patience::new(CLIENT_STALL_MAX);
        (
            Self::Streamed(Streamed {
                source,
                patience,
                arriving,
                _through: sender,
            }),
            Some(receiver),
        )
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streamed(streamed) => streamed.poll(cx),
            Self::Whole(bytes) => poll_whole(bytes),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed(streamed) => streamed.source.is_end_stream(),
            Self::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed(streamed) => streamed.source.size_hint(),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

impl Streamed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = self.patience.poll(&mut self.source, cx);
        if let Some(arriving) = &self.arriving
            && let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(piece) = frame.data_ref()
        {
            arriving.fetch_add(piece.len() as u64, Relaxed);
        }
        polled
    }
}

/// All of it at once, and then its end.
fn poll_whole(bytes: &mut Bytes) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    Poll::Ready(if bytes.is_empty() {
        None
    } else {
        Some(Ok(Frame::data(std::mem::take(bytes))))
    })
}

/// An answer's body on its way to the client.
#[derive(Debug)]
pub enum AnswerBody {
    /// One piece that the gateway or a function wrote.
    Whole(Bytes),
    /// The upstream's.
    Upstream(UpstreamBody),
}

/// An upstream's body, with the connection that goes back to the pool once it is through.
pub struct UpstreamBody {
    source: Incoming,
    patience: Patience,
    lease: Option<Lease>,
    ended: bool,
}

impl AnswerBody {
    /// A body in one piece.
    pub const fn whole(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }

    /// An upstream's body.
    pub const fn upstream(source: Incoming, lease: Lease) -> Self {
        let patience = Patience::new(UPSTREAM_STALL_MAX);
        Self::Upstream(UpstreamBody {
            source,
            patience,
            lease: Some(lease),
            ended: false,
        })
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(bytes) => poll_whole(bytes),
            Self::Upstream(body) => {
                let polled = body.patience.poll(&mut body.source, cx);
                body.ended |= matches!(polled, Poll::Ready(None));
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Upstream(body) => body.source.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upstream(body) => body.source.size_hint(),
        }
    }
}

/// An answer's body that is accounted for while it is sent.
#[derive(Debug)]
pub struct AccountedBody {
    body: AnswerBody,
    account: Account,
}

impl AccountedBody {
    /// The account is settled when the body is through, or dropped before.
    pub const fn new(body: AnswerBody, account: Account) -> Self {
        Self { body, account }
    }
}

impl Body for AccountedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.account.sent(frame.data_ref().map_or(0, Bytes::len));
            }
            Poll::Ready(None) => this.account.completed(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AccountedBody {
    fn drop(&mut self) {
        // The server side does not ask for the end of a body whose length it knew.
        if self.body.is_end_stream() {
            self.account.completed();
        }
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        // What is left unread would be taken for the next answer: only a connection that is through
        // goes back, any other is closed with its lease.
        if (self.ended || self.source.is_end_stream())
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamBody")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Waits for a source, but not for ever. The timer exists only once a source made it wait, and is set
/// only when the wait begins.
#[derive(Debug)]
struct Patience {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Patience {
    const fn new(limit: Duration) -> Self {
        Self {
            limit,
            timer: None,
            waiting: false,
        }
    }

    fn poll(
        &mut self,
        source: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(source).poll_frame(cx) {
            self.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)));
        }
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep(self.limit)));
        if !self.waiting {
            timer.as_mut().reset(Instant::now() + self.limit);
            self.waiting = true;
        }
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(BodyError::Stalled(self.limit)))),
            Poll::Pending => Poll::Pending,
        }
    }
}
