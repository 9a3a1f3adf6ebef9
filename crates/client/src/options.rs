//! Where the control plane is, how it is trusted, who is asking; checked before anything is sent.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use thiserror::Error;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// The time in which HTTP/2 pings must be answered.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between two of them, also while nothing else is said: streams to a peer that is gone end.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

const PEM_HEAD: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Why a client cannot be made.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Not an address of a control plane.
    #[error("endpoint {given:?}: expected https://host:port or http://host:port, found {found}")]
    Endpoint {
        /// What was given.
        given: String,
        /// What is wrong with it.
        found: String,
    },
    /// The token would travel in plain text.
    #[error(
        "endpoint {given:?}: expected https:// for another machine, found http://, which would show \
         the token to the network"
    )]
    Plaintext {
        /// What was given.
        given: String,
    },
    /// Not a token.
    #[error("token: expected visible ASCII characters without spaces, found {found}")]
    Token {
        /// What is wrong with it; never the token.
        found: &'static str,
    },
    /// No certificate in what should hold the CA's.
    #[error("CA file: expected certificates in PEM form, found none")]
    Authority,
    /// TLS cannot be set up.
    #[error("set up TLS")]
    Tls(#[source] tonic::transport::Error),
}

impl ConnectError {
    /// A stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Endpoint { .. } => "ENDPOINT_INVALID",
            Self::Plaintext { .. } => "PLAINTEXT_REFUSED",
            Self::Token { .. } => "TOKEN_INVALID",
            Self::Authority => "CA_INVALID",
            Self::Tls(_) => "TLS_INVALID",
        }
    }
}

/// An access token. Not shown by `Debug`, and marked so that HTTP libraries do not show it either.
#[derive(Clone)]
pub struct AccessToken(MetadataValue<Ascii>);

impl AccessToken {
    /// The value of the `authorization` header.
    pub(crate) fn header(&self) -> MetadataValue<Ascii> {
        self.0.clone()
    }
}

impl FromStr for AccessToken {
    type Err = ConnectError;

    fn from_str(token: &str) -> Result<Self, ConnectError> {
        let refuse = |found| Err(ConnectError::Token { found });
        if token.is_empty() {
            return refuse("nothing");
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse("other characters");
        }
        let Ok(mut header) = MetadataValue::try_from(format!("Bearer {token}")) else {
            return refuse("other characters");
        };
        header.set_sensitive(true);
        Ok(Self(header))
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(****)")
    }
}

/// How a client behaves. The default suits a command line.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// CA certificates (PEM) that are trusted instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Whether `http://` is allowed to other machines than this one.
    pub allow_plaintext_remote: bool,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time for one unary call with all its repetitions.
    pub call_timeout: Duration,
    /// Tries of a call that may be repeated.
    pub attempts_max: u32,
    /// How long an upload or a download that gets no further is tried again: about as long as a control
    /// plane takes to be replaced.
    pub patience: Duration,
    /// The program, as it stands in the control plane's log.
    pub user_agent: String,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            ca_pem: None,
            allow_plaintext_remote: false,
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(30),
            attempts_max: 4,
            patience: Duration::from_mins(1),
            user_agent: concat!("gantry/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Checks and configures the way to the control plane.
pub(crate) fn endpoint(given: &str, options: &ClientOptions) -> Result<Endpoint, ConnectError> {
    let refuse = |found: String| ConnectError::Endpoint {
        given: given.to_owned(),
        found,
    };
    let uri: Uri = given
        .parse()
        .map_err(|e: http::uri::InvalidUri| refuse(e.to_string()))?;
    if uri.path() != "/" || uri.query().is_some() {
        return Err(refuse("a path".into()));
    }
    let host = uri.host().unwrap_or_default();
    let encrypted = match uri.scheme_str() {
        Some("https") => true,
        Some("http") if options.allow_plaintext_remote || is_loopback(host) => false,
        Some("http") => {
            return Err(ConnectError::Plaintext {
                given: given.to_owned(),
            });
        }
        Some(other) => return Err(refuse(format!("scheme {other}"))),
        None => return Err(refuse("no scheme".into())),
    };
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err(refuse(
            "a user name; tokens are not part of an address".into(),
        ));
    }
    let endpoint = Endpoint::from(uri)
        .user_agent(options.user_agent.clone())
        .map_err(|e| refuse(e.to_string()))?
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    if !encrypted {
        return Ok(endpoint);
    }
    let tls = ClientTlsConfig::new();
    let tls = match &options.ca_pem {
        // TLS would take nonsense for an empty list and then trust nobody, without saying why.
        Some(pem) if !pem.windows(PEM_HEAD.len()).any(|head| head == PEM_HEAD) => {
            return Err(ConnectError::Authority);
        }
        Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
        None => tls.with_native_roots(),
    };
    endpoint.tls_config(tls).map_err(ConnectError::Tls)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(given: &str) -> Option<&'static str> {
        endpoint(given, &ClientOptions::default())
            .err()
            .map(|e| e.code())
    }

    #[test]
    fn plain_text_is_for_this_machine_unless_asked_for() {
        for own in [
            "http://localhost:1",
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://127.9.9.9",
        ] {
            assert_eq!(code(own), None, "{own}");
        }
        for other in [
            "http://localhost.evil.example",
            "http://10.0.0.1:1",
            "http://[2001:db8::1]",
        ] {
            assert_eq!(code(other), Some("PLAINTEXT_REFUSED"), "{other}");
        }
        let options = ClientOptions {
            allow_plaintext_remote: true,
            ..ClientOptions::default()
        };
        assert!(endpoint("http://10.0.0.1:1", &options).is_ok());
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for bad in [
            "",
            "localhost:1",
            "ftp://x",
            "https://x/api",
            "https://x?token=1",
            "https://t@x",
        ] {
            assert_eq!(code(bad), Some("ENDPOINT_INVALID"), "{bad}");
        }
    }

    #[test]
    fn token_is_never_shown() {
        let token: AccessToken = "gt_secret".parse().unwrap();
        let shown = format!("{token:?} {:?}", token.header());
        assert!(!shown.contains("secret"), "{shown}");
        for bad in ["", "two words", "line\n", "ä"] {
            let refusal = bad.parse::<AccessToken>().unwrap_err();
            assert_eq!(refusal.code(), "TOKEN_INVALID");
        }
    }

    #[test]
    fn authority_that_is_no_certificate_is_refused() {
        let options = ClientOptions {
            ca_pem: Some(b"nonsense".to_vec()),
            ..ClientOptions::default()
        };
        let refused = endpoint("https://localhost:1", &options).map(drop);
        assert_eq!(refused.map_err(|e| e.code()), Err("CA_INVALID"));
    }
}
