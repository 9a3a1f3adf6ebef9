//! Requests as a client of a gateway sends them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use ureq::http;

/// A request to build and send.
#[derive(Debug, Clone)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers; several values of one name are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

impl Request {
    /// A GET request.
    pub fn get(path: &str) -> Self {
        Self {
            method: "GET",
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A POST request.
    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            method: "POST",
            body: body.into(),
            ..Self::get(path)
        }
    }

    /// A PUT request.
    pub fn put(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            method: "PUT",
            ..Self::post(path, body)
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends it on a connection of its own.
    ///
    /// # Errors
    /// No answer came.
    pub fn send(&self, to: SocketAddr) -> Result<Answer> {
        self.send_with(&agent(), to)
    }

    /// Sends it with an agent, which keeps connections.
    ///
    /// # Errors
    /// No answer came.
    pub fn send_with(&self, agent: &ureq::Agent, to: SocketAddr) -> Result<Answer> {
        let mut request = http::Request::builder()
            .method(self.method)
            .uri(format!("http://{to}{}", self.path));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut response = agent
            .run(request.body(self.body.clone())?)
            .with_context(|| format!("{} {}", self.method, self.path))?;
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in response.headers() {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            headers
                .entry(name.to_string())
                .and_modify(|all| {
                    all.push_str(", ");
                    all.push_str(&value);
                })
                .or_insert(value);
        }
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .read_to_string()
            .context("read the body")?;
        Ok(Answer {
            status,
            headers,
            body,
        })
    }
}

impl Answer {
    /// A header's value; empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON; null when it is something else.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// An agent that keeps connections and reports every status as an answer.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into()
}
