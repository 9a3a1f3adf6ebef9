//! Signing requests that somebody else will make. The signature covers the host, so it is made for the
//! endpoint that the bearer reaches the server by, which need not be ours.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use gantry_telemetry::Secret;

use super::super::{BlobError, BlobKey, Presigned};
use super::S3Store;
use super::failure::Failure;

/// For whom and for how long URLs are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresignOptions {
    /// Where gateways reach the server; where we do unless set.
    pub endpoint: Option<String>,
    /// How long a URL is valid.
    pub valid_for: Duration,
}

/// What signs URLs.
#[derive(Debug, Clone)]
pub(super) struct Presigner {
    /// Sends nothing: it only knows the endpoint.
    client: Client,
    valid_for: Duration,
}

impl Presigner {
    pub(super) fn new(ours: &Client, options: &PresignOptions) -> Self {
        let client = match &options.endpoint {
            None => ours.clone(),
            Some(endpoint) => {
                Client::from_conf(ours.config().to_builder().endpoint_url(endpoint).build())
            }
        };
        let valid_for = options.valid_for;
        Self { client, valid_for }
    }
}

impl S3Store {
    pub(super) async fn presign(&self, key: &BlobKey) -> Result<Option<Presigned>, BlobError> {
        let Some(presigner) = &self.presigner else {
            return Ok(None);
        };
        let valid_for = presigner.valid_for;
        let config = PresigningConfig::expires_in(valid_for)
            .map_err(|error| Failure::Other(error.to_string()).of("presign", key))?;
        let request = presigner
            .client
            .get_object()
            .bucket(&self.options.bucket)
            .key(self.name(&key.path()))
            .presigned(config);
        let request = request
            .await
            .map_err(|error| Failure::from(error).of("presign", key))?;
        let url = Secret::new(request.uri().to_owned());
        Ok(Some(Presigned { url, valid_for }))
    }
}
