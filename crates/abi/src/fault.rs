//! Why a callback refused, as a type instead of a number.

use crate::constants::code;

/// A refusal by the host. Each is one `GANTRY_E_…` number of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Fault {
    /// The part has no value here, or an iteration is at its end.
    Absent = code::E_ABSENT,
    /// The handle names no call that this thread is in.
    DeadHandle = code::E_DEAD_HANDLE,
    /// No such part, operation or level.
    Unknown = code::E_UNKNOWN,
    /// Reserved in this contract, not served by this host.
    Unsupported = code::E_UNSUPPORTED,
    /// Not allowed at this hook, not declared by the function, or it belongs to the gateway.
    Refused = code::E_REFUSED,
    /// Malformed name, value or pointer.
    Invalid = code::E_INVALID,
    /// Beyond a limit.
    TooLarge = code::E_TOO_LARGE,
    /// The host failed; its log says why.
    Internal = code::E_INTERNAL,
}

impl Fault {
    /// The number that crosses the boundary.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The fault behind a number; `None` for success. A number that this version does not know is
    /// [`Fault::Internal`].
    pub const fn from_code(number: i32) -> Option<Self> {
        Some(match number {
            0.. => return None,
            code::E_ABSENT => Self::Absent,
            code::E_DEAD_HANDLE => Self::DeadHandle,
            code::E_UNKNOWN => Self::Unknown,
            code::E_UNSUPPORTED => Self::Unsupported,
            code::E_REFUSED => Self::Refused,
            code::E_INVALID => Self::Invalid,
            code::E_TOO_LARGE => Self::TooLarge,
            _ => Self::Internal,
        })
    }

    /// The stable name, for messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "ABSENT",
            Self::DeadHandle => "DEAD_HANDLE",
            Self::Unknown => "UNKNOWN",
            Self::Unsupported => "UNSUPPORTED",
            Self::Refused => "REFUSED",
            Self::Invalid => "INVALID",
            Self::TooLarge => "TOO_LARGE",
            Self::Internal => "INTERNAL",
        }
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Absent => "there is no value here",
            Self::DeadHandle => "the call is over or belongs to another thread",
            Self::Unknown => "the gateway knows no such part or operation",
            Self::Unsupported => "reserved, and not served by this gateway",
            Self::Refused => {
                "not allowed at this hook, not declared by the function, or it belongs to the gateway"
            }
            Self::Invalid => "malformed name or value",
            Self::TooLarge => "beyond a limit",
            Self::Internal => "the gateway failed",
        })
    }
}

impl core::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_number_comes_back_as_its_fault() {
        for (name, number) in code::C_NAMES {
            let number = i32::try_from(*number).unwrap();
            assert_eq!(
                Fault::from_code(number).map_or(0, Fault::code),
                number,
                "{name}"
            );
        }
    }
}
