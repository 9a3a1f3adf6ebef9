//! What is known of each field of the `OpenAPI` form of Tyk's API definition.

use super::Class::{Authenticates, Harmless, Lost, Protects};
use super::{AUTH, INERT, LIMITS, OBSERVED, RECORDS, REWRITES, Rules, UPSTREAM};

/// The part of an `OpenAPI` document under `x-tyk-api-gateway`. `*` is an operation.
pub(in crate::import) const OPENAPI: Rules = Rules(&[
    (
        &[
            "info.dbId",
            "info.orgId",
            "info.versioning.name",
            "server.gatewayTags",
        ],
        Harmless,
        RECORDS,
    ),
    (
        &[
            "server.detailedTracing",
            "server.detailedActivityLogs",
            "server.eventHandlers",
            "middleware.global.trafficLogs",
            "upstream.uptimeTests",
            "middleware.operations.*.trackEndpoint",
            "middleware.operations.*.doNotTrackEndpoint",
        ],
        Harmless,
        OBSERVED,
    ),
    (
        &[
            "server.authentication.securityProcessingMode",
            "server.authentication.baseIdentityProvider",
            "server.authentication.customKeyLifetime",
            "server.authentication.custom.header",
            "server.authentication.custom.cookie",
            "server.authentication.custom.query",
            "server.authentication.custom.config.idExtractor",
            "server.authentication.custom.config.rawBodyOnly",
            "server.authentication.custom.config.requireSession",
            "middleware.global.contextVariables",
            "middleware.global.skipRateLimit",
            "middleware.global.skipQuota",
            "middleware.global.skipQuotaReset",
            "middleware.global.pluginConfig.driver",
            "middleware.global.pluginConfig.data.enabled",
            "server.customDomain.enabled",
        ],
        Harmless,
        INERT,
    ),
    (
        &[
            "middleware.global.cors",
            "middleware.global.cache",
            "middleware.global.transformRequestHeaders",
            "middleware.global.ignoreCase",
            "server.batchProcessing",
            "middleware.operations.*.transformRequestMethod",
            "middleware.operations.*.transformRequestBody",
            "middleware.operations.*.transformRequestHeaders",
            "middleware.operations.*.urlRewrite",
            "middleware.operations.*.cache",
            "middleware.operations.*.mockResponse",
            "middleware.operations.*.virtualEndpoint",
            "middleware.operations.*.asyncAPI",
        ],
        Lost,
        REWRITES,
    ),
    (
        &["middleware.operations.*.ignoreAuthentication"],
        Lost,
        "every path is authenticated",
    ),
    (
        &[
            "upstream.loadBalancing",
            "upstream.serviceDiscovery",
            "upstream.authentication",
            "upstream.mutualTLS",
            "upstream.proxy",
            "upstream.preserveHostHeader",
            "server.customDomain.certificates",
            "server.protocol",
            "server.port",
        ],
        Lost,
        UPSTREAM,
    ),
    (
        &[
            "server.authentication.hmac",
            "server.authentication.oidc",
            "server.clientCertificates",
        ],
        Authenticates,
        AUTH,
    ),
    (
        &["server.ipAccessControl"],
        Protects,
        "addresses are not filtered here",
    ),
    (
        &[
            "upstream.rateLimit",
            "middleware.global.requestSizeLimit",
            "middleware.operations.*.requestSizeLimit",
            "middleware.operations.*.rateLimit",
            "middleware.operations.*.circuitBreaker",
            "middleware.operations.*.enforceTimeout",
        ],
        Protects,
        LIMITS,
    ),
    (
        &[
            "middleware.operations.*.allow",
            "middleware.operations.*.block",
            "middleware.operations.*.validateRequest",
            "middleware.operations.*.internal",
        ],
        Protects,
        "requests are not filtered by path or content here",
    ),
    (
        &[
            "middleware.global.transformResponseHeaders",
            "middleware.operations.*.transformResponseBody",
            "middleware.operations.*.transformResponseHeaders",
            "server.authentication.stripAuthorizationData",
        ],
        Protects,
        "nothing takes this out of requests or responses here, so it would get through",
    ),
    (&["info.expiration"], Protects, "APIs do not expire here"),
    (
        &["info.versioning"],
        Protects,
        "versions are APIs of their own here",
    ),
    (
        &["info.state.internal"],
        Protects,
        "an API that only other APIs reach would be open to clients",
    ),
    (
        &["upstream.certificatePinning", "upstream.tlsTransport"],
        Protects,
        "the upstream's certificate would be judged otherwise",
    ),
]);
