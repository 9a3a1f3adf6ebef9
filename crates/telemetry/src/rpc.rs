//! Spans of gRPC calls, on either side, from the first byte of a call to its status.
//!
//! The status of a call stands behind its body, so the body carries the span along and ends it. Not
//! here: what is counted; whoever watches is told the code. Invariant: every watched call ends once,
//! with the code that the other side sees, also when its caller goes away.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use opentelemetry::trace::Status as SpanStatus;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::propagation::Remote;

/// On which side of a call we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// We call.
    Client,
    /// We answer.
    Server,
}

/// A call in progress; ends with [`Call::watch`] or [`Call::fail`], and as cancelled when it is dropped.
pub struct Call {
    span: Span,
    side: Side,
    /// `None` once it has ended.
    ended: Option<Box<dyn FnOnce(Code) + Send>>,
}

impl Call {
    /// A call that we make, to `/package.Service/Method`. Its parent is the current span.
    pub fn client(path: &str) -> Self {
        let name = path.trim_start_matches('/');
        let span = tracing::info_span!("call", otel.name = name, otel.kind = "client");
        Self::new(span, path, Side::Client)
    }

    /// A call that we answer. Its parent is in the headers, if any; whose call it is can be recorded
    /// on the current span as `tenant.id`.
    pub fn server(path: &str, headers: &HeaderMap) -> Self {
        let name = path.trim_start_matches('/');
        let span = tracing::info_span!(
            parent: None, "rpc", otel.name = name, otel.kind = "server", tenant.id = field::Empty
        );
        if let Some(remote) = Remote::from_headers(headers) {
            remote.adopt(&span);
        }
        Self::new(span, path, Side::Server)
    }

    fn new(span: Span, path: &str, side: Side) -> Self {
        let (service, method) = path
            .trim_start_matches('/')
            .split_once('/')
            .unwrap_or_default();
        span.set_attribute("rpc.system", "grpc");
        span.set_attribute("rpc.service", service.to_owned());
        span.set_attribute("rpc.method", method.to_owned());
        Self {
            span,
            side,
            ended: Some(Box::new(|_| {})),
        }
    }

    /// Has its code told to somebody, once.
    #[must_use]
    pub fn tell(mut self, ended: impl FnOnce(Code) + Send + 'static) -> Self {
        self.ended = Some(Box::new(ended));
        self
    }

    /// What the call's work runs in.
    pub const fn span(&self) -> &Span {
        &self.span
    }

    /// Ends with the body of the answer.
    pub fn watch<B>(self, response: Response<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // A call that is refused at once has its status in front, and no body.
        let code = code_in(response.headers());
        response.map(|body| {
            Body::new(Watched {
                body: Body::new(body),
                call: Some(self),
                code,
            })
        })
    }

    /// Ends without an answer.
    pub fn fail(mut self, code: Code) {
        self.end(code);
    }

    fn end(&mut self, code: Code) {
        let Some(ended) = self.ended.take() else {
            return;
        };
        self.span.set_attribute("rpc.grpc.status_code", code as i64);
        if is_error(self.side, code) {
            self.span.set_status(SpanStatus::error(code_name(code)));
        }
        ended(code);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// Whether a code is an error of the span: for who answers only what is not the caller's fault, as
/// the semantic conventions have it.
fn is_error(side: Side, code: Code) -> bool {
    match side {
        Side::Client => code != Code::Ok,
        Side::Server => matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ),
    }
}

/// A code by the name that the gRPC documentation gives it.
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    let value = headers.get(Status::GRPC_STATUS)?;
    Some(Code::from_bytes(value.as_bytes()))
}

/// A body that ends a call: with the code in its trailers, or with what its end without them means.
struct Watched {
    body: Body,
    call: Option<Call>,
    code: Option<Code>,
}

impl Watched {
    fn end(&mut self, otherwise: Code) {
        if let Some(mut call) = self.call.take() {
            call.end(self.code.unwrap_or(otherwise));
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let entered = self.call.as_ref().map(|call| call.span.clone().entered());
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        drop(entered);
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.code = code_in(trailers).or(self.code);
                    self.end(Code::Unknown);
                }
            }
            Some(Err(status)) => {
                let code = status.code();
                self.end(code);
            }
            None => self.end(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Whoever read it went away before the end.
        self.end(Code::Cancelled);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::mpsc::{Receiver, channel};

    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    fn call() -> (Call, Receiver<Code>) {
        let (sender, receiver) = channel();
        let call = Call::server("/a.B/C", &HeaderMap::new()).tell(move |code| {
            let _ = sender.send(code);
        });
        (call, receiver)
    }

    fn trailers(code: &'static str) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        trailers.insert(Status::GRPC_STATUS, http::HeaderValue::from_static(code));
        trailers
    }

    #[tokio::test]
    async fn call_ends_once_with_the_code_behind_its_body() {
        let (call, ended) = call();
        let frames: [Result<_, Infallible>; 2] = [
            Ok(Frame::data(Bytes::from_static(b"x"))),
            Ok(Frame::trailers(trailers("5"))),
        ];
        let body = StreamBody::new(tokio_stream::iter(frames));
        let answer = call.watch(Response::new(body));
        assert!(ended.try_recv().is_err());
        answer.collect().await.expect("the frames are good");
        assert_eq!(ended.try_iter().collect::<Vec<_>>(), [Code::NotFound]);
    }

    #[test]
    fn call_that_is_refused_in_its_headers_ends_with_that_code_although_nobody_reads() {
        let (call, ended) = call();
        let mut answer = Response::new(Full::<Bytes>::default());
        *answer.headers_mut() = trailers("16");
        drop(call.watch(answer));
        assert_eq!(
            ended.try_iter().collect::<Vec<_>>(),
            [Code::Unauthenticated]
        );
    }

    #[test]
    fn call_that_is_given_up_before_its_answer_is_cancelled() {
        let (call, ended) = call();
        drop(call);
        assert_eq!(ended.try_iter().collect::<Vec<_>>(), [Code::Cancelled]);
    }

    #[test]
    fn call_whose_reader_goes_away_is_cancelled() {
        let (call, ended) = call();
        drop(call.watch(Response::new(Full::<Bytes>::from("abc"))));
        assert_eq!(ended.try_iter().collect::<Vec<_>>(), [Code::Cancelled]);
    }
}
