//! What a server must be able to do, tried before anything depends on it.

use bytes::Bytes;

use super::super::{BlobError, Created};
use super::S3Store;
use crate::random;

impl S3Store {
    /// Creates an object twice: the second time must be refused, or a process on the same bucket
    /// could replace what another has published. One that only sometimes refuses, because it checks
    /// and writes in two steps, is not found out here.
    pub(super) async fn probe(&self) -> Result<(), BlobError> {
        let name = self.name(&format!("probe/{}", random::hex::<16>()));
        let body = Bytes::from_static(b"gantry");
        let failed = |failure: super::Failure| failure.at("write the probe", &name);
        let first = self.put_new(&name, &body).await.map_err(failed)?;
        let failed = |failure: super::Failure| failure.at("write the probe again", &name);
        let second = self.put_new(&name, &body).await.map_err(failed)?;
        let deleted = self
            .client
            .delete_object()
            .bucket(&self.options.bucket)
            .key(&name)
            .send();
        deleted
            .await
            .map_err(|e| super::Failure::from(e).at("delete the probe", &name))?;
        // The first one may have been stored although its answer was lost, and then tried again.
        match (first, second) {
            (_, Created::Before) => Ok(()),
            (_, Created::Now) => Err(BlobError::Refused {
                action: "write the probe again",
                key: name.clone(),
                cause: "the server replaces objects in spite of `If-None-Match: *`; use one that \
                        supports conditional writes"
                    .into(),
            }),
        }
    }
}
