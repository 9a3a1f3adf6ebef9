//! A response body that ends when its caller's token does.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

type Revoked = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Passes a body on until `revoked` completes; then it ends with a status in its trailers, and the
/// body within is dropped, which ends whatever feeds it.
pub(super) struct RevocableBody {
    inner: Option<Body>,
    revoked: Revoked,
    ended: Status,
}

impl RevocableBody {
    pub(super) fn new(inner: Body, revoked: Revoked, ended: Status) -> Self {
        Self {
            inner: Some(inner),
            revoked,
            ended,
        }
    }

    fn trailers(&self) -> Frame<Bytes> {
        let mut trailers = HeaderMap::new();
        // It can fail only for a message that is no header value, and ours is our own text.
        let _ = self.ended.add_header(&mut trailers);
        Frame::trailers(trailers)
    }
}

impl HttpBody for RevocableBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        match Pin::new(inner).poll_frame(cx) {
            // What is ready goes out first: an answer that is complete has been given, also the one
            // to the call that ended the token.
            Poll::Ready(frame) => Poll::Ready(frame),
            Poll::Pending => match self.revoked.as_mut().poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    self.inner = None;
                    Poll::Ready(Some(Ok(self.trailers())))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
