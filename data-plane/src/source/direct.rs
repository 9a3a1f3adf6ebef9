//! Libraries straight from object storage, by URLs that the control plane signed for this gateway.
//!
//! Responsible for one GET: who is asked, over what connection, and for how long. What comes is proven
//! by whoever takes it; the control plane brings what cannot be had this way. Invariant: a URL lets its
//! bearer in, so none is logged, not even within an error.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gantry_telemetry::Secret;
use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::trust::Trust;

/// Characters of a URL, at most.
const URL_CHARS_MAX: usize = 8 << 10;
/// How long a server that cannot be reached is left alone.
const AWAY: Duration = Duration::from_mins(1);

/// How long is waited for a server: the control plane is the other way.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Time to resolve, connect and shake hands.
    connect: Duration,
    /// Time for the head of the answer, and between two pieces of its body.
    silence: Duration,
    /// Time for a body, beside what its size takes at the slowest rate.
    body: Duration,
    /// The slowest rate, bytes per second.
    rate_min: u64,
}

const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(3),
    silence: Duration::from_secs(10),
    body: Duration::from_secs(20),
    rate_min: 64 << 10,
};

/// Why a library did not come straight from object storage.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DirectError {
    /// Look at `storage.presigned_endpoint` of the control plane.
    #[error("expected a URL of object storage, found {found} (STORAGE_URL_INVALID)")]
    Url {
        /// What is wrong with it, without the URL.
        found: &'static str,
    },
    /// Use https, or allow plain HTTP.
    #[error(
        "object storage is at {host} without TLS, which control_plane.allow_plaintext does not allow (STORAGE_PLAINTEXT)"
    )]
    Plaintext {
        /// The server.
        host: String,
    },
    /// Let this gateway reach it, or switch `storage.presigned_downloads` off.
    #[error("object storage at {host} cannot be reached: {cause} (STORAGE_UNREACHABLE)")]
    Unreachable {
        /// The server.
        host: String,
        /// What happened.
        cause: String,
    },
    /// It lets nobody in with this URL, or does not have the object.
    #[error("object storage at {host} answers {status} (STORAGE_REFUSED)")]
    Refused {
        /// The server.
        host: String,
        /// Its answer.
        status: u16,
    },
    /// It sent another length than the library has.
    #[error("object storage at {host} has {found} bytes; expected {expected} (STORAGE_SIZE)")]
    Size {
        /// The server.
        host: String,
        /// Bytes by the release.
        expected: u64,
        /// Bytes by the server.
        found: u64,
    },
    /// The body broke off, fell silent, or came too slowly.
    #[error("the answer of object storage at {host} broke off: {cause} (STORAGE_BROKEN)")]
    Broken {
        /// The server.
        host: String,
        /// What happened.
        cause: String,
    },
}

impl DirectError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Url { .. } => "STORAGE_URL_INVALID",
            Self::Plaintext { .. } => "STORAGE_PLAINTEXT",
            Self::Unreachable { .. } => "STORAGE_UNREACHABLE",
            Self::Refused { .. } => "STORAGE_REFUSED",
            Self::Size { .. } => "STORAGE_SIZE",
            Self::Broken { .. } => "STORAGE_BROKEN",
        }
    }
}

/// How this gateway reaches object storage.
#[derive(Debug)]
pub struct ObjectStorage {
    trust: Trust,
    allow_plaintext: bool,
    patience: Patience,
    away_until: Mutex<Option<Instant>>,
}

/// A body on its way.
pub struct Download {
    body: Incoming,
    host: String,
    patience: Patience,
    deadline: Instant,
    _connection: AbortOnDropHandle<()>,
}

impl ObjectStorage {
    /// Trusts the system's authorities and those of the control plane: storage may be anybody's, or
    /// stand beside the control plane. Plain HTTP to other machines is for those who allow it.
    pub fn new(ca_pem: Option<&[u8]>, allow_plaintext: bool) -> Self {
        Self {
            trust: Trust::new(ca_pem),
            allow_plaintext,
            patience: PATIENCE,
            away_until: Mutex::new(None),
        }
    }

    /// Whether it could not be reached a moment ago: then there is no use in asking for a URL.
    pub fn is_away(&self) -> bool {
        let until = self
            .away_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Begins to read the object of a URL.
    ///
    /// # Errors
    /// See [`DirectError`].
    pub async fn get(
        &self,
        url: &Secret<String>,
        size_bytes: u64,
    ) -> Result<Download, DirectError> {
        let got = self.begin(url, size_bytes).await;
        if matches!(got, Err(DirectError::Unreachable { .. })) {
            let mut until = self
                .away_until
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *until = Some(Instant::now() + AWAY);
        }
        got
    }

    async fn begin(&self, url: &Secret<String>, size_bytes: u64) -> Result<Download, DirectError> {
        let place = Place::read(url.expose())?;
        let patience = self.patience;
        if !place.encrypted && !self.allow_plaintext && !is_loopback(place.authority.host()) {
            return Err(DirectError::Plaintext { host: place.name() });
        }
        let unreachable = |cause: String| DirectError::Unreachable {
            host: place.name(),
            cause,
        };
        let connected = timeout(patience.connect, self.connect(&place)).await;
        let stream = connected
            .map_err(|_| unreachable(format!("no connection within {:?}", patience.connect)))?
            .map_err(unreachable)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| unreachable(e.to_string()))?;
        // What goes wrong with the connection shows in the answer and its body.
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = connection.await;
        }));
        let answer = timeout(patience.silence, sender.send_request(place.request()?)).await;
        let broken = |cause: String| DirectError::Broken {
            host: place.name(),
            cause,
        };
        let answer = answer
            .map_err(|_| broken(format!("no answer within {:?}", patience.silence)))?
            .map_err(|e| broken(e.to_string()))?;
        check(&answer, &place, size_bytes)?;
        Ok(Download {
            body: answer.into_body(),
            host: place.name(),
            patience,
            deadline: Instant::now()
                + patience.body
                + Duration::from_secs(size_bytes / patience.rate_min),
            _connection: connection,
        })
    }

    async fn connect(&self, place: &Place) -> Result<Box<dyn Connection>, String> {
        let (host, port) = (bare(place.authority.host()), place.port());
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(|e| e.to_string())?;
        if !place.encrypted {
            return Ok(Box::new(stream));
        }
        let entrance = self.trust.entrance(host).map_err(|e| e.to_string())?;
        let stream = entrance.enter(stream).await.map_err(|e| e.to_string())?;
        Ok(Box::new(stream))
    }
}

impl Download {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// [`DirectError::Broken`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, DirectError> {
        let broken = |cause: String| DirectError::Broken {
            host: self.host.clone(),
            cause,
        };
        loop {
            let until = self.deadline.min(Instant::now() + self.patience.silence);
            let frame = match timeout_at(until, self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(e))) => return Err(broken(e.to_string())),
                Err(_) if Instant::now() >= self.deadline => {
                    return Err(broken(format!(
                        "slower than {} bytes/s",
                        self.patience.rate_min
                    )));
                }
                Err(_) => return Err(broken(format!("silent for {:?}", self.patience.silence))),
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                // Trailers say nothing to us.
                Err(_) => {}
            }
        }
    }
}

fn check<B>(answer: &http::Response<B>, place: &Place, expected: u64) -> Result<(), DirectError> {
    if answer.status() != StatusCode::OK {
        return Err(DirectError::Refused {
            host: place.name(),
            status: answer.status().as_u16(),
        });
    }
    let length = answer.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    match length {
        Some(found) if found != expected => Err(DirectError::Size {
            host: place.name(),
            expected,
            found,
        }),
        _ => Ok(()),
    }
}

/// A URL, taken apart.
struct Place {
    encrypted: bool,
    authority: Authority,
    /// Holds the signature.
    target: Secret<Uri>,
}

impl Place {
    fn read(url: &str) -> Result<Self, DirectError> {
        let refuse = |found| DirectError::Url { found };
        if url.len() > URL_CHARS_MAX {
            return Err(refuse("one that is too long"));
        }
        let uri: Uri = url.parse().map_err(|_| refuse("something else"))?;
        let parts = uri.into_parts();
        let encrypted = match &parts.scheme {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(refuse("one of another scheme than https and http")),
        };
        let authority = parts
            .authority
            .ok_or_else(|| refuse("one without a host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("one with a user"));
        }
        let target = parts.path_and_query.ok_or_else(|| refuse("no path"))?;
        Ok(Self {
            encrypted,
            authority,
            target: Secret::new(target.into()),
        })
    }

    fn port(&self) -> u16 {
        let default = if self.encrypted { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(default)
    }

    /// Host and port, for people.
    fn name(&self) -> String {
        self.authority.to_string()
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, DirectError> {
        Request::get(self.target.expose().clone())
            .header(HOST, self.authority.as_str())
            .header(
                USER_AGENT,
                concat!("gantry-gateway/", env!("CARGO_PKG_VERSION")),
            )
            .body(Empty::new())
            .map_err(|_| DirectError::Url {
                found: "something else",
            })
    }
}

/// What bytes travel over.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A host without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}

fn is_loopback(host: &str) -> bool {
    let host = bare(host);
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests;
