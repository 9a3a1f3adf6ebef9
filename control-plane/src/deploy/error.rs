//! Everything that someone who changes an environment can be told.

use gantry_domain::{
    ApiId, BundleName, BundleVersion, EnvironmentName, GatewayId, api_definition::Route,
};
use thiserror::Error;

use crate::metadata::MetadataError;
use crate::refusal::{Kind, Refuse, Violation, first_code, summary};

/// Why an environment was not changed or shown.
#[derive(Debug, Error)]
pub enum DeployError {
    /// Change the definition.
    #[error("the API definition is refused: {}", summary(.0))]
    Refused(Vec<Violation>),
    /// Change the API definitions that contradict the new version, or the version.
    #[error("{bundle}@{version} cannot be deployed: {}", summary(.illegal))]
    Illegal {
        /// The bundle.
        bundle: BundleName,
        /// The version.
        version: BundleVersion,
        /// What would contradict what.
        illegal: Vec<Violation>,
    },
    /// Publish a version that those gateways can run, or force it.
    #[error("{bundle}@{version} cannot run everywhere: {}", summary(.unfit))]
    Unfit {
        /// The bundle.
        bundle: BundleName,
        /// The version.
        version: BundleVersion,
        /// What would not run where.
        unfit: Vec<Violation>,
    },
    /// Name an environment of the tenant.
    #[error("environment {0} does not exist")]
    NoEnvironment(EnvironmentName),
    /// Name a published version.
    #[error("{bundle}@{version} is not published")]
    NoRelease {
        /// The bundle.
        bundle: BundleName,
        /// The version.
        version: BundleVersion,
    },
    /// Deploy another version, or take the yank back.
    #[error("{bundle}@{version} was yanked: {}", reason_text(.reason))]
    Yanked {
        /// The bundle.
        bundle: BundleName,
        /// The version.
        version: BundleVersion,
        /// In the words of whoever yanked it.
        reason: String,
    },
    /// Name an API of the environment.
    #[error("API {0} does not exist in this environment")]
    NoApi(ApiId),
    /// Name a gateway that has connected before.
    #[error("gateway {0} has never connected to this environment")]
    NoGateway(GatewayId),
    /// Say for which gateway.
    #[error("expected gateway_id, or gateway_version and platform, found neither")]
    NoProfile,
    /// Choose another host or path.
    #[error("{} is the route of API {other} already", route_text(.route))]
    RouteTaken {
        /// The route.
        route: Route,
        /// The API that has it.
        other: ApiId,
    },
    /// Read the definition again and repeat.
    #[error("expected the stored definition to be {expected}, found {found}")]
    Etag {
        /// What the caller knows.
        expected: String,
        /// What is stored.
        found: String,
    },
    /// Delete APIs first.
    #[error("the environment has {0} APIs; that is as many as it may have")]
    TooManyApis(usize),
    /// Use fewer documents, or wait until those that no API names any more are dropped.
    #[error("the tenant has {0} OpenAPI documents; that is as many as it may have")]
    TooManyOpenApi(usize),
    /// Use fewer bundles.
    #[error("the environment pins {0} bundles; that is as many as it may")]
    TooManyPins(usize),
    /// Repeat.
    #[error("environment {0} is being changed by many callers at once")]
    Contended(EnvironmentName),
    /// See the store.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

fn reason_text(reason: &str) -> &str {
    if reason.is_empty() {
        "no reason was given"
    } else {
        reason
    }
}

fn route_text(route: &Route) -> String {
    let path = if route.prefix.is_empty() {
        "/"
    } else {
        &route.prefix
    };
    match &route.domain {
        Some(domain) => format!("{domain}{path}"),
        None => format!("{path} on any host"),
    }
}

impl Refuse for DeployError {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused(_) | Self::NoProfile => Kind::Invalid,
            Self::Illegal { .. } | Self::Unfit { .. } | Self::Yanked { .. } => Kind::Precondition,
            Self::NoEnvironment(_)
            | Self::NoRelease { .. }
            | Self::NoApi(_)
            | Self::NoGateway(_) => Kind::NotFound,
            Self::RouteTaken { .. } => Kind::Exists,
            Self::Etag { .. } | Self::Contended(_) => Kind::Conflict,
            Self::TooManyApis(_) | Self::TooManyOpenApi(_) | Self::TooManyPins(_) => {
                Kind::Exhausted
            }
            Self::Metadata(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refused(violations) => first_code(violations),
            Self::Illegal { illegal, .. } => first_code(illegal),
            Self::Unfit { .. } => "GATEWAYS_CANNOT_RUN",
            Self::NoEnvironment(_) => "ENVIRONMENT_NOT_FOUND",
            Self::NoRelease { .. } => "RELEASE_NOT_FOUND",
            Self::Yanked { .. } => "VERSION_YANKED",
            Self::NoApi(_) => "API_NOT_FOUND",
            Self::NoGateway(_) => "GATEWAY_NOT_FOUND",
            Self::NoProfile => "FIELD_MISSING",
            Self::RouteTaken { .. } => "ROUTE_CONFLICT",
            Self::Etag { .. } => "ETAG_MISMATCH",
            Self::TooManyApis(_) => "APIS_TOO_MANY",
            Self::TooManyOpenApi(_) => "OPENAPI_TOO_MANY",
            Self::TooManyPins(_) => "PINS_TOO_MANY",
            Self::Contended(_) => "ENVIRONMENT_BUSY",
            Self::Metadata(error) => error.code(),
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::Refused(violations) => violations,
            Self::Illegal { illegal, .. } => illegal,
            Self::Unfit { unfit, .. } => unfit,
            _ => &[],
        }
    }

    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Unfit { .. } => Some(
                "publish a version with a build for each of them, or deploy it all the same with `--force`",
            ),
            Self::NoEnvironment(_) => Some("create the environment first"),
            Self::NoRelease { .. } => Some("push the bundle first"),
            Self::Yanked { .. } => Some("deploy another version, or unyank this one"),
            Self::Etag { .. } => Some("get the definition again, and put the change on top of it"),
            Self::Contended(_) => Some("repeat the call"),
            _ => None,
        }
    }
}
