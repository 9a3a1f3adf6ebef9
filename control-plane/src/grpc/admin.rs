//! `AdminService`: decode, call, encode.

use std::sync::Arc;

use gantry_domain::{Limits, RightSet};
use gantry_proto::convert::{field, optional, right, right_to_wire};
use gantry_proto::v1::admin_service_server::AdminService;
use gantry_proto::v1::{
    CreateEnvironmentRequest, CreateEnvironmentResponse, CreateTenantRequest, CreateTenantResponse,
    CreateTokenRequest, CreateTokenResponse, Environment, ListEnvironmentsRequest,
    ListEnvironmentsResponse, ListTenantsRequest, ListTenantsResponse, ListTokensRequest,
    ListTokensResponse, RevokeTokenRequest, RevokeTokenResponse, Right, Tenant, Token,
    WhoAmIRequest, WhoAmIResponse,
};
use tonic::{Request, Response, Status};

use super::page::Page;
use super::status::invalid;
use super::{caller, refuse};
use crate::admin::Admin;
use crate::metadata::{EnvironmentRow, TenantRow, TokenRow};

/// The service.
pub(super) struct AdminApi {
    pub(super) admin: Admin,
    pub(super) limits: Arc<Limits>,
}

#[tonic::async_trait]
impl AdminService for AdminApi {
    async fn who_am_i(
        &self,
        request: Request<WhoAmIRequest>,
    ) -> Result<Response<WhoAmIResponse>, Status> {
        let who = caller(&request)?;
        let row = self.admin.own_token(&who).await.map_err(refuse)?;
        Ok(Response::new(WhoAmIResponse {
            tenant: who.tenant.to_string(),
            token: Some(token(row)),
        }))
    }

    async fn create_tenant(
        &self,
        request: Request<CreateTenantRequest>,
    ) -> Result<Response<CreateTenantResponse>, Status> {
        let who = caller(&request)?;
        let name = field("name", &request.get_ref().name).map_err(invalid)?;
        let created = self.admin.create_tenant(&who, name).await;
        let (row, secret) = created.map_err(refuse)?;
        Ok(Response::new(CreateTenantResponse {
            tenant: Some(tenant(&row)),
            admin_token: secret.reveal(),
        }))
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        let request = request.into_inner();
        let page =
            Page::read(request.page_size, &request.page_token, &self.limits).map_err(invalid)?;
        let rows = self
            .admin
            .tenants(page.after.as_ref(), page.read_ahead())
            .await;
        let tenants = rows.map_err(refuse)?.iter().map(tenant).collect();
        let (tenants, next_page_token) = page.cut(tenants, |tenant: &Tenant| tenant.name.clone());
        Ok(Response::new(ListTenantsResponse {
            tenants,
            next_page_token,
        }))
    }

    async fn create_environment(
        &self,
        request: Request<CreateEnvironmentRequest>,
    ) -> Result<Response<CreateEnvironmentResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let name = field("name", &request.name).map_err(invalid)?;
        let lookup = optional("lookup", &request.lookup).map_err(invalid)?;
        let created = self
            .admin
            .create_environment(&who, name, lookup.unwrap_or_default());
        let row = created.await.map_err(refuse)?;
        Ok(Response::new(CreateEnvironmentResponse {
            environment: Some(environment(&row)),
        }))
    }

    async fn list_environments(
        &self,
        request: Request<ListEnvironmentsRequest>,
    ) -> Result<Response<ListEnvironmentsResponse>, Status> {
        let who = caller(&request)?;
        let rows = self.admin.environments(&who).await.map_err(refuse)?;
        Ok(Response::new(ListEnvironmentsResponse {
            environments: rows.iter().map(environment).collect(),
        }))
    }

    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let rights = rights(&request.rights)?;
        let environment = optional("environment", &request.environment).map_err(invalid)?;
        let created = self
            .admin
            .create_token(&who, rights, environment, request.description);
        let (row, secret) = created.await.map_err(refuse)?;
        Ok(Response::new(CreateTokenResponse {
            token: Some(token(row)),
            secret: secret.reveal(),
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<ListTokensRequest>,
    ) -> Result<Response<ListTokensResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let page =
            Page::read(request.page_size, &request.page_token, &self.limits).map_err(invalid)?;
        let rows = self
            .admin
            .tokens(&who, page.after.as_ref(), page.read_ahead())
            .await;
        let tokens = rows.map_err(refuse)?.into_iter().map(token).collect();
        let (tokens, next_page_token) = page.cut(tokens, |token: &Token| token.id.clone());
        Ok(Response::new(ListTokensResponse {
            tokens,
            next_page_token,
        }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let who = caller(&request)?;
        let id = field("id", &request.get_ref().id).map_err(invalid)?;
        let row = self.admin.revoke_token(&who, &id).await.map_err(refuse)?;
        Ok(Response::new(RevokeTokenResponse {
            token: Some(token(row)),
        }))
    }
}

fn rights(numbers: &[i32]) -> Result<RightSet, Status> {
    let parsed = numbers.iter().map(|number| {
        let known = Right::try_from(*number).ok().and_then(right);
        known.ok_or_else(|| {
            invalid(gantry_domain::FieldError {
                path: "rights".into(),
                code: "FIELD_INVALID",
                expected: "publish, deploy, gateway or admin".into(),
                found: number.to_string(),
            })
        })
    });
    parsed.collect()
}

fn tenant(row: &TenantRow) -> Tenant {
    Tenant {
        name: row.tenant.to_string(),
        created_at_ms: row.created_at.as_millis(),
    }
}

fn environment(row: &EnvironmentRow) -> Environment {
    Environment {
        name: row.environment.to_string(),
        revision: row.head,
        lookup: row.lookup.as_str().to_owned(),
        created_at_ms: row.created_at.as_millis(),
    }
}

fn token(row: TokenRow) -> Token {
    Token {
        id: row.token.to_string(),
        rights: row
            .rights
            .iter()
            .map(|right| right_to_wire(right).into())
            .collect(),
        environment: row
            .environment
            .map(|name| name.to_string())
            .unwrap_or_default(),
        description: row.description,
        created_at_ms: row.created_at.as_millis(),
        revoked_at_ms: row
            .revoked_at
            .map_or(0, gantry_domain::Timestamp::as_millis),
    }
}
