//! `gantry versions`: the versions of a bundle, newest first.

use clap::Args;
use gantry_client::Repeat;
use gantry_domain::BundleName;
use gantry_proto::v1;
use serde::Serialize;

use super::release::{Filter, YankView};
use crate::context::{Context, list};
use crate::error::CliError;
use crate::view::{Shown, View, moment, moment_shown, size};

/// Arguments of `gantry versions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry versions hooks
  gantry versions hooks --yanked exclude --platform linux/arm64")]
pub(crate) struct Versions {
    /// The bundle.
    bundle: BundleName,
    #[command(flatten)]
    filter: Filter,
    /// Entries to show, at most.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

#[derive(Debug, Serialize)]
struct VersionView {
    version: String,
    digest: String,
    published_at: Option<String>,
    files: u32,
    size_bytes: u64,
    platforms: Vec<String>,
    gateway_versions: Vec<String>,
    yanked: Option<YankView>,
    etag: String,
}

impl From<v1::VersionSummary> for VersionView {
    fn from(version: v1::VersionSummary) -> Self {
        Self {
            version: version.version,
            digest: version.digest,
            published_at: moment(version.published_at_ms),
            files: version.files,
            size_bytes: version.size_bytes,
            platforms: version.platforms,
            gateway_versions: version.gateway_versions,
            yanked: version.yanked.map(YankView::from),
            etag: version.etag,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct VersionsView(Vec<VersionView>);

impl View for VersionsView {
    fn shown(&self) -> Shown {
        let row = |version: &VersionView| {
            vec![
                version.version.clone(),
                moment_shown(version.published_at.as_ref()),
                version.files.to_string(),
                size(version.size_bytes),
                version.platforms.join(","),
                version.gateway_versions.join(","),
                match &version.yanked {
                    None => "-".to_owned(),
                    Some(yank) => yank.reason.clone().unwrap_or_else(|| "yes".to_owned()),
                },
            ]
        };
        Shown::Table {
            head: vec![
                "VERSION",
                "PUBLISHED",
                "FILES",
                "SIZE",
                "PLATFORMS",
                "GATEWAYS",
                "YANKED",
            ],
            rows: self.0.iter().map(row).collect(),
        }
    }
}

pub(super) async fn run(arguments: Versions, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let listing = list(arguments.limit, |page_size, page_token| {
        let request = v1::ListVersionsRequest {
            bundle: arguments.bundle.to_string(),
            page_size,
            page_token,
            filter: Some(arguments.filter.to_wire()),
        };
        let client = client.clone();
        async move {
            let answer = client
                .call(Repeat::Safe, request, |client, request| async move {
                    client.catalog().list_versions(request).await
                })
                .await?;
            Ok((answer.versions, answer.next_page_token))
        }
    });
    let versions = listing.await?.tell(context.printer());
    let versions = versions.into_iter().map(VersionView::from).collect();
    context.printer().data(&VersionsView(versions))
}
