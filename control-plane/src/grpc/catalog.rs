//! `CatalogService`: decode, call, encode.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, stream};
use gantry_domain::{Digest, FieldError, Limits};
use gantry_proto::convert::{field, optional, release_to_wire};
use gantry_proto::v1::catalog_service_server::CatalogService;
use gantry_proto::v1::{
    BundleSummary, DownloadFileRequest, DownloadFileResponse, GetReleaseRequest,
    GetReleaseResponse, ListBundlesRequest, ListBundlesResponse, ListVersionsRequest,
    ListVersionsResponse, ReleaseFilter as WireFilter, UnyankRequest, UnyankResponse,
    VersionSummary, YankRequest, YankResponse, YankState, YankedFilter,
};
use tonic::{Request, Response, Status};

use super::page::Page;
use super::status::invalid;
use super::{caller, refuse};
use crate::bundles::{Bundles, Version};
use crate::metadata::{BundleRow, ReleaseFilter, VersionPlace};

/// Bytes of one chunk of a file.
const CHUNK_BYTES: usize = 256 << 10;
/// Characters of a name's beginning, at most: no name is longer.
const PREFIX_CHARS_MAX: usize = 64;

/// The service.
pub(super) struct CatalogApi {
    pub(super) bundles: Bundles,
    pub(super) limits: Arc<Limits>,
}

type Chunks = Pin<Box<dyn Stream<Item = Result<DownloadFileResponse, Status>> + Send>>;

#[tonic::async_trait]
impl CatalogService for CatalogApi {
    type DownloadFileStream = Chunks;

    async fn list_bundles(
        &self,
        request: Request<ListBundlesRequest>,
    ) -> Result<Response<ListBundlesResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let filter = filter(request.filter.as_ref()).map_err(invalid)?;
        let prefix = prefix(&request.name_prefix).map_err(invalid)?;
        let page =
            Page::read(request.page_size, &request.page_token, &self.limits).map_err(invalid)?;
        let (after, entries) = (page.after.as_ref(), page.read_ahead());
        let rows = self.bundles.list(&who, (prefix, &filter), after, entries);
        let rows = rows.await.map_err(refuse)?;
        let bundles = rows.into_iter().map(bundle).collect();
        let (bundles, next_page_token) = page.cut(bundles, |b: &BundleSummary| b.name.clone());
        Ok(Response::new(ListBundlesResponse {
            bundles,
            next_page_token,
        }))
    }

    async fn list_versions(
        &self,
        request: Request<ListVersionsRequest>,
    ) -> Result<Response<ListVersionsResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let bundle = field("bundle", &request.bundle).map_err(invalid)?;
        let filter = filter(request.filter.as_ref()).map_err(invalid)?;
        let page: Page<VersionPlace> =
            Page::read(request.page_size, &request.page_token, &self.limits).map_err(invalid)?;
        let (after, entries) = (page.after.as_ref(), page.read_ahead());
        let found = self
            .bundles
            .versions(&who, (&bundle, &filter), after, entries);
        let found = found.await.map_err(refuse)?;
        let versions = found.iter().map(version).collect();
        let place =
            |version: &VersionSummary| format!("{}.{}", version.published_at_ms, version.version);
        let (versions, next_page_token) = page.cut(versions, place);
        Ok(Response::new(ListVersionsResponse {
            versions,
            next_page_token,
        }))
    }

    async fn get_release(
        &self,
        request: Request<GetReleaseRequest>,
    ) -> Result<Response<GetReleaseResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let bundle = field("bundle", &request.bundle).map_err(invalid)?;
        let version = field("version", &request.version).map_err(invalid)?;
        let found = self.bundles.get(&who, &bundle, &version).await;
        let found = found.map_err(refuse)?;
        let (release, at) = (&found.row.release, found.row.published_at);
        Ok(Response::new(GetReleaseResponse {
            release: Some(release_to_wire(release, at.as_millis())),
            manifest: release.manifest.canonical().into_bytes(),
            yanked: yanked(&found),
            etag: found.etag().to_string(),
        }))
    }

    async fn download_file(
        &self,
        request: Request<DownloadFileRequest>,
    ) -> Result<Response<Self::DownloadFileStream>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let bundle = field("bundle", &request.bundle).map_err(invalid)?;
        let version = field("version", &request.version).map_err(invalid)?;
        let file = field("file", &request.file).map_err(invalid)?;
        let found = self
            .bundles
            .file(&who, (&bundle, &version), &file, request.offset)
            .await;
        let (key, size_bytes) = found.map_err(refuse)?;
        let bundles = self.bundles.clone();
        let chunks = stream::try_unfold(request.offset, move |offset| {
            let (bundles, key) = (bundles.clone(), key.clone());
            async move {
                if offset >= size_bytes {
                    return Ok(None);
                }
                let data = bundles.read(&key, offset, CHUNK_BYTES).await;
                let data = data.map_err(refuse)?;
                if data.is_empty() {
                    tracing::error!(object.key = %key, offset, size_bytes, "an object is cut off");
                    return Err(Status::data_loss("the stored file is cut off"));
                }
                let next = offset + data.len() as u64;
                let chunk = DownloadFileResponse {
                    offset,
                    size_bytes,
                    data,
                };
                Ok(Some((chunk, next)))
            }
        });
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn yank(&self, request: Request<YankRequest>) -> Result<Response<YankResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let bundle = field("bundle", &request.bundle).map_err(invalid)?;
        let version = field("version", &request.version).map_err(invalid)?;
        let etag: Option<Digest> = optional("etag", &request.etag).map_err(invalid)?;
        let yanked_version = self
            .bundles
            .yank(&who, (&bundle, &version), request.reason, etag.as_ref())
            .await;
        let found = yanked_version.map_err(refuse)?;
        Ok(Response::new(YankResponse {
            yanked: yanked(&found),
            etag: found.etag().to_string(),
        }))
    }

    async fn unyank(
        &self,
        request: Request<UnyankRequest>,
    ) -> Result<Response<UnyankResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let bundle = field("bundle", &request.bundle).map_err(invalid)?;
        let version = field("version", &request.version).map_err(invalid)?;
        let etag: Option<Digest> = optional("etag", &request.etag).map_err(invalid)?;
        let found = self
            .bundles
            .unyank(&who, (&bundle, &version), etag.as_ref())
            .await;
        Ok(Response::new(UnyankResponse {
            etag: found.map_err(refuse)?.etag().to_string(),
        }))
    }
}

fn filter(wire: Option<&WireFilter>) -> Result<ReleaseFilter, FieldError> {
    let Some(wire) = wire else {
        return Ok(ReleaseFilter::default());
    };
    let yanked = match YankedFilter::try_from(wire.yanked) {
        Ok(YankedFilter::Unspecified) => None,
        Ok(YankedFilter::Only) => Some(true),
        Ok(YankedFilter::Excluded) => Some(false),
        Err(_) => {
            return Err(FieldError {
                path: "filter.yanked".into(),
                code: "FIELD_INVALID",
                expected: "a value of YankedFilter".into(),
                found: wire.yanked.to_string(),
            });
        }
    };
    Ok(ReleaseFilter {
        platform: optional("filter.platform", &wire.platform)?,
        gateway_version: optional("filter.gateway_version", &wire.gateway_version)?,
        yanked,
    })
}

fn prefix(text: &str) -> Result<&str, FieldError> {
    if text.len() <= PREFIX_CHARS_MAX {
        return Ok(text);
    }
    Err(FieldError {
        path: "name_prefix".into(),
        code: "FIELD_INVALID",
        expected: format!("at most {PREFIX_CHARS_MAX} characters"),
        found: text.len().to_string(),
    })
}

fn bundle(row: BundleRow) -> BundleSummary {
    BundleSummary {
        name: row.bundle.to_string(),
        versions: row.versions,
        yanked_versions: row.yanked_versions,
        latest_version: row
            .latest
            .map(|latest| latest.to_string())
            .unwrap_or_default(),
        published_at_ms: row.published_at.as_millis(),
    }
}

fn version(found: &Version) -> VersionSummary {
    let release = &found.row.release;
    let artifacts = &release.artifacts;
    let platforms: BTreeSet<_> = artifacts
        .iter()
        .map(|artifact| artifact.target.platform.to_string())
        .collect();
    let gateway_versions: BTreeSet<_> = artifacts
        .iter()
        .map(|artifact| artifact.target.gateway_version)
        .map(|version| version.map_or_else(|| "any".to_owned(), |version| version.to_string()))
        .collect();
    VersionSummary {
        version: release.version().to_string(),
        digest: release.digest().to_string(),
        published_at_ms: found.row.published_at.as_millis(),
        files: u32::try_from(artifacts.len()).unwrap_or(u32::MAX),
        size_bytes: artifacts.iter().map(|artifact| artifact.size_bytes).sum(),
        platforms: platforms.into_iter().collect(),
        gateway_versions: gateway_versions.into_iter().collect(),
        yanked: yanked(found),
        etag: found.etag().to_string(),
    }
}

fn yanked(found: &Version) -> Option<YankState> {
    found.yank.as_ref().map(|yank| YankState {
        at_ms: yank.at.as_millis(),
        reason: yank.reason.clone(),
    })
}
