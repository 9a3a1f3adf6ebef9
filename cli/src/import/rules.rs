//! What each field of a Tyk definition means for an API that goes without it. A field that is not here is
//! looked into, and what is then still unknown may protect.

/// What goes missing with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Nothing.
    Harmless,
    /// Something that the API does; it is not more open without it.
    Lost,
    /// Something that keeps requests out or data in.
    Protects,
    /// A method of authentication.
    Authenticates,
}

use Class::{Authenticates, Harmless, Lost, Protects};

/// The fields of one format.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules(&'static [(&'static [&'static str], Class, &'static str)]);

impl Rules {
    /// What is known of a field.
    pub(super) fn of(self, place: &str) -> Option<(Class, &'static str)> {
        self.0
            .iter()
            .find(|(places, ..)| places.contains(&place))
            .map(|(_, class, why)| (*class, *why))
    }
}

const RECORDS: &str = "Tyk's own record keeping";
const INERT: &str = "a setting of something that is off, or has an entry of its own here";
const OBSERVED: &str = "traces, metrics and logs are the gateway's settings";
const LIMITS: &str = "rates, quotas and sizes are not limited per API";
const UPSTREAM: &str = "the gateway has one upstream per API and speaks to it in its own way";
const REWRITES: &str = "requests and responses are changed by functions alone";
const AUTH: &str = "expected a consumer key or an auth function: requests would be authenticated otherwise, or not at all";

/// Tyk's classic API definition. `*` is the one version.
pub(super) const CLASSIC: Rules = Rules(&[
    (
        &[
            "id",
            "_id",
            "slug",
            "org_id",
            "tags",
            "tags_disabled",
            "created_at",
            "updated_at",
            "db_app_conf_options",
            "is_oas",
            "vem",
            "version_name",
            "api_model",
            "hook_references",
            "user_group_owners",
            "user_owners",
            "categories",
            "sort_by",
        ],
        Harmless,
        RECORDS,
    ),
    (
        &[
            "enable_detailed_recording",
            "detailed_tracing",
            "do_not_track",
            "expire_analytics_after",
            "tag_headers",
            "event_handlers",
            "uptime_tests",
            "uptime_tests_disabled",
            "analytics_plugin",
            "notifications",
            "proxy.check_host_against_uptime_tests",
            "custom_middleware.traffic_logs",
            "versions.*.extended_paths.track_endpoints",
            "versions.*.extended_paths.do_not_track_endpoints",
        ],
        Harmless,
        OBSERVED,
    ),
    (
        &[
            "allowed_ips",
            "blacklisted_ips",
            "client_certificates",
            "auth_configs",
            "openid_options",
            "basic_auth",
            "scopes",
            "oauth_meta",
            "hmac_allowed_clock_skew",
            "hmac_allowed_algorithms",
            "jwt_signing_method",
            "jwt_source",
            "jwt_jwks_uris",
            "jwt_identity_base_field",
            "jwt_client_base_field",
            "jwt_policy_field_name",
            "jwt_default_policies",
            "jwt_issued_at_validation_skew",
            "jwt_expires_at_validation_skew",
            "jwt_not_before_validation_skew",
            "jwt_skip_kid",
            "jwt_scope_claim_name",
            "jwt_scope_to_policy_mapping",
            "idp_client_id_mapping_disabled",
            "allowed_auth_types",
            "certificate_pinning_disabled",
            "upstream_certificates_disabled",
            "config_data_disabled",
            "custom_middleware_bundle_disabled",
            "domain_disabled",
            "definition",
            "auth_provider",
            "session_provider",
            "base_identity_provided_by",
            "disable_rate_limit",
            "disable_quota",
            "dont_set_quotas_on_create",
            "enable_context_vars",
            "proxy.transport.ssl_insecure_skip_verify",
            "custom_middleware.id_extractor",
            "custom_middleware.driver",
            "auth.signature",
            "auth.param_name",
            "auth.cookie_name",
            "auth.disable_header",
            "version_data.default_version",
            "version_data.not_versioned",
            "versions.*.name",
            "versions.*.use_extended_paths",
            "versions.*.global_headers_disabled",
            "versions.*.global_response_headers_disabled",
            "versions.*.global_size_limit_disabled",
        ],
        Harmless,
        INERT,
    ),
    (
        &[
            "session_lifetime",
            "session_lifetime_respects_key_expiration",
            "auth.use_param",
            "auth.use_cookie",
            "auth.name",
        ],
        Lost,
        "consumer keys come in one header and live as long as they say",
    ),
    (
        &[
            "CORS",
            "cache_options",
            "response_processors",
            "enable_batch_request_support",
            "versions.*.global_headers",
            "versions.*.global_response_headers",
            "versions.*.ignore_endpoint_case",
            "versions.*.extended_paths.transform",
            "versions.*.extended_paths.transform_headers",
            "versions.*.extended_paths.transform_jq",
            "versions.*.extended_paths.url_rewrites",
            "versions.*.extended_paths.virtual",
            "versions.*.extended_paths.method_transforms",
            "versions.*.extended_paths.cache",
            "versions.*.extended_paths.advance_cache_config",
            "versions.*.extended_paths.mock_response",
            "versions.*.extended_paths.persist_graphql",
        ],
        Lost,
        REWRITES,
    ),
    (
        &[
            "versions.*.extended_paths.ignored",
            "versions.*.paths.ignored",
        ],
        Lost,
        "every path is authenticated",
    ),
    (
        &[
            "proxy.enable_load_balancing",
            "proxy.target_list",
            "proxy.structured_target_list",
            "proxy.service_discovery",
            "proxy.preserve_host_header",
            "proxy.disable_strip_slash",
            "certificates",
            "upstream_certificates",
            "request_signing",
            "upstream_auth",
            "listen_port",
            "protocol",
            "enable_proxy_protocol",
            "proxy.transport.proxy_url",
        ],
        Lost,
        UPSTREAM,
    ),
    (
        &[
            "enable_jwt",
            "use_basic_auth",
            "use_oauth2",
            "external_oauth",
            "use_openid",
            "enable_signature_checking",
            "use_mutual_tls_auth",
            "auth.use_certificate",
            "auth.validate_signature",
        ],
        Authenticates,
        AUTH,
    ),
    (
        &["enable_ip_whitelisting", "enable_ip_blacklisting"],
        Protects,
        "addresses are not filtered here",
    ),
    (
        &[
            "global_rate_limit",
            "versions.*.global_size_limit",
            "versions.*.extended_paths.size_limits",
            "versions.*.extended_paths.rate_limit",
            "versions.*.extended_paths.circuit_breakers",
            "versions.*.extended_paths.hard_timeouts",
        ],
        Protects,
        LIMITS,
    ),
    (
        &[
            "versions.*.paths.white_list",
            "versions.*.paths.black_list",
            "versions.*.extended_paths.white_list",
            "versions.*.extended_paths.black_list",
            "versions.*.extended_paths.validate_json",
            "versions.*.extended_paths.validate_request",
            "versions.*.extended_paths.internal",
        ],
        Protects,
        "requests are not filtered by path or content here",
    ),
    (
        &[
            "versions.*.global_headers_remove",
            "versions.*.global_response_headers_remove",
            "versions.*.extended_paths.transform_response",
            "versions.*.extended_paths.transform_response_headers",
            "versions.*.extended_paths.transform_jq_response",
            "strip_auth_data",
        ],
        Protects,
        "nothing takes this out of requests or responses here, so it would get through",
    ),
    (
        &["versions.*.expires", "expiration"],
        Protects,
        "APIs do not expire here",
    ),
    (
        &["versions.*.override_target"],
        Protects,
        "requests would go to another server",
    ),
    (
        &["internal"],
        Protects,
        "an API that only other APIs reach would be open to clients",
    ),
    (&["graphql"], Protects, "GraphQL is not looked into here"),
    (
        &["pinned_public_keys", "proxy.transport"],
        Protects,
        "the upstream's certificate would be judged otherwise",
    ),
]);

/// The part of an `OpenAPI` document under `x-tyk-api-gateway`. `*` is an operation.
pub(super) const OPENAPI: Rules = Rules(&[
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
