//! `DeployService`: decode, call, encode.

use std::sync::Arc;

use gantry_domain::{EnvironmentName, Limits};
use gantry_proto::convert::{field, optional, pins_to_wire, profile_from_wire};
use gantry_proto::v1::deploy_service_server::DeployService;
use gantry_proto::v1::{
    Candidate, DeployRequest, DeployResponse, ExplainRequest, ExplainResponse,
    ExplainedFunction as WireFunction, GatewayProfile, GatewayReport, GatewayStatus,
    ListGatewaysRequest, ListGatewaysResponse, ListPinsRequest, ListPinsResponse,
};
use prost::Message;
use tonic::{Request, Response, Status};

use super::page::Page;
use super::status::{invalid, warnings};
use super::{caller, refuse};
use crate::deploy::{
    DeployError, Deployments, ExplainFor, ExplainedCandidate, ExplainedFunction, Explanation,
};
use crate::metadata::{GatewayRow, MetadataError};
use crate::principal::Principal;
use crate::sync::Gateways;

/// The service.
pub(super) struct DeployApi {
    pub(super) deployments: Deployments,
    pub(super) gateways: Gateways,
    pub(super) limits: Arc<Limits>,
}

#[tonic::async_trait]
impl DeployService for DeployApi {
    async fn deploy(
        &self,
        request: Request<DeployRequest>,
    ) -> Result<Response<DeployResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let environment = field("environment", &request.environment).map_err(invalid)?;
        let bundle = field("bundle", &request.bundle).map_err(invalid)?;
        let version = field("version", &request.version).map_err(invalid)?;
        let deployed =
            self.deployments
                .deploy(&who, &environment, (&bundle, &version), request.force);
        let deployed = deployed.await.map_err(refuse)?;
        Ok(Response::new(DeployResponse {
            revision: deployed.revision.number,
            pins: pins_to_wire(&deployed.revision.pins),
            warnings: warnings(deployed.warnings),
        }))
    }

    async fn list_pins(
        &self,
        request: Request<ListPinsRequest>,
    ) -> Result<Response<ListPinsResponse>, Status> {
        let who = caller(&request)?;
        let environment = field("environment", &request.get_ref().environment).map_err(invalid)?;
        let head = self
            .deployments
            .head(&who, &environment)
            .await
            .map_err(refuse)?;
        Ok(Response::new(ListPinsResponse {
            revision: head.number,
            pins: pins_to_wire(&head.pins),
        }))
    }

    async fn list_gateways(
        &self,
        request: Request<ListGatewaysRequest>,
    ) -> Result<Response<ListGatewaysResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let environment = field("environment", &request.environment).map_err(invalid)?;
        let page =
            Page::read(request.page_size, &request.page_token, &self.limits).map_err(invalid)?;
        let head = self
            .deployments
            .head(&who, &environment)
            .await
            .map_err(refuse)?;
        let rows = self
            .gateways
            .list(&who, &environment, page.after.as_ref(), page.read_ahead());
        let listed: Result<_, _> = rows.await.map_err(refuse)?.iter().map(gateway).collect();
        let (gateways, next_page_token) = page.cut(listed.map_err(refuse)?, id);
        Ok(Response::new(ListGatewaysResponse {
            gateways,
            head_revision: head.number,
            next_page_token,
        }))
    }

    async fn explain(
        &self,
        request: Request<ExplainRequest>,
    ) -> Result<Response<ExplainResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let environment = field("environment", &request.environment).map_err(invalid)?;
        let api = field("api_id", &request.api_id).map_err(invalid)?;
        let whom = self.whom(&who, &environment, &request).await?;
        let explained = self
            .deployments
            .explain(&who, &environment, &api, whom)
            .await;
        Ok(Response::new(explanation(&explained.map_err(refuse)?)))
    }
}

impl DeployApi {
    async fn whom(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        request: &ExplainRequest,
    ) -> Result<ExplainFor, Status> {
        if let Some(gateway) = optional("gateway_id", &request.gateway_id).map_err(invalid)? {
            let encoded = self
                .deployments
                .gateway_profile(who, environment, &gateway)
                .await;
            let profile: GatewayProfile =
                decode("profile", &encoded.map_err(refuse)?).map_err(refuse)?;
            let (_, profile) = profile_from_wire(&profile).map_err(invalid)?;
            return Ok(ExplainFor::Profile(profile));
        }
        if request.gateway_version.is_empty() && request.platform.is_empty() {
            return Err(refuse(DeployError::NoProfile));
        }
        Ok(ExplainFor::Imagined {
            version: field("gateway_version", &request.gateway_version).map_err(invalid)?,
            platform: field("platform", &request.platform).map_err(invalid)?,
        })
    }
}

fn gateway(row: &GatewayRow) -> Result<GatewayStatus, MetadataError> {
    let report = Some(&row.report).filter(|report| !report.is_empty());
    let report = report.map(|report| decode::<GatewayReport>("report", report));
    Ok(GatewayStatus {
        profile: Some(decode("profile", &row.profile)?),
        report: report.transpose()?,
        connected: row.connected,
        last_seen_at_ms: row.last_seen_at.as_millis(),
    })
}

fn id(status: &GatewayStatus) -> String {
    status
        .profile
        .as_ref()
        .map(|profile| profile.gateway_id.clone())
        .unwrap_or_default()
}

fn decode<M: Message + Default>(column: &'static str, bytes: &[u8]) -> Result<M, MetadataError> {
    M::decode(bytes).map_err(|e| MetadataError::Corrupt {
        table: "gateways",
        column,
        cause: e.to_string(),
    })
}

fn explanation(explained: &Explanation) -> ExplainResponse {
    let (code, message) = why_not(explained.why_not.as_ref());
    ExplainResponse {
        gateway_version: explained.version.to_string(),
        platform: explained.platform.to_string(),
        lookup: explained.lookup.as_str().to_owned(),
        revision: explained.revision,
        functions: explained.functions.iter().map(function).collect(),
        code,
        message,
    }
}

fn function(explained: &ExplainedFunction) -> WireFunction {
    let (code, message) = why_not(explained.why_not.as_ref());
    let release = explained.release.as_ref();
    let endpoint = explained.endpoint.as_ref();
    WireFunction {
        hook: explained.hook.to_string(),
        method: endpoint
            .map(|(method, _)| method.clone())
            .unwrap_or_default(),
        endpoint: endpoint
            .map(|(_, path)| path.to_string())
            .unwrap_or_default(),
        position: u32::try_from(explained.position).unwrap_or(u32::MAX),
        function: explained.function.to_string(),
        path: explained.path.to_string(),
        disabled: explained.disabled,
        bundle: release
            .map(|(bundle, _)| bundle.to_string())
            .unwrap_or_default(),
        version: release
            .map(|(_, version)| version.to_string())
            .unwrap_or_default(),
        candidates: explained.candidates.iter().map(candidate).collect(),
        code,
        message,
    }
}

fn candidate(explained: &ExplainedCandidate) -> Candidate {
    Candidate {
        file: explained.file.to_string(),
        sha256: explained.digest.to_string(),
        matched: explained.matched.to_owned(),
        verdict: explained.verdict.to_owned(),
        reason: explained.reason.clone(),
    }
}

fn why_not(why_not: Option<&crate::deploy::WhyNot>) -> (String, String) {
    why_not
        .map(|why_not| (why_not.code.to_owned(), why_not.message.clone()))
        .unwrap_or_default()
}
