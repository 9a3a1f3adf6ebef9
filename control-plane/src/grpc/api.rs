//! `ApiService`: decode, call, encode.

use std::sync::Arc;

use gantry_domain::{FieldError, Limits};
use gantry_proto::convert::field;
use gantry_proto::v1::api_service_server::ApiService;
use gantry_proto::v1::{
    Api, DeleteApiRequest, DeleteApiResponse, GetApiRequest, GetApiResponse, ListApisRequest,
    ListApisResponse, PutApiRequest, PutApiResponse, PutOpenApiRequest, PutOpenApiResponse,
};
use tonic::{Request, Response, Status, Streaming};

use super::page::Page;
use super::status::{invalid, warnings};
use super::{caller, refuse};
use crate::deploy::{ApiSummary, Deployments};

/// The service.
pub(super) struct ApiApi {
    pub(super) deployments: Deployments,
    pub(super) limits: Arc<Limits>,
}

#[tonic::async_trait]
impl ApiService for ApiApi {
    async fn put_api(
        &self,
        request: Request<PutApiRequest>,
    ) -> Result<Response<PutApiResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let environment = field("environment", &request.environment).map_err(invalid)?;
        let etag = Some(request.etag.as_str()).filter(|etag| !etag.is_empty());
        let put = self.deployments.put_api(
            &who,
            &environment,
            &request.definition,
            etag,
            request.validate_only,
        );
        let put = put.await.map_err(refuse)?;
        let document = put.definition.canonical();
        Ok(Response::new(PutApiResponse {
            digest: gantry_domain::Digest::of(&document).to_string(),
            definition: document.into_bytes(),
            revision: put.revision,
            warnings: warnings(put.warnings),
        }))
    }

    async fn put_open_api(
        &self,
        request: Request<Streaming<PutOpenApiRequest>>,
    ) -> Result<Response<PutOpenApiResponse>, Status> {
        let who = caller(&request)?;
        let bytes_max = self.limits.openapi_bytes_max;
        let mut parts = request.into_inner();
        let mut document = Vec::new();
        while let Some(part) = parts.message().await? {
            if document.len() + part.part.len() > bytes_max {
                return Err(invalid(FieldError {
                    path: "openapi".into(),
                    code: "DOCUMENT_TOO_LARGE",
                    expected: format!("at most {bytes_max} bytes"),
                    found: "more".into(),
                }));
            }
            document.extend_from_slice(&part.part);
        }
        let kept = self.deployments.put_openapi(&who, &document).await;
        let kept = kept.map_err(refuse)?;
        Ok(Response::new(PutOpenApiResponse {
            digest: kept.digest.to_string(),
            size_bytes: kept.document.map_or(0, |text| text.len() as u64),
        }))
    }

    async fn get_api(
        &self,
        request: Request<GetApiRequest>,
    ) -> Result<Response<GetApiResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let environment = field("environment", &request.environment).map_err(invalid)?;
        let api_id = field("api_id", &request.api_id).map_err(invalid)?;
        let found = self.deployments.get_api(&who, &environment, &api_id).await;
        let found = found.map_err(refuse)?;
        Ok(Response::new(GetApiResponse {
            definition: found.definition.canonical().into_bytes(),
            digest: found.digest.to_string(),
        }))
    }

    async fn list_apis(
        &self,
        request: Request<ListApisRequest>,
    ) -> Result<Response<ListApisResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let environment = field("environment", &request.environment).map_err(invalid)?;
        let page =
            Page::read(request.page_size, &request.page_token, &self.limits).map_err(invalid)?;
        let listed =
            self.deployments
                .list_apis(&who, &environment, page.after.as_ref(), page.read_ahead());
        let apis = listed.await.map_err(refuse)?.iter().map(api).collect();
        let (apis, next_page_token) = page.cut(apis, |api: &Api| api.api_id.clone());
        Ok(Response::new(ListApisResponse {
            apis,
            next_page_token,
        }))
    }

    async fn delete_api(
        &self,
        request: Request<DeleteApiRequest>,
    ) -> Result<Response<DeleteApiResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let environment = field("environment", &request.environment).map_err(invalid)?;
        let api_id = field("api_id", &request.api_id).map_err(invalid)?;
        let deleted = self
            .deployments
            .delete_api(&who, &environment, &api_id)
            .await;
        Ok(Response::new(DeleteApiResponse {
            revision: deleted.map_err(refuse)?,
        }))
    }
}

fn api(summary: &ApiSummary) -> Api {
    let definition = &summary.definition;
    Api {
        api_id: definition.api_id.to_string(),
        name: definition.name.clone(),
        digest: summary.digest.to_string(),
        domain: definition.domain.clone().unwrap_or_default(),
        listen_path: definition.listen_path.clone(),
        active: definition.active,
    }
}
