//! The gRPC surface: decode, call, encode. Every id is parsed here; nothing below takes a `&str` id.

mod admin;
mod api;
mod auth;
mod catalog;
mod deploy;
mod key;
mod observe;
mod page;
mod publish;
mod revocable;
mod status;
mod sync;

use std::sync::Arc;

use gantry_domain::Limits;
use gantry_proto::MESSAGE_BYTES_MAX;
use gantry_proto::descriptors::DESCRIPTOR_SET;
use gantry_proto::v1::admin_service_server::AdminServiceServer;
use gantry_proto::v1::api_service_server::ApiServiceServer;
use gantry_proto::v1::catalog_service_server::CatalogServiceServer;
use gantry_proto::v1::deploy_service_server::DeployServiceServer;
use gantry_proto::v1::key_service_server::KeyServiceServer;
use gantry_proto::v1::publish_service_server::PublishServiceServer;
use gantry_proto::v1::sync_service_server::SyncServiceServer;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::{Request, Status};

use crate::admin::Admin;
use crate::bundles::Bundles;
use crate::deploy::Deployments;
use crate::keys::Keys;
use crate::principal::Principal;
use crate::publish::Publisher;
use crate::refusal::Refuse;
use crate::sync::Gateways;

pub(crate) use auth::AuthError;
pub use auth::Authority;
pub(crate) use observe::Observer;

/// What the services call.
pub(crate) struct Services {
    pub(crate) admin: Admin,
    pub(crate) publisher: Publisher,
    pub(crate) bundles: Bundles,
    pub(crate) deployments: Deployments,
    pub(crate) keys: Keys,
    pub(crate) gateways: Gateways,
    pub(crate) limits: Arc<Limits>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

/// Every service, with reflection and health. They trust that [`Authority`] stands before them.
pub(crate) async fn routes(services: Services) -> Routes {
    const DECODES: &str = "the descriptor sets were encoded by the builds that made them";
    macro_rules! bounded {
        ($server:ident, $service:expr) => {
            $server::new($service)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX)
        };
    }
    let (health_reporter, health) = tonic_health::server::health_reporter();
    health_reporter
        .set_serving::<SyncServiceServer<sync::SyncApi>>()
        .await;
    let limits = services.limits;
    let mut routes = Routes::builder();
    routes
        .add_service(health)
        .add_service(bounded!(
            AdminServiceServer,
            admin::AdminApi {
                admin: services.admin,
                limits: limits.clone(),
            }
        ))
        .add_service(bounded!(
            PublishServiceServer,
            publish::PublishApi {
                publisher: services.publisher,
                tasks: services.tasks.clone(),
                shutdown: services.shutdown,
            }
        ))
        .add_service(bounded!(
            CatalogServiceServer,
            catalog::CatalogApi {
                bundles: services.bundles,
                limits: limits.clone(),
            }
        ))
        .add_service(bounded!(
            DeployServiceServer,
            deploy::DeployApi {
                deployments: services.deployments.clone(),
                gateways: services.gateways.clone(),
                limits: limits.clone(),
            }
        ))
        .add_service(bounded!(
            ApiServiceServer,
            api::ApiApi {
                deployments: services.deployments,
                limits: limits.clone(),
            }
        ))
        .add_service(bounded!(
            KeyServiceServer,
            key::KeyApi {
                keys: services.keys,
                limits,
            }
        ))
        .add_service(bounded!(
            SyncServiceServer,
            sync::SyncApi {
                gateways: services.gateways,
                tasks: services.tasks,
            }
        ));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    routes
        .add_service(reflection().build_v1().expect(DECODES))
        .add_service(reflection().build_v1alpha().expect(DECODES));
    routes.routes()
}

/// Who is calling. Without a principal the request did not come through the authority: that is our
/// mistake, and nobody is let in by it.
fn caller<T>(request: &Request<T>) -> Result<Principal, Status> {
    let principal = request.extensions().get::<Principal>().cloned();
    principal.ok_or_else(|| {
        tracing::error!("a call reached its handler without a principal");
        Status::internal("the control plane failed; its log says why")
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that `map_err` takes: the error ends here"
)]
fn refuse(error: impl Refuse) -> Status {
    status::status(&error)
}
