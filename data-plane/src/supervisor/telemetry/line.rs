//! One request as one line of the access log: JSON, or the common log format with further fields behind
//! it. Written by hand into a buffer that is used again, since there is one for every request.
//!
//! Invariant: a line is one line whatever a client sent; it holds no header and no credentials.

use std::io::Write as _;

use jiff::Timestamp;

use super::directory::Names;
use crate::config::AccessLogFormat;
use crate::record::{AnsweredBy, RequestRecord, TraceId};
use crate::worker::respond::Refusal;

/// What stands for the status where a client left before there was one, as other servers have it.
const CLIENT_LEFT: u16 = 499;
/// What stands for a refusal that a worker cannot have meant.
const CODE_UNKNOWN: &str = "UNKNOWN";

/// Writes lines. Remembers the second that it wrote last, because the next line's is mostly the same.
#[derive(Debug)]
pub struct Lines {
    format: AccessLogFormat,
    second: i64,
    time: String,
}

impl Lines {
    /// Of a format.
    pub const fn new(format: AccessLogFormat) -> Self {
        Self {
            format,
            second: i64::MIN,
            time: String::new(),
        }
    }

    /// Writes the line of a request that began at a time (nanoseconds since 1970) in a worker.
    pub fn write(
        &mut self,
        names: &Names,
        worker: u32,
        unix_nanos: u64,
        record: &RequestRecord<'_>,
        to: &mut Vec<u8>,
    ) {
        self.tell_second(unix_nanos / 1_000_000_000);
        match self.format {
            AccessLogFormat::Json => {
                let millis = unix_nanos / 1_000_000 % 1000;
                self.json(names, worker, millis, record, to);
            }
            AccessLogFormat::Text => self.text(names, worker, record, to),
        }
        to.push(b'\n');
    }

    fn tell_second(&mut self, second: u64) {
        let second = i64::try_from(second).unwrap_or(i64::MAX);
        if self.second == second {
            return;
        }
        let format = match self.format {
            AccessLogFormat::Json => "%Y-%m-%dT%H:%M:%S",
            AccessLogFormat::Text => "%d/%b/%Y:%H:%M:%S +0000",
        };
        // A clock beyond the year 9999 is wrong.
        let time = Timestamp::from_second(second).unwrap_or_default();
        self.time = time.strftime(format).to_string();
        self.second = second;
    }

    fn json(
        &self,
        names: &Names,
        worker: u32,
        millis: u64,
        record: &RequestRecord<'_>,
        to: &mut Vec<u8>,
    ) {
        put(to, "{\"time\":\"");
        put(to, &self.time);
        // Writing to a vector cannot fail, here and below.
        let _ = write!(to, ".{millis:03}Z\",\"tenant\":\"");
        put(to, &names.tenant);
        put(to, "\",\"environment\":\"");
        put(to, &names.environment);
        put(to, "\"");
        if let Some(api) = names.api(record.api) {
            put(to, ",\"api_id\":\"");
            put(to, &api.id);
            put(to, "\"");
        }
        put(to, ",\"method\":\"");
        put_json_text(to, record.method);
        put(to, "\",\"path\":\"");
        put_json_text(to, record.path);
        put(to, "\",\"protocol\":\"");
        put(to, protocol(record));
        put(to, "\",\"status\":");
        put_number(to, u64::from(status(record)));
        if !record.complete {
            put(to, ",\"complete\":false");
        }
        put(to, ",\"request_bytes\":");
        put_number(to, record.request_bytes);
        put(to, ",\"response_bytes\":");
        put_number(to, record.response_bytes);
        put(to, ",\"duration_ms\":");
        put_thousandths(to, record.duration_nanos / 1000);
        if let Some(upstream) = record.upstream {
            put(to, ",\"upstream_status\":");
            put_number(to, u64::from(upstream.status));
            put(to, ",\"upstream_ms\":");
            put_thousandths(to, upstream.nanos / 1000);
        }
        let (by, key, value) = answered_by(names, record);
        put(to, ",\"answered_by\":\"");
        put(to, by);
        if !key.is_empty() {
            put(to, "\",\"");
            put(to, key);
            put(to, "\":\"");
            put(to, value);
        }
        let _ = write!(to, "\",\"client\":\"{}\"", record.client);
        if let Some(trace_id) = &record.trace_id {
            put(to, ",\"trace_id\":\"");
            put_hex(to, trace_id);
            put(to, "\"");
        }
        put(to, ",\"worker\":");
        put_number(to, u64::from(worker));
        put(to, ",\"revision\":");
        put_number(to, record.revision);
        put(to, "}");
    }

    fn text(&self, names: &Names, worker: u32, record: &RequestRecord<'_>, to: &mut Vec<u8>) {
        let _ = write!(to, "{} - - [{}] \"", record.client, self.time);
        put_quoted(to, record.method);
        put(to, " ");
        put_quoted(to, record.path);
        put(to, " ");
        put(to, protocol(record));
        put(to, "\" ");
        put_number(to, u64::from(status(record)));
        put(to, " ");
        put_number(to, record.response_bytes);
        if !record.complete {
            put(to, " incomplete");
        }
        put(to, " in=");
        put_number(to, record.request_bytes);
        put(to, " ms=");
        put_thousandths(to, record.duration_nanos / 1000);
        if let Some(upstream) = record.upstream {
            put(to, " upstream=");
            put_number(to, u64::from(upstream.status));
            put(to, " upstream_ms=");
            put_thousandths(to, upstream.nanos / 1000);
        }
        let (by, key, value) = answered_by(names, record);
        put(to, " by=");
        put(to, by);
        if !key.is_empty() {
            put(to, ":");
            put(to, value);
        }
        put(to, " api=");
        put(to, names.api(record.api).map_or("-", |api| &api.id));
        put(to, " tenant=");
        put(to, &names.tenant);
        put(to, "/");
        put(to, &names.environment);
        put(to, " worker=");
        put_number(to, u64::from(worker));
        put(to, " revision=");
        put_number(to, record.revision);
        if let Some(trace_id) = &record.trace_id {
            put(to, " trace=");
            put_hex(to, trace_id);
        }
    }
}

const fn protocol(record: &RequestRecord<'_>) -> &'static str {
    if record.is_http_10 {
        "HTTP/1.0"
    } else {
        "HTTP/1.1"
    }
}

/// The status as lines have it.
pub const fn status(record: &RequestRecord<'_>) -> u16 {
    match record.status {
        0 => CLIENT_LEFT,
        status => status,
    }
}

/// Who answered, and the name or code that goes with it under a key. None of them needs escaping:
/// functions' names are identifiers, and codes are ours.
pub fn answered_by<'n>(
    names: &'n Names,
    record: &RequestRecord<'_>,
) -> (&'static str, &'static str, &'n str) {
    match record.answered_by {
        AnsweredBy::Nobody => ("nobody", "", ""),
        AnsweredBy::Upstream => ("upstream", "", ""),
        AnsweredBy::Function(number) => {
            let name = names.function(number);
            let name = name.map_or("-", |name| &name.function);
            ("function", "function", name)
        }
        AnsweredBy::Gateway(number) => ("gateway", "code", refusal_code(number)),
    }
}

/// The code of a refusal's number.
pub fn refusal_code(number: u8) -> &'static str {
    Refusal::from_number(number).map_or(CODE_UNKNOWN, Refusal::code)
}

fn put(to: &mut Vec<u8>, text: &str) {
    to.extend_from_slice(text.as_bytes());
}

fn put_number(to: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        let digit = (number % 10) as u8;
        digits[at] = b'0' + digit;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    to.extend_from_slice(&digits[at..]);
}

/// A number of thousandths as a decimal.
fn put_thousandths(to: &mut Vec<u8>, thousandths: u64) {
    put_number(to, thousandths / 1000);
    let rest = thousandths % 1000;
    let digit = |place: u64| u8::try_from(rest / place % 10).unwrap_or_default() + b'0';
    to.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

fn put_hex(to: &mut Vec<u8>, id: &TraceId) {
    for byte in id {
        to.extend_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
    }
}

const fn hex(digit: u8) -> u8 {
    match digit {
        0..10 => b'0' + digit,
        _ => b'a' + digit - 10,
    }
}

/// Text inside of a JSON string. What is not UTF-8 becomes the replacement character.
fn put_json_text(to: &mut Vec<u8>, text: &[u8]) {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if text.iter().all(|byte| plain(*byte)) {
        to.extend_from_slice(text);
        return;
    }
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '"' => put(to, "\\\""),
            '\\' => put(to, "\\\\"),
            control if control.is_control() => {
                let _ = write!(to, "\\u{:04x}", u32::from(control));
            }
            other => to.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Text inside of quotes in a text line; anything that could end or break it is written as `\xHH`.
fn put_quoted(to: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte {
            b'"' | b'\\' | ..b' ' | 0x7f.. => {
                to.extend_from_slice(&[b'\\', b'x', hex(byte >> 4), hex(byte & 15)]);
            }
            plain => to.push(*plain),
        }
    }
}

#[cfg(test)]
mod tests;
