//! `gantry list`: the bundles of the tenant.

use clap::Args;
use gantry_client::Repeat;
use gantry_proto::v1;
use serde::Serialize;

use super::release::Filter;
use crate::context::{Context, list};
use crate::error::CliError;
use crate::view::{Shown, View, given, moment, moment_shown, or_dash};

/// Arguments of `gantry list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry list                                        every bundle
  gantry list auth- --gateway-version 5.3.0          whose names begin like that, for a version
  gantry list --yanked only -o json                  what has yanked versions

LATEST is the version that was published last and is not yanked.")]
pub(crate) struct List {
    /// What the names begin with.
    #[arg(default_value = "")]
    prefix: String,
    #[command(flatten)]
    filter: Filter,
    /// Entries to show, at most.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

#[derive(Debug, Serialize)]
struct BundleView {
    name: String,
    versions: u64,
    yanked_versions: u64,
    latest_version: Option<String>,
    published_at: Option<String>,
}

impl From<v1::BundleSummary> for BundleView {
    fn from(bundle: v1::BundleSummary) -> Self {
        Self {
            name: bundle.name,
            versions: bundle.versions,
            yanked_versions: bundle.yanked_versions,
            latest_version: given(bundle.latest_version),
            published_at: moment(bundle.published_at_ms),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct BundlesView(Vec<BundleView>);

impl View for BundlesView {
    fn shown(&self) -> Shown {
        let row = |bundle: &BundleView| {
            vec![
                bundle.name.clone(),
                or_dash(bundle.latest_version.as_ref()),
                bundle.versions.to_string(),
                bundle.yanked_versions.to_string(),
                moment_shown(bundle.published_at.as_ref()),
            ]
        };
        Shown::Table {
            head: vec!["BUNDLE", "LATEST", "VERSIONS", "YANKED", "PUBLISHED"],
            rows: self.0.iter().map(row).collect(),
        }
    }
}

pub(super) async fn run(arguments: List, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let listing = list(arguments.limit, |page_size, page_token| {
        let request = v1::ListBundlesRequest {
            page_size,
            page_token,
            name_prefix: arguments.prefix.clone(),
            filter: Some(arguments.filter.to_wire()),
        };
        let client = client.clone();
        async move {
            let answer = client
                .call(Repeat::Safe, request, |client, request| async move {
                    client.catalog().list_bundles(request).await
                })
                .await?;
            Ok((answer.bundles, answer.next_page_token))
        }
    });
    let bundles = listing.await?.tell(context.printer());
    let bundles = bundles.into_iter().map(BundleView::from).collect();
    context.printer().data(&BundlesView(bundles))
}
