//! URLs that let their bearer read one object for a while.

use std::time::Duration;

use gantry_telemetry::Secret;

/// The longest that a URL may be valid for: it cannot be taken back, and a gateway uses it at once.
pub const PRESIGNED_FOR_MAX: Duration = Duration::from_hours(1);

/// Such a URL. It is a credential: it reaches the gateway that asked, and no log.
#[derive(Debug, Clone)]
pub struct Presigned {
    /// The URL.
    pub url: Secret<String>,
    /// How long the store lets its bearer begin to read, from when it was made.
    pub valid_for: Duration,
}
