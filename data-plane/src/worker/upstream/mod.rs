//! Upstream connections: HTTP/1.1, kept and reused by the runtime that made them.
//!
//! A request goes out once. The one exception is invisible: an idle connection that turns out to be
//! closed before any byte of the request was written hands the request back, and a new connection takes
//! it. Whether a request that was written was also processed nobody can know, so it is never repeated.

mod pool;
mod target;

use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub use pool::sweep;
pub use target::{Target, TargetError};

use super::body::{BodyError, RequestBody};
use super::respond::Refusal;
use crate::sys::slot::{Counter, SlotMemory};
use pool::UpstreamId;

/// Bytes of an answer's head, at most; what is larger counts as broken.
const HEAD_BYTES_MAX: usize = 128 << 10;

/// How connections are made and kept, for all upstreams of a worker.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamSettings {
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time from the end of the request to the head of the answer.
    pub response_timeout: Duration,
    /// Idle connections kept per upstream and runtime.
    pub idle_max: usize,
}

/// A server that requests go to, whatever the path.
#[derive(Debug)]
pub struct Upstream {
    id: UpstreamId,
    host: String,
    port: u16,
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
    Failed(Refusal),
}

impl Upstream {
    /// The upstream of a target.
    pub fn new(target: &Target, settings: UpstreamSettings, memory: &'static SlotMemory) -> Self {
        Self {
            id: UpstreamId::next(),
            host: target.host.clone(),
            port: target.port,
            settings,
            memory,
        }
    }

    /// Sends a request. `through` resolves when its body is out; a request without one has none.
    ///
    /// # Errors
    /// The upstream cannot be reached, or did not answer properly or in time.
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
        through: Option<oneshot::Receiver<()>>,
    ) -> Result<(Response<Incoming>, Lease), Refusal> {
        let mut through = through;
        if let Some(sender) = pool::take(self.id) {
            let mut lease = self.lease(sender);
            match self.attempt(&mut lease, request, &mut through).await {
                Attempt::Answered(response) => return Ok((response, lease)),
                Attempt::Unsent(unsent) => request = *unsent,
                Attempt::Failed(refusal) => return Err(self.failed(refusal)),
            }
        }
        let sender = self
            .connect()
            .await
            .map_err(|refusal| self.failed(refusal))?;
        let mut lease = self.lease(sender);
        match self.attempt(&mut lease, request, &mut through).await {
            Attempt::Answered(response) => Ok((response, lease)),
            Attempt::Unsent(_) => Err(self.failed(Refusal::UpstreamBroken)),
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
                None => Attempt::Failed(blame(error.error())),
            },
            Err(_) => Attempt::Failed(Refusal::UpstreamTimeout),
        }
    }

    async fn connect(&self) -> Result<SendRequest<RequestBody>, Refusal> {
        self.memory.add(Counter::UpstreamConnects, 1);
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = match timeout(self.settings.connect_timeout, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return Err(Refusal::UpstreamUnreachable),
            Err(_) => return Err(Refusal::UpstreamTimeout),
        };
        // Without it small messages wait for acknowledgements; a socket that refuses still works.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Refusal::UpstreamUnreachable)?;
        // Ends when the sender is dropped or the upstream closes. Its error is the request's as well.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Whose fault it is that a request got no answer.
fn blame(error: &hyper::Error) -> Refusal {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<BodyError>() {
            return Refusal::RequestBroken;
        }
        cause = error.source();
    }
    Refusal::UpstreamBroken
}
