//! Upstream connections: HTTP/1.1, over TLS where the target says so, kept and reused by the runtime
//! that made them.
//!
//! A request goes out once, with two exceptions, both on a connection that was reused and closed by the
//! upstream at that very moment. One that was not written yet is handed back and takes a new connection.
//! One that was written, got no answer, is safe and has no body is sent once more (RFC 9110 section
//! 9.2.2); whether any other was processed nobody can know, so it is never repeated.

mod pool;
mod target;

use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub use pool::sweep;
pub use target::{Target, TargetError};

use super::body::{BodyError, RequestBody};
use super::respond::Refusal;
use crate::sys::slot::{Counter, SlotMemory};
use crate::trust::{Entrance, Trust, TrustError};
use pool::UpstreamId;

/// Bytes of an answer's head, at most; what is larger counts as broken.
const HEAD_BYTES_MAX: usize = 128 << 10;

/// How connections are made and kept, for all upstreams of a worker.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time from the end of the request to the head of the answer.
    pub response_timeout: Duration,
    /// Idle connections kept per upstream and runtime.
    pub idle_max: usize,
    /// Whom TLS upstreams must be certified by.
    pub trust: Trust,
}

/// A server that requests go to, whatever the path.
#[derive(Debug)]
pub struct Upstream {
    id: UpstreamId,
    host: String,
    port: u16,
    /// Where the upstream speaks TLS.
    entrance: Option<Entrance>,
    settings: UpstreamSettings,
    memory: &'static SlotMemory,
}

/// A connection in use. Dropping it closes the connection.
#[derive(Debug)]
pub struct Lease {
    id: UpstreamId,
    idle_max: usize,
    sender: SendRequest<RequestBody>,
}

impl Lease {
    /// Keeps the connection for the next request: this one's answer was read to its end.
    pub fn give_back(self) {
        pool::put(self.id, self.sender, self.idle_max);
    }
}

/// How one connection dealt with a request.
enum Attempt {
    Answered(Response<Incoming>),
    /// Nothing was written; here is the request.
    Unsent(Box<Request<RequestBody>>),
    /// The connection ended before there was an answer.
    Lost,
    Failed(Refusal),
}

/// Makes a request's headers once more, where its sender keeps what they are made of: that costs nothing
/// as long as nobody asks, while a copy is made for every request.
pub type HeadersAgain<'h> = &'h (dyn Fn() -> HeaderMap + Sync);

/// What is needed to send a safe request without a body once more.
struct Spare<'h> {
    method: Method,
    uri: Uri,
    headers: SpareHeaders<'h>,
}

enum SpareHeaders<'h> {
    Copied(HeaderMap),
    Made(HeadersAgain<'h>),
}

impl<'h> Spare<'h> {
    fn of(request: &Request<RequestBody>, again: Option<HeadersAgain<'h>>) -> Option<Self> {
        let repeatable = request.method().is_safe() && request.body().is_end_stream();
        repeatable.then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: match again {
                Some(make) => SpareHeaders::Made(make),
                None => SpareHeaders::Copied(request.headers().clone()),
            },
        })
    }

    fn request(self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = match self.headers {
            SpareHeaders::Copied(headers) => headers,
            SpareHeaders::Made(make) => make(),
        };
        request
    }
}

impl Upstream {
    /// The upstream of a target.
    ///
    /// # Errors
    /// It speaks TLS and nobody could certify it.
    pub fn new(
        target: &Target,
        settings: UpstreamSettings,
        memory: &'static SlotMemory,
    ) -> Result<Self, TrustError> {
        let entrance = target
            .tls
            .then(|| settings.trust.entrance(&target.host))
            .transpose()?;
        Ok(Self {
            id: UpstreamId::next(),
            host: target.host.clone(),
            port: target.port,
            entrance,
            settings,
            memory,
        })
    }

    /// Sends a request. `through` resolves when its body is out; a request without one has none. `again` is
    /// what makes its headers, if that is at hand.
    ///
    /// # Errors
    /// The upstream cannot be reached, or did not answer properly or in time.
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
        mut through: Option<oneshot::Receiver<()>>,
        again: Option<HeadersAgain<'_>>,
    ) -> Result<(Response<Incoming>, Lease), Refusal> {
        if let Some(sender) = pool::take(self.id) {
            let mut lease = self.lease(sender);
            let spare = Spare::of(&request, again);
            match self.attempt(&mut lease, request, &mut through).await {
                Attempt::Answered(response) => return Ok((response, lease)),
                Attempt::Unsent(unsent) => request = *unsent,
                Attempt::Lost => match spare {
                    Some(spare) => request = spare.request(),
                    None => return Err(self.failed(Refusal::UpstreamBroken)),
                },
                Attempt::Failed(refusal) => return Err(self.failed(refusal)),
            }
        }
        // In a place of its own: what connecting takes is several times what an open connection takes,
        // and each request's state is moved about, whether it connects or not.
        Box::pin(self.send_anew(request, through)).await
    }

    /// Sends a request on a new connection.
    async fn send_anew(
        &self,
        request: Request<RequestBody>,
        mut through: Option<oneshot::Receiver<()>>,
    ) -> Result<(Response<Incoming>, Lease), Refusal> {
        let sender = self
            .connect()
            .await
            .map_err(|refusal| self.failed(refusal))?;
        let mut lease = self.lease(sender);
        match self.attempt(&mut lease, request, &mut through).await {
            Attempt::Answered(response) => Ok((response, lease)),
            Attempt::Unsent(_) | Attempt::Lost => Err(self.failed(Refusal::UpstreamBroken)),
            Attempt::Failed(refusal) => Err(self.failed(refusal)),
        }
    }

    fn lease(&self, sender: SendRequest<RequestBody>) -> Lease {
        Lease {
            id: self.id,
            idle_max: self.settings.idle_max,
            sender,
        }
    }

    fn failed(&self, refusal: Refusal) -> Refusal {
        if refusal != Refusal::RequestBroken {
            self.memory.add(Counter::UpstreamErrors, 1);
        }
        refusal
    }

    async fn attempt(
        &self,
        lease: &mut Lease,
        request: Request<RequestBody>,
        through: &mut Option<oneshot::Receiver<()>>,
    ) -> Attempt {
        let answer = lease.sender.try_send_request(request);
        tokio::pin!(answer);
        let limit = self.settings.response_timeout;
        let in_time = match through {
            None => timeout(limit, answer).await,
            // The clock starts when the client's body is out: how long that takes is up to the client.
            Some(through) => tokio::select! {
                biased;
                answered = &mut answer => Ok(answered),
                _ = through => timeout(limit, answer).await,
            },
        };
        match in_time {
            // Nobody asked for another protocol, and nothing but HTTP/1.1 passes here.
            Ok(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Attempt::Failed(Refusal::UpstreamBroken)
            }
            Ok(Ok(response)) => Attempt::Answered(response),
            Ok(Err(mut error)) => match error.take_message() {
                Some(unsent) => Attempt::Unsent(Box::new(unsent)),
                None => blame(error.error()),
            },
            Err(_) => Attempt::Failed(Refusal::UpstreamTimeout),
        }
    }

    async fn connect(&self) -> Result<SendRequest<RequestBody>, Refusal> {
        self.memory.add(Counter::UpstreamConnects, 1);
        let connecting = timeout(self.settings.connect_timeout, self.reach());
        connecting.await.unwrap_or(Err(Refusal::UpstreamTimeout))
    }

    async fn reach(&self) -> Result<SendRequest<RequestBody>, Refusal> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|_| Refusal::UpstreamUnreachable)?;
        // Without it small messages wait for acknowledgements; a socket that refuses still works.
        let _ = stream.set_nodelay(true);
        match &self.entrance {
            None => converse(stream).await,
            Some(entrance) => {
                let secured = entrance.enter(stream).await;
                converse(secured.map_err(|_| Refusal::UpstreamUntrusted)?).await
            }
        }
    }
}

/// Begins HTTP on a connection.
async fn converse<S>(stream: S) -> Result<SendRequest<RequestBody>, Refusal>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Refusal::UpstreamUnreachable)?;
    // Ends when the sender is dropped or the upstream closes. Its error is the request's as well.
    tokio::spawn(connection);
    Ok(sender)
}

/// What it means that a request got no answer.
fn blame(error: &hyper::Error) -> Attempt {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<BodyError>() {
            return Attempt::Failed(Refusal::RequestBroken);
        }
        cause = error.source();
    }
    if error.is_parse() {
        return Attempt::Failed(Refusal::UpstreamBroken);
    }
    Attempt::Lost
}
