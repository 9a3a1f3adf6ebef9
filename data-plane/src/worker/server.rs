//! The side of the clients: accepts connections, reads requests, writes answers. HTTP/1.1.
//!
//! Where a message begins and ends is hyper's to decide: a request with both a length and a transfer
//! coding is read by the coding, loses the length and its connection (RFC 9112 section 6.3), a coding
//! other than chunked is refused. What was decided goes upstream as new framing, never as the client
//! wrote it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::account::Account;
use super::body::AccountedBody;
use super::chain;
use super::connection::{Client, Wire};
use super::context::Worker;
use crate::sys::slot::Counter;

/// Bytes of a request's head, at most; what is larger is answered 431. Each connection can hold as much.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// How long accepting rests when the system has no descriptors left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Bounds of the clients' side.
#[derive(Debug, Clone, Copy)]
pub struct ServerSettings {
    /// Time for the head of a request; also how long a connection may be idle.
    pub header_read_timeout: Duration,
    /// Connections at once. Further ones wait in the socket's queue.
    pub connections_max: usize,
}

/// Accepts connections until `stop`. `connections` knows those that are open.
pub async fn accept(
    worker: &'static Worker,
    listener: TcpListener,
    settings: ServerSettings,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(settings.connections_max));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.header_read_timeout)
        .max_buf_size(HEAD_BYTES_MAX);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let http = http.clone();
                connections.spawn(async move {
                    let _place = place;
                    serve(worker, &http, stream, address).await;
                });
            }
            Err(error) => rest(worker, &error).await,
        }
    }
}

/// A connection that its client gave up is no reason to rest; a system without descriptors is.
async fn rest(worker: &Worker, error: &io::Error) {
    if !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    ) {
        worker.reporter.note(
            "error",
            "ACCEPT_FAILED",
            format!("accept connection: {error}"),
        );
        tokio::time::sleep(EXHAUSTED_PAUSE).await;
    }
}

async fn serve(
    worker: &'static Worker,
    http: &http1::Builder,
    mut stream: TcpStream,
    address: SocketAddr,
) {
    worker.memory.add(Counter::ConnectionsAccepted, 1);
    let _open = worker.gauge(Counter::ConnectionsOpen);
    // Without it small answers wait for acknowledgements; a socket that refuses still works.
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.split();
    let stream = write.as_ref();
    let Some(client) = Client::new(address, stream) else {
        return;
    };
    let service = service_fn(|request| answer(worker, &client, request));
    let wire = TokioIo::new(Wire::new(read, stream));
    // What ends a connection early (a client that leaves, malformed bytes) was answered where it can be.
    client.serve(http.serve_connection(wire, service)).await;
    client.linger().await;
}

async fn answer(
    worker: &'static Worker,
    client: &Client<'_>,
    request: Request<Incoming>,
) -> Result<Response<AccountedBody>, Infallible> {
    worker.memory.add(Counter::Requests, 1);
    let _active = worker.gauge(Counter::RequestsActive);
    let mut account = Account::open(worker, client, &request);
    let answered = chain::answer(worker, client, request, &mut account).await;
    let mut response = answered.unwrap_or_else(|refusal| {
        account.refused(refusal);
        refusal.response()
    });
    worker.count_answer(response.status());
    account.answered(response.status());
    if worker.is_draining() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| AccountedBody::new(body, account)))
}
