//! A client's connection, seen from both of its users: the HTTP server that reads and writes it, and
//! requests that wait and want to know that their client has left.
//!
//! The server notices that by itself while nothing of a request is left to read, and not before: a body
//! that nobody reads yet lies in front of the connection's end. Here the end is asked of the system, which
//! knows it whatever lies in front. In both cases a client that closes its sending side counts as one that
//! has left.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::time::timeout;

/// How long a client that has its last answer may go on sending.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// Bytes of what it sends that are taken at once.
const LINGER_PIECE: usize = 16 << 10;

/// Who is at the other end of a connection.
#[derive(Debug)]
pub struct Client<'c> {
    /// Its address.
    pub address: SocketAddr,
    /// Its address as text.
    pub name: Arc<str>,
    /// Its IP address as a header's value.
    pub ip: HeaderValue,
    connection: &'c TcpStream,
    left: AtomicBool,
}

impl<'c> Client<'c> {
    /// Whoever has connected; none if the address is none that a header can say.
    pub fn new(address: SocketAddr, connection: &'c TcpStream) -> Option<Self> {
        let ip = HeaderValue::from_str(&address.ip().to_canonical().to_string()).ok()?;
        Some(Self {
            address,
            name: address.to_string().into(),
            ip,
            connection,
            left: AtomicBool::new(false),
        })
    }

    /// Ends [`Client::serve`] once the client has left, and with it the caller.
    pub async fn leaves(&self) -> Infallible {
        // Out-of-band data, which nobody registered for, or the end of what can be read.
        let _ = self.connection.ready(Interest::PRIORITY).await;
        self.left.store(true, Relaxed);
        pending().await
    }

    /// Serves the connection until it ends, or until a request finds that the client has left.
    pub async fn serve(&self, connection: impl Future) {
        let mut connection = pin!(connection);
        poll_fn(|cx| {
            let served = connection.as_mut().poll(cx).map(drop);
            // Requests are polled within the connection, so nobody has to be woken.
            if self.left.load(Relaxed) {
                Poll::Ready(())
            } else {
                served
            }
        })
        .await;
    }

    /// Ends a served connection so that its last answer arrives. One that is closed over bytes that nobody
    /// has read is reset: a client that is still sending a body would learn that, and not why it was
    /// refused. So the end is told, and what comes until the client has understood is thrown away.
    pub async fn linger(&self) {
        if shut_sending_down(self.connection).is_ok() {
            let _ = timeout(LINGER_MAX, self.discard()).await;
        }
    }

    async fn discard(&self) {
        while self.connection.readable().await.is_ok() {
            match self.connection.try_read(&mut [0; LINGER_PIECE]) {
                Ok(1..) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    }
}

/// What the server reads and writes.
#[derive(Debug)]
pub struct Wire<'c> {
    read: ReadHalf<'c>,
    write: &'c TcpStream,
}

impl<'c> Wire<'c> {
    /// Both directions of one connection.
    pub const fn new(read: ReadHalf<'c>, write: &'c TcpStream) -> Self {
        Self { read, write }
    }

    fn poll_try(
        &self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.write.poll_write_ready(cx))?;
            match attempt(self.write) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |stream| stream.try_write_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shut_sending_down(self.write))
    }
}

fn shut_sending_down(connection: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(connection).shutdown(std::net::Shutdown::Write)
}
