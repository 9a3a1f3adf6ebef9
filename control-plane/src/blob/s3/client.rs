//! The SDK's client: whom it speaks to, and how patient it is.

use std::time::Duration;

use aws_config::{ConfigLoader, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

use super::S3Options;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest pause between attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Where the region comes from neither configuration nor environment.
const REGION_DEFAULT: &str = "us-east-1";

/// How long and how often a server is asked before it counts as not available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long one attempt of a call may take: a part over a slow line, a copy of the largest file.
    pub attempt_timeout: Duration,
    /// Attempts of a call, the first one included.
    pub attempts_max: u32,
    /// The pause before the second attempt; it doubles from there, with jitter.
    pub backoff_first: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_mins(2),
            attempts_max: 6,
            backoff_first: Duration::from_millis(200),
        }
    }
}

pub(super) async fn client(options: &S3Options, loader: ConfigLoader) -> Client {
    let patience = &options.patience;
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let loader = loader
        .http_client(http)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(patience.attempts_max)
                .with_initial_backoff(patience.backoff_first)
                .with_max_backoff(BACKOFF_MAX),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(patience.attempt_timeout)
                .build(),
        )
        // Many servers refuse the checksums that the SDK would add; ours are set by hand.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    let loader = match &options.endpoint {
        Some(endpoint) => loader.endpoint_url(endpoint),
        None => loader,
    };
    let loader = match &options.region {
        Some(region) => loader.region(Region::new(region.clone())),
        None => loader,
    };
    let shared = loader.load().await;
    let region = shared.region().cloned();
    let config = aws_sdk_s3::config::Builder::from(&shared)
        .region(region.unwrap_or(Region::from_static(REGION_DEFAULT)))
        .force_path_style(options.path_style);
    Client::from_conf(config.build())
}
