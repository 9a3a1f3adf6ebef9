//! Watching a deployment arrive: which gateways serve it, which do not yet, and which will not.
//!
//! A gateway serves a deployment when all its workers run the revision, every file of the version that
//! it loads is served by all of them, and no API that uses the bundle is in trouble. One that was
//! connected at any time counts to the end: a gateway that dies of a plugin must not look like success.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use clap::Args;
use gantry_client::{Client, Kind, Repeat, download};
use gantry_domain::api_definition::Plugins;
use gantry_domain::resolution::matches;
use gantry_domain::{ApiDefinition, BundleName, BundleVersion, FileName, Limits};
use gantry_proto::v1;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::context::{Context, list, refused};
use crate::error::CliError;
use crate::view::{coded, given};

/// Time between two looks at the gateways.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Deaths of workers after which one that is down counts as one that does not stay up.
const DEATHS_MIN: u64 = 2;
/// Looks in a row that must show a failure before it counts: a fetch may be about to be tried again.
const FAILED_LOOKS: u32 = 3;
/// Gateways that are looked at.
const GATEWAYS_MAX: usize = 100_000;

/// Whether to wait for gateways.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Waiting {
    /// Wait until every connected gateway serves the version with all its workers.
    #[arg(long)]
    pub(super) wait: bool,
    /// How long to wait.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "wait")]
    pub(super) wait_timeout: u64,
}

/// What is waited for.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) environment: &'a str,
    pub(super) bundle: &'a BundleName,
    pub(super) version: &'a BundleVersion,
    pub(super) revision: u64,
}

/// How far a gateway is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// All its workers serve the version.
    Serving,
    /// They do not yet.
    Behind,
    /// It says that it cannot.
    Failed,
    /// It was connected and is no more.
    Disconnected,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Serving => "serving",
            Self::Behind => "behind",
            Self::Failed => "failed",
            Self::Disconnected => "disconnected",
        })
    }
}

/// Why a gateway does not serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Reason {
    /// The file or API.
    subject: String,
    code: Option<String>,
    message: String,
}

/// One gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Standing {
    pub(super) gateway: String,
    version: String,
    platform: String,
    pub(super) state: State,
    revision: u64,
    workers_live: u32,
    workers: u32,
    /// Files of the version that its APIs use.
    pub(super) files: usize,
    reasons: Vec<Reason>,
}

impl Standing {
    /// Of what a gateway says, where only some of the APIs in trouble are of concern.
    fn of(status: &v1::GatewayStatus, target: &Target<'_>, concerned: &BTreeSet<String>) -> Self {
        let profile = status.profile.clone().unwrap_or_default();
        let report = status.report.clone().unwrap_or_default();
        let arrived = report.applied_revision >= target.revision;
        // What ails an earlier revision says nothing of this one.
        let reasons = if arrived {
            reasons(&report, target, concerned)
        } else {
            Vec::new()
        };
        let everywhere = report.workers_live == report.workers
            && files(&report, target).all(|file| file.workers_serving == file.workers);
        let state = match () {
            () if !status.connected => State::Disconnected,
            () if !arrived => State::Behind,
            () if !reasons.is_empty() => State::Failed,
            () if !everywhere => State::Behind,
            () => State::Serving,
        };
        Self {
            gateway: profile.gateway_id,
            version: profile.version,
            platform: profile.platform,
            state,
            revision: report.applied_revision,
            workers_live: report.workers_live,
            workers: report.workers,
            files: files(&report, target).count(),
            reasons,
        }
    }

    /// The same of a gateway of which so many workers died meanwhile: one that does not stay up does not come to
    /// serve either.
    fn after_deaths(mut self, deaths: u64, revision: u64) -> Self {
        let arrived = self.revision >= revision && self.workers_live < self.workers;
        if self.state == State::Behind && arrived && deaths >= DEATHS_MIN {
            let missing = self.workers - self.workers_live;
            self.state = State::Failed;
            self.reasons.push(Reason {
                subject: format!("{missing} of {} workers does not stay up", self.workers),
                code: Some("WORKER_DIED".to_owned()),
                message: format!(
                    "{deaths} deaths since the wait began; the gateway's log and status name the worker and what \
                     it said last"
                ),
            });
        }
        self
    }

    /// A row of a table under [`HEAD`].
    pub(super) fn row(&self) -> Vec<String> {
        vec![
            self.gateway.clone(),
            self.version.clone(),
            self.platform.clone(),
            self.state.to_string(),
            self.revision.to_string(),
            format!("{}/{}", self.workers_live, self.workers),
        ]
    }

    /// What somebody should look at.
    pub(super) fn complaints(&self) -> Vec<String> {
        let Self { gateway, state, .. } = self;
        if *state == State::Serving {
            return Vec::new();
        }
        if self.reasons.is_empty() {
            let (live, all, at) = (self.workers_live, self.workers, self.revision);
            let text = format!("{gateway} is {state}: revision {at}, {live} of {all} workers live");
            return vec![text];
        }
        let said = |reason: &Reason| {
            let why = coded(&reason.message, reason.code.as_deref().unwrap_or_default());
            format!("{gateway} {state}: {}: {why}", reason.subject)
        };
        self.reasons.iter().map(said).collect()
    }
}

/// The head of a table of standings.
pub(super) const HEAD: [&str; 6] = [
    "GATEWAY", "VERSION", "PLATFORM", "STATE", "REVISION", "WORKERS",
];

fn files<'r>(
    report: &'r v1::GatewayReport,
    target: &Target<'_>,
) -> impl Iterator<Item = &'r v1::ArtifactStatus> {
    report.artifacts.iter().filter(|file| {
        file.bundle == target.bundle.as_str() && file.version == target.version.to_string()
    })
}

fn reasons(
    report: &v1::GatewayReport,
    target: &Target<'_>,
    concerned: &BTreeSet<String>,
) -> Vec<Reason> {
    let of_files = files(report, target)
        .filter(|file| !file.code.is_empty())
        .map(|file| Reason {
            subject: format!(
                "{} (served by {} of {} workers)",
                file.file, file.workers_serving, file.workers
            ),
            code: given(file.code.clone()),
            message: file.message.clone(),
        });
    let in_trouble = report
        .apis
        .iter()
        .filter(|api| concerned.contains(&api.api_id));
    let of_apis = in_trouble.map(|api| Reason {
        subject: format!("API {} is {}", api.api_id, api.state),
        code: given(api.code.clone()),
        message: api.message.clone(),
    });
    of_files.chain(of_apis).collect()
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Rollout {
    pub(super) standings: Vec<Standing>,
    /// Why it counts as no success.
    pub(super) failure: Option<CliError>,
}

/// Watches until all gateways serve the version, or it is clear that they will not, or time is up.
pub(super) async fn watch(
    context: &Context,
    client: &Client,
    target: &Target<'_>,
    limit: Duration,
) -> Result<Rollout, CliError> {
    let release = download::release(client, target.bundle, target.version)
        .await
        .map_err(refused)?;
    let names = release
        .release
        .into_iter()
        .flat_map(|release| release.files);
    let names = names.filter_map(|file| file.name.parse().ok()).collect();
    let mut watcher = Watcher {
        client,
        target,
        concern: Concern {
            names,
            known: BTreeMap::new(),
        },
        counted: BTreeSet::new(),
        failed_looks: BTreeMap::new(),
        deaths: BTreeMap::new(),
    };
    let deadline = Instant::now() + limit;
    let spinner = context.printer().spinner();
    let mut said = String::new();
    loop {
        let standings = watcher.look().await?;
        let summary = summary(&standings, target);
        spinner.set_message(summary.clone());
        if spinner.is_hidden() && summary != said {
            context.printer().note(&summary);
            said = summary;
        }
        let settled = watcher.settled(&standings);
        if settled || Instant::now() >= deadline {
            spinner.finish_and_clear();
            let failure = failure(&standings, limit);
            return Ok(Rollout { standings, failure });
        }
        sleep(LOOK_EVERY).await;
    }
}

fn summary(standings: &[Standing], target: &Target<'_>) -> String {
    let count = |state| standings.iter().filter(|s| s.state == state).count();
    let (serving, failed, all) = (count(State::Serving), count(State::Failed), standings.len());
    let (bundle, version) = (target.bundle, target.version);
    let failed = if failed > 0 {
        format!(", {failed} failed")
    } else {
        String::new()
    };
    format!("{serving} of {all} gateways serve {bundle}@{version}{failed}")
}

fn failure(standings: &[Standing], limit: Duration) -> Option<CliError> {
    let count = |state| standings.iter().filter(|s| s.state == state).count();
    let (serving, failed, total) = (count(State::Serving), count(State::Failed), standings.len());
    if serving == total {
        return None;
    }
    Some(if failed > 0 {
        CliError::NotServing { failed, total }
    } else {
        CliError::NotYetServing {
            behind: total - serving,
            total,
            limit_s: limit.as_secs(),
        }
    })
}

/// What is known from look to look.
struct Watcher<'a> {
    client: &'a Client,
    target: &'a Target<'a>,
    concern: Concern,
    /// Gateways that were connected at any look.
    counted: BTreeSet<String>,
    failed_looks: BTreeMap<String, u32>,
    /// Deaths of workers at the first look.
    deaths: BTreeMap<String, u64>,
}

impl Watcher<'_> {
    async fn look(&mut self) -> Result<Vec<Standing>, CliError> {
        let mut standings = Vec::new();
        for status in self.gateways().await? {
            let id = status.profile.as_ref().map(|p| p.gateway_id.clone());
            let id = id.unwrap_or_default();
            if status.connected {
                self.counted.insert(id.clone());
            }
            if !self.counted.contains(&id) {
                continue;
            }
            let mut concerned = BTreeSet::new();
            for api in status.report.iter().flat_map(|report| &report.apis) {
                let environment = self.target.environment;
                let bundle = self.target.bundle;
                if self
                    .concern
                    .about(self.client, environment, bundle, &api.api_id)
                    .await?
                {
                    concerned.insert(api.api_id.clone());
                }
            }
            let deaths = status.report.as_ref().map_or(0, |r| r.worker_deaths_total);
            let before = *self.deaths.entry(id.clone()).or_insert(deaths);
            let standing = Standing::of(&status, self.target, &concerned)
                .after_deaths(deaths.saturating_sub(before), self.target.revision);
            let looks = self.failed_looks.entry(id).or_default();
            *looks = if standing.state == State::Failed {
                *looks + 1
            } else {
                0
            };
            standings.push(standing);
        }
        Ok(standings)
    }

    /// Whether nothing will change any more by itself.
    fn settled(&self, standings: &[Standing]) -> bool {
        standings.iter().all(|standing| match standing.state {
            State::Serving => true,
            State::Behind | State::Disconnected => false,
            State::Failed => {
                let looks = self.failed_looks.get(&standing.gateway);
                looks.is_some_and(|looks| *looks >= FAILED_LOOKS)
            }
        })
    }

    async fn gateways(&self) -> Result<Vec<v1::GatewayStatus>, CliError> {
        let listing = list(GATEWAYS_MAX, |page_size, page_token| {
            let request = v1::ListGatewaysRequest {
                environment: self.target.environment.to_owned(),
                page_size,
                page_token,
            };
            async move {
                let answer = self
                    .client
                    .call(Repeat::Safe, request, |client, request| async move {
                        client.deploy().list_gateways(request).await
                    })
                    .await?;
                Ok((answer.gateways, answer.next_page_token))
            }
        });
        Ok(listing.await?.entries)
    }
}

/// Which APIs use the bundle.
struct Concern {
    /// The files of the version.
    names: Vec<FileName>,
    known: BTreeMap<String, bool>,
}

impl Concern {
    async fn about(
        &mut self,
        client: &Client,
        environment: &str,
        bundle: &BundleName,
        api_id: &str,
    ) -> Result<bool, CliError> {
        if let Some(known) = self.known.get(api_id) {
            return Ok(*known);
        }
        let request = v1::GetApiRequest {
            environment: environment.to_owned(),
            api_id: api_id.to_owned(),
        };
        let answer = client
            .call(Repeat::Safe, request, |client, request| async move {
                client.apis().get_api(request).await
            })
            .await;
        let concerned = match answer {
            Ok(answer) => self.uses(&answer.definition, bundle),
            // It was deleted in the meantime, and is in nobody's way.
            Err(error) if error.kind == Kind::NotFound => false,
            Err(error) => return Err(refused(error)),
        };
        self.known.insert(api_id.to_owned(), concerned);
        Ok(concerned)
    }

    fn uses(&self, definition: &[u8], bundle: &BundleName) -> bool {
        match ApiDefinition::parse(definition, &Limits::default()) {
            Ok((definition, _)) => match &definition.plugins {
                Plugins::Bundle(name) => name == bundle,
                Plugins::None | Plugins::Inline(_) => definition
                    .files()
                    .any(|path| self.names.iter().any(|n| matches(path, n).is_some())),
            },
            // One that a newer control plane understands may well use it.
            Err(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(revision: u64, serving: u32, live: u32) -> v1::GatewayStatus {
        let file = |bundle: &str, code: &str| v1::ArtifactStatus {
            bundle: bundle.into(),
            version: "1.2.0".into(),
            file: format!("{bundle}.so"),
            workers_serving: serving,
            workers: 2,
            code: code.into(),
            ..Default::default()
        };
        v1::GatewayStatus {
            connected: true,
            report: Some(v1::GatewayReport {
                applied_revision: revision,
                artifacts: vec![file("hooks", ""), file("other", "LOAD_FAILED")],
                workers_live: live,
                workers: 2,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn standing(status: &v1::GatewayStatus, concerned: &[&str]) -> Standing {
        let (bundle, version) = ("hooks".parse().unwrap(), "1.2.0".parse().unwrap());
        let target = Target {
            environment: "prod",
            bundle: &bundle,
            version: &version,
            revision: 7,
        };
        let concerned = concerned.iter().map(|api| (*api).to_owned()).collect();
        Standing::of(status, &target, &concerned)
    }

    #[test]
    fn gateway_serves_when_all_workers_do_and_other_bundles_do_not_matter() {
        for (status, expected) in [
            (status(7, 2, 2), State::Serving),
            (status(9, 2, 2), State::Serving),
            (status(6, 2, 2), State::Behind),
            (status(7, 1, 2), State::Behind),
            (status(7, 2, 1), State::Behind),
        ] {
            assert_eq!(standing(&status, &[]).state, expected, "{status:?}");
        }
        let mut gone = status(7, 2, 2);
        gone.connected = false;
        assert_eq!(standing(&gone, &[]).state, State::Disconnected);
    }

    #[test]
    fn gateway_fails_whose_worker_dies_again_and_again() {
        let after =
            |status: &v1::GatewayStatus, deaths| standing(status, &[]).after_deaths(deaths, 7);
        let (down, up, early) = (status(7, 1, 1), status(7, 2, 2), status(6, 1, 1));
        assert_eq!(after(&down, 1).state, State::Behind, "it may come back");
        assert_eq!(after(&up, 9).state, State::Serving);
        assert_eq!(after(&early, 9).state, State::Behind);
        let failed = after(&down, 2);
        assert_eq!(failed.state, State::Failed);
        let complaint = &failed.complaints()[0];
        assert!(complaint.contains("1 of 2 workers"), "{complaint}");
        assert!(complaint.contains("WORKER_DIED"), "{complaint}");
    }

    #[test]
    fn gateway_fails_by_a_file_of_the_version_or_an_api_of_concern() {
        let mut broken = status(7, 1, 2);
        broken.report.as_mut().unwrap().artifacts[0].code = "PLUGIN_START_FAILED".into();
        let standing_of_file = standing(&broken, &[]);
        assert_eq!(standing_of_file.state, State::Failed);
        let complaint = &standing_of_file.complaints()[0];
        assert!(
            complaint.contains("served by 1 of 2 workers"),
            "{complaint}"
        );
        assert!(complaint.contains("PLUGIN_START_FAILED"), "{complaint}");

        let mut held = status(7, 2, 2);
        held.report.as_mut().unwrap().apis.push(v1::ApiStatus {
            api_id: "orders".into(),
            state: "held".into(),
            ..Default::default()
        });
        assert_eq!(standing(&held, &["orders"]).state, State::Failed);
        held.report.as_mut().unwrap().applied_revision = 6;
        let early = standing(&held, &["orders"]);
        assert_eq!((early.state, early.reasons), (State::Behind, vec![]));
        held.report.as_mut().unwrap().applied_revision = 7;
        assert_eq!(standing(&held, &["payments"]).state, State::Serving);
    }
}
