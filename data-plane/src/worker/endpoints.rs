//! The functions of an API's endpoints: which of them a request meets, decided by its method and path
//! as they are when the request comes to them. Patterns are compiled when the API is put together.
//!
//! Invariant: an endpoint runs all of its functions or none of its requests pass: where one that a
//! request would meet cannot run, none runs.

use std::sync::Arc;

use gantry_domain::endpoint::{PathMatcher, method_matches};
use http::Method;
use percent_encoding::percent_decode_str;

use super::api::Function;
use super::path::strip;
use super::respond::Refusal;

/// A function of an endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// The method, in capitals.
    pub method: String,
    /// The path.
    pub path: PathMatcher,
    /// The function; none if it cannot run.
    pub function: Option<Arc<Function>>,
}

/// The functions of an API's endpoints, in order.
#[derive(Debug, Default)]
pub struct Endpoints {
    listen_path: String,
    all: Vec<Endpoint>,
}

impl Endpoints {
    /// Those of an API below a listen path, without a slash at its end.
    pub fn new(listen_path: &str, all: Vec<Endpoint>) -> Self {
        Self {
            listen_path: listen_path.to_owned(),
            all,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The functions that a request meets. Nothing is allocated where that is none.
    ///
    /// # Errors
    /// One of them cannot run.
    pub fn of(&self, method: &Method, path: &str) -> Result<Vec<Arc<Function>>, Refusal> {
        if self.all.is_empty() {
            return Ok(Vec::new());
        }
        // Encoded separators do not come this far, so decoding moves no boundary of a segment.
        let path: std::borrow::Cow<'_, [u8]> =
            percent_decode_str(strip(path, &self.listen_path)).into();
        let met = self.all.iter().filter(|endpoint| {
            method_matches(&endpoint.method, method.as_str()) && endpoint.path.matches(&path)
        });
        let functions = met.map(|endpoint| endpoint.function.clone());
        functions
            .collect::<Option<_>>()
            .ok_or(Refusal::EndpointUnavailable)
    }
}
