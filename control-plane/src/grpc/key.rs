//! `KeyService`: decode, call, encode.

use std::sync::Arc;

use gantry_domain::Limits;
use gantry_proto::convert::field;
use gantry_proto::v1::key_service_server::KeyService;
use gantry_proto::v1::{
    CreateKeyRequest, CreateKeyResponse, GetKeyRequest, GetKeyResponse, Key, ListKeysRequest,
    ListKeysResponse, RevokeKeyRequest, RevokeKeyResponse,
};
use gantry_telemetry::Secret;
use tonic::{Request, Response, Status};

use super::page::Page;
use super::status::invalid;
use super::{caller, refuse};
use crate::keys::{Keys, NewKey};
use crate::metadata::KeyRow;

/// The service.
pub(super) struct KeyApi {
    pub(super) keys: Keys,
    pub(super) limits: Arc<Limits>,
}

#[tonic::async_trait]
impl KeyService for KeyApi {
    async fn create_key(
        &self,
        request: Request<CreateKeyRequest>,
    ) -> Result<Response<CreateKeyResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let environment = field("environment", &request.environment).map_err(invalid)?;
        let new = NewKey {
            session: request.session,
            description: request.description,
            secret: (!request.secret.is_empty()).then(|| Secret::new(request.secret)),
        };
        let created = self.keys.create(&who, &environment, new).await;
        let (row, secret) = created.map_err(refuse)?;
        Ok(Response::new(CreateKeyResponse {
            key: Some(key(row)),
            secret: secret.into_exposed(),
        }))
    }

    async fn get_key(
        &self,
        request: Request<GetKeyRequest>,
    ) -> Result<Response<GetKeyResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let environment = field("environment", &request.environment).map_err(invalid)?;
        let id = field("id", &request.id).map_err(invalid)?;
        let row = self
            .keys
            .get(&who, &environment, &id)
            .await
            .map_err(refuse)?;
        Ok(Response::new(GetKeyResponse {
            key: Some(key(row)),
        }))
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let environment = field("environment", &request.environment).map_err(invalid)?;
        let page =
            Page::read(request.page_size, &request.page_token, &self.limits).map_err(invalid)?;
        let rows = self
            .keys
            .list(&who, &environment, page.after.as_ref(), page.read_ahead());
        let keys = rows.await.map_err(refuse)?.into_iter().map(key).collect();
        let (keys, next_page_token) = page.cut(keys, |key: &Key| key.id.clone());
        Ok(Response::new(ListKeysResponse {
            keys,
            next_page_token,
        }))
    }

    async fn revoke_key(
        &self,
        request: Request<RevokeKeyRequest>,
    ) -> Result<Response<RevokeKeyResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let environment = field("environment", &request.environment).map_err(invalid)?;
        let id = field("id", &request.id).map_err(invalid)?;
        self.keys
            .revoke(&who, &environment, &id)
            .await
            .map_err(refuse)?;
        Ok(Response::new(RevokeKeyResponse {}))
    }
}

fn key(row: KeyRow) -> Key {
    Key {
        id: row.key.to_string(),
        session: row.session.into_bytes(),
        description: row.description,
        created_at_ms: row.created_at.as_millis(),
    }
}
