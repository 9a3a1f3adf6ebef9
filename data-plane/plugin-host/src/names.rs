//! Names of headers that functions read and set again and again: held against the rules, lowered and
//! copied once.
//!
//! A function mostly asks for the names that its source spells out, at every request the same. What a name
//! is looked up by here is how the function spells it; what is found is a [`HeaderName`] that lives as long
//! as the process and costs nothing to copy.
//!
//! Invariants: a kept name that may be changed passed [`rules::header_name`], in the very bytes that it is
//! found by. The table has a fixed size and forgets nothing, so it cannot grow; a name is kept when its place is asked for it
//! twice in a row, so that names made up per request do not fill it. One that finds no place is worked on
//! each time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use gantry_abi::{Fault, rules};
use http::HeaderName;

/// How many names are kept, a power of two: far more than the functions of a gateway spell out.
const PLACES: usize = 512;
/// Longer names are not kept.
const NAME_BYTES_MAX: usize = 64;

/// The names of this process.
static NAMES: Names = Names::new();

/// A name that is kept.
pub(crate) fn find(name: &[u8]) -> Option<&'static HeaderName> {
    NAMES.find(name).map(|kept| &kept.name)
}

/// A name that is kept and passed [`rules::header_name`].
pub(crate) fn find_changeable(name: &[u8]) -> Option<&'static HeaderName> {
    NAMES.find_changeable(name)
}

/// Notes that a name was not found, and keeps it if it is not the first time.
pub(crate) fn ask(name: &[u8]) {
    NAMES.ask(name);
}

/// The name behind bytes that passed the rule and were not found; [`ask`]s for it, too.
pub(crate) fn make(name: &[u8]) -> Result<HeaderName, Fault> {
    NAMES.ask(name);
    HeaderName::from_bytes(name).map_err(|_| Fault::Invalid)
}

struct Names([Place; PLACES]);

struct Place {
    /// The hash of the name that this place was asked for last and did not have.
    missed: AtomicU64,
    kept: OnceLock<Kept>,
}

struct Kept {
    spelled: Box<[u8]>,
    name: HeaderName,
    /// Functions may change it, and not only read it.
    may_change: bool,
}

impl Names {
    #[expect(clippy::large_stack_arrays, reason = "only tests make one at run time")]
    const fn new() -> Self {
        Self(
            [const {
                Place {
                    missed: AtomicU64::new(0),
                    kept: OnceLock::new(),
                }
            }; PLACES],
        )
    }

    fn find(&self, name: &[u8]) -> Option<&Kept> {
        let kept = self.place(hash(name)?).kept.get()?;
        (*kept.spelled == *name).then_some(kept)
    }

    fn find_changeable(&self, name: &[u8]) -> Option<&HeaderName> {
        let kept = self.find(name)?;
        kept.may_change.then_some(&kept.name)
    }

    #[cold]
    fn ask(&self, name: &[u8]) {
        let Some(hash) = hash(name) else { return };
        let place = self.place(hash);
        // Two threads at once may each see the other's name, and wait for a third time.
        let again = place.missed.load(Ordering::Relaxed) == hash;
        place.missed.store(hash, Ordering::Relaxed);
        if !again || name.len() > NAME_BYTES_MAX || place.kept.get().is_some() {
            return;
        }
        if let Ok(made) = HeaderName::from_bytes(name) {
            place.kept.get_or_init(|| Kept {
                spelled: name.into(),
                name: HeaderName::from_static(String::from(made.as_str()).leak()),
                may_change: rules::header_name(name).is_ok(),
            });
        }
    }

    fn place(&self, hash: u64) -> &Place {
        // The upper bits of a product depend on all lower bits of its factors.
        #[expect(clippy::cast_possible_truncation, reason = "nine bits are left")]
        let place = (hash >> (u64::BITS - PLACES.ilog2())) as usize;
        &self.0[place]
    }
}

/// A number out of both ends of a name, since names that differ mostly do so there; never 0. Names of
/// less than four bytes have none.
fn hash(name: &[u8]) -> Option<u64> {
    /// Odd, and without a pattern: the fraction of the golden ratio.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (first, last) = if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else {
        let first = u32::from_le_bytes(*name.first_chunk()?);
        let last = u32::from_le_bytes(*name.last_chunk()?);
        (first.into(), last.into())
    };
    let mixed = first.wrapping_mul(SPREAD).rotate_left(32) ^ last;
    Some(mixed.wrapping_mul(SPREAD) | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found of a name after it was asked for often enough.
    fn asked<'n>(names: &'n Names, name: &[u8]) -> Option<&'n Kept> {
        for _ in 0..3 {
            names.ask(name);
        }
        names.find(name)
    }

    #[test]
    fn name_is_kept_from_the_second_time_in_a_row_in_lower_case() {
        let names = Names::new();
        for name in ["X-Marked", "x-marked", "Content-Type", "x-user", "ETag"] {
            names.ask(name.as_bytes());
            assert!(names.find(name.as_bytes()).is_none());
            names.ask(name.as_bytes());
            let kept = names.find(name.as_bytes()).unwrap();
            assert_eq!(kept.name.as_str(), name.to_ascii_lowercase());
        }
    }

    #[test]
    fn every_name_is_kept_as_it_is_made_and_what_is_none_is_not() {
        for byte in 0..=u8::MAX {
            let name = [b"x-some-", &[byte][..]].concat();
            let names = Names::new();
            let kept = asked(&names, &name).map(|kept| &kept.name);
            assert_eq!(kept, HeaderName::from_bytes(&name).ok().as_ref(), "{byte}");
            let changeable = names.find_changeable(&name).is_some();
            assert_eq!(changeable, rules::header_name(&name).is_ok(), "{byte}");
        }
    }

    #[test]
    fn framing_header_is_kept_for_reading_only() {
        for name in rules::FRAMING_HEADERS
            .into_iter()
            .filter(|name| name.len() > 3)
        {
            for spelled in [name.to_owned(), name.to_ascii_uppercase()] {
                let names = Names::new();
                assert_eq!(asked(&names, spelled.as_bytes()).unwrap().name, *name);
                assert_eq!(names.find_changeable(spelled.as_bytes()), None);
            }
        }
    }

    #[test]
    fn name_is_found_by_all_of_its_bytes() {
        let names = Names::new();
        assert!(asked(&names, b"x-company-1-identity").is_some());
        assert!(asked(&names, b"x-company-2-identity").is_none());
        assert!(names.find(b"x-company\r1-identity").is_none());
    }

    #[test]
    fn names_that_are_made_up_leave_room_for_those_that_are_not() {
        let names = Names::new();
        for number in 0..100_000 {
            names.ask(format!("x-{number:08}").as_bytes());
        }
        let kept = names.0.iter().filter(|place| place.kept.get().is_some());
        assert_eq!(kept.count(), 0);
        assert!(asked(&names, b"x-spelled-out").is_some());
    }

    #[test]
    fn short_and_long_names_are_not_kept() {
        let names = Names::new();
        assert!(asked(&names, b"x-a").is_none());
        assert!(asked(&names, "x".repeat(NAME_BYTES_MAX).as_bytes()).is_some());
        assert!(asked(&names, "x".repeat(NAME_BYTES_MAX + 1).as_bytes()).is_none());
    }
}
