//! Following pointers that plugins pass. Each function refuses what can be seen to be wrong (null,
//! misaligned, over-long); that the rest is valid memory is the contract's demand on the plugin.
#![expect(unsafe_code, reason = "plugins pass pointers")]

use gantry_abi::{Fault, Str};

/// The bytes of a plugin's string, at most `max`.
///
/// # Safety
/// A string that is neither null nor over-long is valid for reads during `'a`, and nothing writes
/// to it.
pub(crate) unsafe fn bytes<'a>(text: Str, max: usize) -> Result<&'a [u8], Fault> {
    if text.len == 0 {
        return Ok(&[]);
    }
    if text.ptr.is_null() {
        return Err(Fault::Invalid);
    }
    if text.len > max {
        return Err(Fault::TooLarge);
    }
    // SAFETY: not null, of bounded length, valid by the caller's promise; bytes have no alignment.
    Ok(unsafe { std::slice::from_raw_parts(text.ptr, text.len) })
}

/// Refuses a place that cannot hold a `T`.
pub(crate) fn check_place<T>(place: *const T) -> Result<(), Fault> {
    if place.is_null() || !place.is_aligned() {
        Err(Fault::Invalid)
    } else {
        Ok(())
    }
}

/// Writes to a plugin's out-parameter.
///
/// # Safety
/// A place that is neither null nor misaligned is valid for a write of `T`.
pub(crate) unsafe fn write<T>(place: *mut T, value: T) -> Result<(), Fault> {
    check_place(place)?;
    // SAFETY: neither null nor misaligned; valid by the caller's promise.
    unsafe { place.write(value) };
    Ok(())
}

/// Reads a plugin's in-parameter.
///
/// # Safety
/// A place that is neither null nor misaligned is valid for a read of `T`.
pub(crate) unsafe fn read<T: Copy>(place: *const T) -> Result<T, Fault> {
    check_place(place)?;
    // SAFETY: neither null nor misaligned; valid by the caller's promise.
    Ok(unsafe { place.read() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: Str, max: usize) -> Result<&'static [u8], Fault> {
        // SAFETY: every string below is null, over-long, or static.
        unsafe { bytes(text, max) }
    }

    fn written(place: *mut u64, value: u64) -> Result<(), Fault> {
        // SAFETY: every place below is null, misaligned, or the test's own.
        unsafe { write(place, value) }
    }

    #[test]
    fn null_and_over_long_strings_are_refused_before_they_are_read() {
        assert_eq!(checked(Str::EMPTY, 8), Ok(&b""[..]));
        assert_eq!(
            checked(
                Str {
                    ptr: std::ptr::null(),
                    len: 1
                },
                8
            ),
            Err(Fault::Invalid)
        );
        let long = Str {
            ptr: b"x".as_ptr(),
            len: usize::MAX,
        };
        assert_eq!(checked(long, 8), Err(Fault::TooLarge));
        assert_eq!(checked(Str::new(b"ok"), 8), Ok(&b"ok"[..]));
    }

    #[test]
    fn null_and_misaligned_places_are_refused() {
        let mut place = 0u64;
        let misaligned = std::ptr::without_provenance_mut(9);
        assert_eq!(written(std::ptr::null_mut(), 1), Err(Fault::Invalid));
        assert_eq!(written(misaligned, 1), Err(Fault::Invalid));
        assert_eq!(check_place(misaligned), Err(Fault::Invalid));
        assert_eq!(written(&raw mut place, 7), Ok(()));
        assert_eq!(place, 7);
    }
}
