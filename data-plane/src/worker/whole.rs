//! Bodies that functions want: with their sender until the first function that wants one is about to
//! run, and whole from there on.
//!
//! Whole means: every byte, as it was transferred, under the configured limit, without trailers (a body
//! of known length has no place for them, RFC 9112 section 7.1.2 lets a recipient discard them). What
//! is declared to be too long is refused before it is read, so that a client that waits for `100
//! Continue` sends nothing. What no function wants is never here and streams.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRAILER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Body;
use http_body_util::BodyExt as _;

use super::body::{AnswerBody, BodyError, RequestBody};
use super::respond::Refusal;

/// The longest bodies that functions get, bytes.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Of requests.
    pub request: usize,
    /// Of responses.
    pub response: usize,
}

/// One direction's bodies: their limit, and what it means if one does not come whole.
pub trait Direction: Body<Data = Bytes, Error = BodyError> + Unpin {
    /// The answer where one is longer than its limit.
    const TOO_LARGE: Refusal;

    /// The limit.
    fn limit(limits: BodyLimits) -> usize;

    /// The answer where one ended early.
    fn broken(error: &BodyError) -> Refusal;
}

impl Direction for RequestBody {
    const TOO_LARGE: Refusal = Refusal::RequestBodyTooLarge;

    fn limit(limits: BodyLimits) -> usize {
        limits.request
    }

    fn broken(_: &BodyError) -> Refusal {
        Refusal::RequestBroken
    }
}

impl Direction for AnswerBody {
    const TOO_LARGE: Refusal = Refusal::ResponseBodyTooLarge;

    fn limit(limits: BodyLimits) -> usize {
        limits.response
    }

    fn broken(error: &BodyError) -> Refusal {
        match error {
            BodyError::Broken(_) => Refusal::UpstreamBroken,
            BodyError::Stalled(_) => Refusal::UpstreamTimeout,
        }
    }
}

/// A body as long as functions run: still with its sender, or given out whole.
#[derive(Debug)]
pub struct Held<B>(Option<B>);

impl<B: Direction> Held<B> {
    /// A body that nobody has read from.
    pub const fn new(body: B) -> Self {
        Self(Some(body))
    }

    /// Brings the body to its place, unless it is there.
    ///
    /// # Errors
    /// It is too long, or did not come whole.
    pub async fn bring(
        &mut self,
        limits: BodyLimits,
        place: &mut Option<Bytes>,
    ) -> Result<(), Refusal> {
        if let Some(body) = self.0.take() {
            *place = Some(whole(body, B::limit(limits)).await?);
        }
        Ok(())
    }

    /// Lets go of what is still with its sender: a function put another body in its place.
    pub fn give_up(&mut self) {
        self.0 = None;
    }

    /// The body, if it is still with its sender.
    pub fn untouched(self) -> Option<B> {
        self.0
    }
}

async fn whole<B: Direction>(mut body: B, limit: usize) -> Result<Bytes, Refusal> {
    let declared = body.size_hint();
    let declared = usize::try_from(declared.exact().unwrap_or(declared.lower()));
    let declared = declared.ok().filter(|len| *len <= limit);
    let declared = declared.ok_or(B::TOO_LARGE)?;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| B::broken(&error))?;
        let Ok(piece) = frame.into_data() else {
            // Trailers.
            continue;
        };
        if piece.len() > limit - first.len().max(rest.len()) {
            return Err(B::TOO_LARGE);
        }
        if first.is_empty() && rest.is_empty() {
            // Most bodies that functions want are one piece, which needs no copy.
            first = piece;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(declared.max(first.len() + piece.len()));
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&piece);
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}

/// A request's whole body on its way upstream, with its length in the headers.
pub fn request_body(method: &Method, headers: &mut HeaderMap, body: Bytes) -> RequestBody {
    headers.remove(TRAILER);
    let had_length = headers.remove(CONTENT_LENGTH).is_some();
    // RFC 9110 section 8.6: nothing is said about a body that the method does not expect and that is
    // not there.
    if !body.is_empty() || had_length || !method.is_safe() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    RequestBody::Whole(body)
}

/// A response's whole body on its way to the client. The server side writes its length.
///
/// To `HEAD` and in a 304 the length would be that of another response's body, which functions might
/// have changed: it is left out, as RFC 9110 section 8.6 allows.
pub fn answer_body(
    asked: &Method,
    status: StatusCode,
    headers: &mut HeaderMap,
    body: Bytes,
) -> AnswerBody {
    headers.remove(TRAILER);
    headers.remove(CONTENT_LENGTH);
    let bodiless = *asked == Method::HEAD
        || matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        );
    AnswerBody::whole(if bodiless { Bytes::new() } else { body })
}
