//! The multipart uploads of a bucket that were never completed, over every page of the listing.

use super::super::{BlobError, BlobPrefix, Unsealed};
use super::failure::Failure;
use super::{S3Store, timestamp};

/// Uploads asked for at once: more than that no server gives.
pub(super) const UPLOADS_PAGE: i32 = 1000;
/// Uploads listed in all. Whoever tidies up what is listed finds the rest the next time.
const UPLOADS_MAX: usize = 100_000;

impl S3Store {
    /// Up to [`UPLOADS_MAX`] of them, none where the server does not list uploads.
    pub(super) async fn uploads(
        &self,
        prefix: &BlobPrefix,
        page_entries: i32,
    ) -> Result<Vec<Unsealed>, BlobError> {
        let mut unsealed = Vec::new();
        let mut from = (None, None);
        loop {
            let listed = self
                .client
                .list_multipart_uploads()
                .bucket(&self.options.bucket)
                .prefix(self.name(&prefix.path()))
                .max_uploads(page_entries)
                .set_key_marker(from.0.clone())
                .set_upload_id_marker(from.1.clone())
                .send();
            let page = match listed.await.map_err(Failure::from) {
                Ok(page) => page,
                Err(Failure::Unsupported) => {
                    tracing::debug!("the S3 server does not list multipart uploads");
                    return Ok(unsealed);
                }
                Err(other) => return Err(other.at("list the uploads of", &prefix.path())),
            };
            unsealed.extend(page.uploads().iter().filter_map(|upload| {
                Some(Unsealed {
                    key: self.key(upload.key()?)?,
                    upload: upload.upload_id()?.to_owned(),
                    begun: timestamp(upload.initiated()),
                })
            }));
            // What came goes back as it came: SeaweedFS gives the id alone, and takes a key for a filter.
            let place = |marker: Option<String>| marker.filter(|marker| !marker.is_empty());
            let next = (
                place(page.next_key_marker),
                place(page.next_upload_id_marker),
            );
            // A server that gives no new place to go on at would be asked for ever.
            let stuck = next == (None, None) || next == from;
            let ended = page.is_truncated != Some(true) || stuck;
            if ended || unsealed.len() >= UPLOADS_MAX {
                return Ok(unsealed);
            }
            from = next;
        }
    }
}
