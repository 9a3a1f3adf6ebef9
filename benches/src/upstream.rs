//! The upstream: one thread, canned answers, as little work per request as an HTTP/1.1 server can do, so
//! that what is measured is the proxy before it.
//!
//! The last character of the path chooses the answer: `s` is small, `b` has 64 KiB, `p` is small and
//! comes when the request's body is read; `e` tells the head of the request, for those who check what
//! reached the upstream.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// Bytes of the large answer's body.
pub(crate) const LARGE_BYTES: usize = 64 << 10;
/// The longest request that is read.
const REQUEST_BYTES_MAX: usize = 1 << 20;
const LISTENER: Token = Token(usize::MAX);

/// Serves until it is killed. The address goes to a file, whole.
///
/// # Errors
/// The system has no sockets for it.
pub(crate) fn run(address_file: &Path) -> Result<()> {
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    publish(listener.local_addr()?, address_file)?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(256);
    let mut server = Server::default();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                server.accept(&listener, &poll)?;
            } else {
                server.serve(event.token().0);
            }
        }
    }
}

/// Writes an address for those who wait for it.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn publish(address: SocketAddr, file: &Path) -> Result<()> {
    let fresh = file.with_extension("fresh");
    std::fs::write(&fresh, address.to_string())?;
    std::fs::rename(&fresh, file).with_context(|| format!("write {}", file.display()))
}

struct Server {
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
    small: Vec<u8>,
    large: Vec<u8>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            connections: Vec::new(),
            buffer: vec![0; 64 << 10],
            small: answer(br#"{"id":4711,"name":"small"}"#),
            large: answer(&vec![b'x'; LARGE_BYTES]),
        }
    }
}

fn answer(body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\nServer: upstream\r\n\
         Content-Type: application/json\r\nCache-Control: no-cache\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

struct Connection {
    stream: TcpStream,
    /// What was read and not yet answered.
    input: Vec<u8>,
    /// What is still to be written.
    output: Vec<u8>,
}

impl Server {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nodelay(true)?;
            let free = self.connections.iter().position(Option::is_none);
            let index = free.unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(index), both)?;
            self.connections[index] = Some(Connection {
                stream,
                input: Vec::new(),
                output: Vec::new(),
            });
        }
    }

    /// Reads, answers and writes as far as it goes; a connection that fails or ends is closed.
    fn serve(&mut self, index: usize) {
        let Some(Some(connection)) = self.connections.get_mut(index) else {
            return;
        };
        let served = connection.serve(&mut self.buffer, &self.small, &self.large);
        if !matches!(served, Ok(true)) {
            self.connections[index] = None;
        }
    }
}

impl Connection {
    /// Gives whether the connection stays.
    fn serve(&mut self, buffer: &mut [u8], small: &[u8], large: &[u8]) -> io::Result<bool> {
        loop {
            self.write()?;
            if !self.output.is_empty() {
                return Ok(true);
            }
            let read = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            self.input.extend_from_slice(&buffer[..read]);
            while let Some((length, kind)) = complete(&self.input) {
                match kind {
                    b's' | b'p' => self.output.extend_from_slice(small),
                    b'b' => self.output.extend_from_slice(large),
                    _ => self.output.extend(answer(&self.input[..length])),
                }
                self.input.drain(..length);
            }
            if self.input.len() > REQUEST_BYTES_MAX {
                return Ok(false);
            }
            self.write()?;
            // A read that did not fill the buffer emptied the socket (epoll(7)).
            if read < buffer.len() {
                return Ok(true);
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.output.len() {
            match self.stream.write(&self.output[written..]) {
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.output.drain(..written);
        Ok(())
    }
}

/// The length of the first whole request and the last character of its path.
fn complete(input: &[u8]) -> Option<(usize, u8)> {
    let head = end_of_head(input)?;
    let length = head + content_length(&input[..head]);
    let line = input.split(|byte| *byte == b'\r').next()?;
    let path = line.split(|byte| *byte == b' ').nth(1)?;
    (input.len() >= length).then(|| (length, path.last().copied().unwrap_or_default()))
}

/// Where the body begins, once the head is whole.
pub(crate) fn end_of_head(input: &[u8]) -> Option<usize> {
    input
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// The length that a head names; 0 without one.
pub(crate) fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"\ncontent-length:";
    let at = head
        .windows(NAME.len())
        .position(|window| window.eq_ignore_ascii_case(NAME));
    let digits = at.map(|at| head[at + NAME.len()..].trim_ascii_start());
    digits.map_or(0, |digits| {
        digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0, |length: usize, digit| {
                length
                    .saturating_mul(10)
                    .saturating_add(usize::from(digit - b'0'))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_complete_with_its_body_and_named_by_its_path() {
        let get = b"GET /a/s HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(complete(get), Some((get.len(), b's')));
        assert_eq!(complete(&get[..get.len() - 1]), None);
        let post = b"POST /p HTTP/1.1\r\ncontent-Length: 3\r\n\r\nabcGET";
        assert_eq!(complete(post), Some((post.len() - 3, b'p')));
        assert_eq!(complete(&post[..post.len() - 4]), None);
    }
}
