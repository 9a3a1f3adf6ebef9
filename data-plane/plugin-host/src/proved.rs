//! Text and header values out of bytes, without proving again what is proved already.
//!
//! Every header that a function reads or sets comes through here, and a second look at each byte was a
//! good part of what a call cost.
#![expect(unsafe_code, reason = "types that hold a proof are made without one")]

use bytes::Bytes;
use gantry_abi::{Fault, rules};
use http::HeaderValue;

/// The name of a header as text; refused if it is not ASCII, which no name is.
pub(crate) fn text(name: &[u8]) -> Result<&str, Fault> {
    if !name.is_ascii() {
        return Err(Fault::Invalid);
    }
    // SAFETY: ASCII is UTF-8; checked above.
    Ok(unsafe { std::str::from_utf8_unchecked(name) })
}

/// A copy of a value that passed [`rules::header_value`].
pub(crate) fn value(value: &[u8]) -> HeaderValue {
    debug_assert!(rules::header_value(value).is_ok(), "checked by `Mutation`");
    let value = Bytes::copy_from_slice(value);
    // SAFETY: the rule that every mutation passed allows what a `HeaderValue` may hold and no more; a
    // test below holds them against each other.
    unsafe { HeaderValue::from_maybe_shared_unchecked(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_for_values_allows_no_byte_that_a_header_value_may_not_hold() {
        for byte in 0..=u8::MAX {
            let allowed = rules::header_value(&[byte]).is_ok();
            assert_eq!(allowed, HeaderValue::from_bytes(&[byte]).is_ok(), "{byte}");
        }
        assert_eq!(
            value(b"a\tb\xff"),
            HeaderValue::from_bytes(b"a\tb\xff").unwrap()
        );
    }

    #[test]
    fn name_that_is_not_ascii_is_no_text() {
        assert_eq!(text(b"X-Name"), Ok("X-Name"));
        assert_eq!(text(b""), Ok(""));
        assert_eq!(text("n\u{e4}me".as_bytes()), Err(Fault::Invalid));
        assert_eq!(text(b"\xff"), Err(Fault::Invalid));
    }
}
