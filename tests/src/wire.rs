//! What goes over a wire, as far as a watch must understand it: the frames of HTTP/2, and the requests
//! of HTTP/1.1 without pipelining, as S3 clients send them.

/// Bytes of a frame's head.
const HEAD_BYTES: usize = 9;
/// What a client says before its first frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The number of frames that begin a request or an answer.
const HEADERS: u8 = 1;

/// One direction of an HTTP/2 connection.
#[derive(Debug, Default)]
pub struct Frames {
    head: Vec<u8>,
    preface: usize,
    left: usize,
}

impl Frames {
    /// The direction from the client, which begins with a preface.
    pub fn of_client() -> Self {
        Self {
            preface: PREFACE.len(),
            ..Self::default()
        }
    }

    /// Reads on, and gives the places at which frames begin that begin a request or an answer. A frame
    /// whose head is split between two reads is said to begin at the second.
    pub fn headers(&mut self, bytes: &[u8]) -> Vec<usize> {
        let mut begun = Vec::new();
        let mut at = self.preface.min(bytes.len());
        self.preface -= at;
        while at < bytes.len() {
            let skipped = self.left.min(bytes.len() - at);
            self.left -= skipped;
            at += skipped;
            if self.left > 0 || at == bytes.len() {
                break;
            }
            let began = at;
            let taken = (HEAD_BYTES - self.head.len()).min(bytes.len() - at);
            self.head.extend_from_slice(&bytes[at..at + taken]);
            at += taken;
            if let [a, b, c, kind, _, _, _, _, _] = self.head[..] {
                self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.head.clear();
                if kind == HEADERS {
                    begun.push(began);
                }
            }
        }
        begun
    }
}

/// One connection of HTTP/1.1.
#[derive(Debug, Default)]
pub struct Exchange {
    answered: bool,
    begun: bool,
    head: String,
    /// Bytes of the body that have come.
    body: usize,
}

impl Exchange {
    /// Bytes from the client. Gives where in them the body begins once the head is whole.
    pub fn request(&mut self, bytes: &[u8]) -> Option<usize> {
        let starts = !self.begun || (self.answered && begins_request(bytes));
        if starts {
            (self.begun, self.answered, self.body) = (true, false, 0);
            self.head.clear();
        }
        if self.head.ends_with("\r\n\r\n") {
            self.body += bytes.len();
            return Some(0);
        }
        let old = self.head.len();
        self.head.push_str(&String::from_utf8_lossy(bytes));
        let end = self.head.find("\r\n\r\n")? + 4;
        self.head.truncate(end);
        let begins = end - old;
        self.body = bytes.len() - begins.min(bytes.len());
        Some(begins)
    }

    /// Bytes from the server came.
    pub fn answer(&mut self) {
        self.answered = true;
    }

    /// The request's first line and headers.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Bytes of the request's body that have come so far.
    pub fn body(&self) -> usize {
        self.body
    }
}

fn begins_request(bytes: &[u8]) -> bool {
    ["GET ", "PUT ", "POST ", "HEAD ", "DELETE "]
        .iter()
        .any(|method| bytes.starts_with(method.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let frame = |kind: u8, length: u8| {
            let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
            frame.extend(vec![7; usize::from(length)]);
            frame
        };
        let wire = [
            PREFACE,
            &frame(4, 0),
            &frame(1, 5),
            &frame(0, 3),
            &frame(1, 2),
        ]
        .concat();
        let whole = Frames::of_client().headers(&wire);
        let first = PREFACE.len() + 9;
        assert_eq!(whole, [first, first + 14 + 12]);
        let mut frames = Frames::of_client();
        let cut: usize = wire.chunks(4).map(|part| frames.headers(part).len()).sum();
        assert_eq!(cut, 2);
    }

    #[test]
    fn requests_are_told_apart_by_the_answers_between_them() {
        let mut exchange = Exchange::default();
        let put = b"PUT /b/k?partNumber=1 HTTP/1.1\r\nhost: h\r\n\r\nbody";
        assert_eq!(exchange.request(put), Some(put.len() - 4));
        assert_eq!(exchange.request(b"more"), Some(0));
        assert_eq!((exchange.body(), &exchange.head()[..7]), (8, "PUT /b/"));
        exchange.answer();
        assert_eq!(exchange.request(b"GET /x HTTP/1.1\r\n"), None);
        assert!(exchange.request(b"\r\n").is_some());
        assert_eq!((exchange.body(), &exchange.head()[..6]), (0, "GET /x"));
    }
}
