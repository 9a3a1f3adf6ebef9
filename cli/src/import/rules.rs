//! What each field of a Tyk definition means for an API that goes without it. A field that is not here is
//! looked into, and what is then still unknown may protect.

mod classic;
mod openapi;

pub(super) use classic::CLASSIC;
pub(super) use openapi::OPENAPI;

/// What goes missing with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Nothing.
    Harmless,
    /// Something that the API does; it is not more open without it.
    Lost,
    /// Something that keeps requests out or data in.
    Protects,
    /// A method of authentication.
    Authenticates,
}

/// The fields of one format.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules(&'static [(&'static [&'static str], Class, &'static str)]);

impl Rules {
    /// What is known of a field.
    pub(super) fn of(self, place: &str) -> Option<(Class, &'static str)> {
        self.0
            .iter()
            .find(|(places, ..)| places.contains(&place))
            .map(|(_, class, why)| (*class, *why))
    }
}

const RECORDS: &str = "Tyk's own record keeping";
const INERT: &str = "a setting of something that is off, or has an entry of its own here";
const OBSERVED: &str = "traces, metrics and logs are the gateway's settings";
const LIMITS: &str = "rates, quotas and sizes are not limited per API";
const UPSTREAM: &str = "the gateway has one upstream per API and speaks to it in its own way";
const REWRITES: &str = "requests and responses are changed by functions alone";
const AUTH: &str = "expected a consumer key or an auth function: requests would be authenticated otherwise, or not at all";
