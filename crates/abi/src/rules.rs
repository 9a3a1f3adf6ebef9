//! What a plugin may write where: rules that need nothing but the bytes. The host and the SDK's test
//! harness both ask here, so a plugin that passes its unit tests is not refused in a gateway.

use crate::{Fault, limits};

/// Headers that describe how a message is framed or which connection carries it. They belong to the
/// gateway on both sides: a plugin that could set them could split one message into two.
pub const FRAMING_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that describe the body they came with, in lower case: representation metadata (RFC 9110
/// section 8), ranges of it (section 14), announced trailers (section 6.6.2), digests (RFC 9530) and
/// the two obsolete forms of a digest. An answer that takes the upstream's place drops those of the
/// upstream: they are wrong about its own body, and a client would decode, check or cache it by them.
pub const REPRESENTATION_HEADERS: [&str; 14] = [
    "accept-ranges",
    "content-digest",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "digest",
    "etag",
    "last-modified",
    "repr-digest",
    "trailer",
];

/// Headers that hold for one sequence of bytes only, in lower case: what [`REPRESENTATION_HEADERS`]
/// lists without the three that say what a body is about (`content-type`, `content-language`,
/// `content-location`), since an edited body mostly still is. A replaced body drops them on its side.
pub const BODY_HEADERS: [&str; 11] = [
    "accept-ranges",
    "content-digest",
    "content-encoding",
    "content-length",
    "content-md5",
    "content-range",
    "digest",
    "etag",
    "last-modified",
    "repr-digest",
    "trailer",
];

/// Whether a header belongs to the gateway; names compare without case.
pub fn is_framing_header(name: &[u8]) -> bool {
    FRAMING_HEADERS
        .iter()
        .any(|framing| framing.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether a header is the length of a message.
pub const fn is_content_length(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-length")
}

/// A length: digits alone, of a number that the gateway can have.
pub fn length(value: &[u8]) -> Result<&[u8], Fault> {
    let digits = core::str::from_utf8(value).map_err(|_| Fault::Invalid)?;
    let are_digits = digits.bytes().all(|b| b.is_ascii_digit());
    if !are_digits || digits.parse::<u64>().is_err() {
        return Err(Fault::Invalid);
    }
    Ok(value)
}

/// A request method: a token. `CONNECT` is refused, because it turns a request into a tunnel.
pub fn method(value: &[u8]) -> Result<&str, Fault> {
    let method = token(value, limits::METHOD_BYTES_MAX)?;
    if method == "CONNECT" {
        Err(Fault::Refused)
    } else {
        Ok(method)
    }
}

/// A path: begins with `/`, printable ASCII without the characters that end a path or that no
/// server accepts there.
pub fn path(value: &[u8]) -> Result<&str, Fault> {
    let allowed = |b: u8| {
        b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'<' | b'>' | b'^' | b'`' | b'\\')
    };
    if value.first() != Some(&b'/') {
        return Err(Fault::Invalid);
    }
    text(value, limits::PATH_BYTES_MAX, allowed)
}

/// A query without its `?`. Empty means no query at all.
pub fn query(value: &[u8]) -> Result<Option<&str>, Fault> {
    let allowed = |b: u8| b.is_ascii_graphic() && !matches!(b, b'#' | b'"' | b'<' | b'>');
    let query = text(value, limits::QUERY_BYTES_MAX, allowed)?;
    Ok(Some(query).filter(|query| !query.is_empty()))
}

/// A client's address: printable ASCII. It need not be one: authors take it from headers as it stands there.
pub fn remote_addr(value: &[u8]) -> Result<&str, Fault> {
    let allowed = |b: u8| b == b' ' || b.is_ascii_graphic();
    text(value, limits::REMOTE_ADDR_BYTES_MAX, allowed)
}

/// A header's name that a plugin may change: a token that is no framing header.
pub fn header_name(name: &[u8]) -> Result<&[u8], Fault> {
    check_token(name, limits::HEADER_NAME_BYTES_MAX)?;
    if is_framing_header(name) {
        Err(Fault::Refused)
    } else {
        Ok(name)
    }
}

/// A header's value: anything but control characters; tab is allowed inside.
pub fn header_value(value: &[u8]) -> Result<&[u8], Fault> {
    if value.len() > limits::HEADER_VALUE_BYTES_MAX {
        return Err(Fault::TooLarge);
    }
    let (words, _) = value.as_chunks::<8>();
    let is_plain = value.last_chunk().is_some_and(|last| {
        !holds_control(*last) && !words.iter().any(|word| holds_control(*word))
    });
    let allowed = |b: &u8| *b == b'\t' || (*b >= 0x20 && *b != 0x7f);
    if is_plain || value.iter().all(allowed) {
        Ok(value)
    } else {
        Err(Fault::Invalid)
    }
}

/// Whether any of eight bytes is a control character, tab included: all at once, since every value that a
/// plugin sets is asked. A byte below n leaves its highest bit set when n is taken off it.
const fn holds_control(bytes: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST: u64 = ONES << 7;
    let word = u64::from_le_bytes(bytes);
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    // Zero where a byte is DEL.
    let word = word ^ (ONES * 0x7f);
    let is_del = word.wrapping_sub(ONES) & !word;
    (below_space | is_del) & HIGHEST != 0
}

/// A final status in three digits, 200 to 599.
pub fn status(value: &[u8]) -> Result<u16, Fault> {
    let &[a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9'] = value else {
        return Err(Fault::Invalid);
    };
    let digit = |b: u8| u16::from(b - b'0');
    Ok(digit(a) * 100 + digit(b) * 10 + digit(c))
}

/// A consumer key: what a header carries, often with its scheme (`Bearer ...`): UTF-8 without control
/// characters.
pub fn auth_token(key: &[u8]) -> Result<&str, Fault> {
    if key.is_empty() {
        return Err(Fault::Invalid);
    }
    if key.len() > limits::AUTH_TOKEN_BYTES_MAX {
        return Err(Fault::TooLarge);
    }
    if key.iter().any(u8::is_ascii_control) {
        return Err(Fault::Invalid);
    }
    core::str::from_utf8(key).map_err(|_| Fault::Invalid)
}

/// The outside of a session document. That it is one JSON object is for the caller to prove, who has
/// a JSON parser.
pub fn session(value: &[u8]) -> Result<&str, Fault> {
    if value.len() > limits::SESSION_BYTES_MAX {
        return Err(Fault::TooLarge);
    }
    core::str::from_utf8(value).map_err(|_| Fault::Invalid)
}

/// A name in a descriptor's table: letters, digits and underscores, not beginning with a digit.
pub const fn is_function_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > limits::NAME_BYTES_MAX || bytes[0].is_ascii_digit() {
        return false;
    }
    let mut i = 0;
    while i < bytes.len() {
        if !bytes[i].is_ascii_alphanumeric() && bytes[i] != b'_' {
            return false;
        }
        i += 1;
    }
    true
}

/// Cuts a log message to its limit, at a character's boundary if it is UTF-8.
pub fn cut_message(message: &[u8]) -> &[u8] {
    if message.len() <= limits::LOG_MESSAGE_BYTES_MAX {
        return message;
    }
    // A UTF-8 character has at most three continuation bytes; more than that is no UTF-8.
    let boundary = (limits::LOG_MESSAGE_BYTES_MAX - 3..=limits::LOG_MESSAGE_BYTES_MAX)
        .rev()
        .find(|&end| message[end] & 0xc0 != 0x80)
        .unwrap_or(limits::LOG_MESSAGE_BYTES_MAX);
    &message[..boundary]
}

/// What a token consists of (RFC 9110 section 5.6.2), by byte: every header that a plugin sets is held
/// against it.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = !matches!(
            byte,
            b'"' | b'(' | b')' | b',' | b'/' | b':'..=b'@' | b'['..=b']' | b'{' | b'}'
        );
        byte += 1;
    }
    table
};

fn token(value: &[u8], max: usize) -> Result<&str, Fault> {
    check_token(value, max)?;
    core::str::from_utf8(value).map_err(|_| Fault::Invalid)
}

fn check_token(value: &[u8], max: usize) -> Result<(), Fault> {
    if value.len() > max {
        return Err(Fault::TooLarge);
    }
    if value.is_empty() || !value.iter().all(|b| TOKEN[usize::from(*b)]) {
        return Err(Fault::Invalid);
    }
    Ok(())
}

fn text(value: &[u8], max: usize, allowed: impl Fn(u8) -> bool) -> Result<&str, Fault> {
    if value.len() > max {
        return Err(Fault::TooLarge);
    }
    if !value.iter().all(|&b| allowed(b)) {
        return Err(Fault::Invalid);
    }
    core::str::from_utf8(value).map_err(|_| Fault::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_headers_are_refused_in_any_case() {
        for name in FRAMING_HEADERS {
            assert_eq!(header_name(name.as_bytes()), Err(Fault::Refused));
            assert_eq!(
                header_name(name.to_ascii_uppercase().as_bytes()),
                Err(Fault::Refused)
            );
        }
        assert_eq!(header_name(b"X-Trace"), Ok(&b"X-Trace"[..]));
    }

    #[test]
    fn token_is_letters_digits_and_the_marks_of_its_rule() {
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(header_name(&[byte]).is_ok(), expected, "{byte}");
        }
    }

    #[test]
    fn line_breaks_are_refused_everywhere() {
        assert_eq!(header_value(b"a\r\nb: c"), Err(Fault::Invalid));
        assert_eq!(header_name(b"a\r\nb"), Err(Fault::Invalid));
        assert_eq!(path(b"/a\nb"), Err(Fault::Invalid));
        assert_eq!(query(b"a\nb"), Err(Fault::Invalid));
        assert_eq!(method(b"GET /"), Err(Fault::Invalid));
    }

    #[test]
    fn value_is_anything_but_control_characters_wherever_they_stand() {
        for byte in 0..=u8::MAX {
            let expected = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
            for place in 0..19 {
                let mut value = [b'a'; 19];
                value[place] = byte;
                assert_eq!(header_value(&value).is_ok(), expected, "{byte} at {place}");
            }
        }
    }

    #[test]
    fn limits_are_inclusive() {
        static VALUE: [u8; limits::HEADER_VALUE_BYTES_MAX + 1] =
            [b'a'; limits::HEADER_VALUE_BYTES_MAX + 1];
        assert!(header_value(&VALUE[1..]).is_ok());
        assert_eq!(header_value(&VALUE), Err(Fault::TooLarge));
    }

    #[test]
    fn only_final_statuses_pass() {
        assert_eq!(status(b"204"), Ok(204));
        for bad in [&b"101"[..], b"600", b"20", b"2000", b"", b"2x0"] {
            assert_eq!(status(bad), Err(Fault::Invalid), "{bad:?}");
        }
    }

    #[test]
    fn empty_query_means_none_and_a_path_needs_its_slash() {
        assert_eq!(query(b""), Ok(None));
        assert_eq!(query(b"a=1&b=%20"), Ok(Some("a=1&b=%20")));
        assert_eq!(path(b""), Err(Fault::Invalid));
        assert_eq!(path(b"a"), Err(Fault::Invalid));
        assert_eq!(path(b"/a?b"), Err(Fault::Invalid));
    }

    #[test]
    fn long_message_is_cut_between_characters() {
        let mut message = [b'a'; limits::LOG_MESSAGE_BYTES_MAX + 2];
        let end = limits::LOG_MESSAGE_BYTES_MAX;
        message[end - 1..=end].copy_from_slice("é".as_bytes());
        assert_eq!(cut_message(&message).len(), end - 1);
        assert_eq!(cut_message(&message[..5]).len(), 5);
    }
}
