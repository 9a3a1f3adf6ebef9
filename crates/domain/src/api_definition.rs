//! API definitions: what is exposed where, how consumers authenticate, which functions run.
//!
//! Legality is decided here, for the control plane, the gateways and the command line alike:
//! `auth` functions run only with `use_keyless: false` and `use_go_plugin_auth: true`; `post_auth`
//! functions only with `use_keyless: false` and a method of authentication. Absent switches are
//! filled in; absent and false are different; a contradiction is refused with the field named.

mod address;

use serde_json::{Map, Value, json};

use crate::json::{Fields, Findings, canonical, depth, parse_object};
use crate::{
    ApiId, BundleName, Digest, EndpointEntry, FieldError, FieldWarning, FileName, Hook, Limits,
    Middleware, OpenApi, endpoint,
};

/// The header that carries the token where a definition names none.
pub const AUTH_HEADER_DEFAULT: &str = "Authorization";

/// Where an API answers: host and path prefix, in the form in which they are compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// The host, lower case, without port; any host when absent.
    pub domain: Option<String>,
    /// The path prefix without a slash at its end; empty for the root.
    pub prefix: String,
}

impl Route {
    /// A route from the fields of a definition.
    pub fn new(domain: Option<&str>, listen_path: &str) -> Self {
        Self {
            domain: domain.map(str::to_ascii_lowercase),
            prefix: listen_path.trim_end_matches('/').to_owned(),
        }
    }

    /// The route of a definition that may be otherwise unreadable (written for a newer gateway): its
    /// requests must be refused there, and not fall through to another API with a shorter path.
    pub fn of_document(bytes: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(bytes).ok()?;
        let listen_path = document.get("proxy")?.get("listen_path")?.as_str()?;
        Some(Self::new(
            document.get("domain").and_then(Value::as_str),
            listen_path,
        ))
    }
}

/// Where the functions of an API come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plugins {
    /// There are none.
    None,
    /// The definition lists them; files are looked up among all pinned bundles.
    Inline(Middleware),
    /// A bundle's manifest lists them.
    Bundle(BundleName),
}

/// The switches of authentication as they were written: absent is not false.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switches {
    /// No authentication at all.
    pub use_keyless: Option<bool>,
    /// An auth function decides.
    pub use_go_plugin_auth: Option<bool>,
    /// Consumer keys are asked for, after the auth function where there is one.
    pub use_standard_auth: Option<bool>,
    /// The header that carries the consumer key.
    pub auth_header_name: Option<String>,
}

/// How requests are authenticated, once the switches are complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// Not at all.
    Keyless,
    /// By an auth function, by a consumer key, or by both: function first, both must agree.
    Required {
        /// Whether auth functions decide.
        plugin: bool,
        /// The header of the consumer key, where one is asked for.
        token_header: Option<String>,
    },
}

/// An API definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiDefinition {
    /// Its identifier.
    pub api_id: ApiId,
    /// Its name, for people.
    pub name: String,
    /// The host it answers to; any when absent.
    pub domain: Option<String>,
    /// The path prefix it answers to.
    pub listen_path: String,
    /// The upstream.
    pub target_url: String,
    /// Whether the listen path is taken off before the request goes upstream.
    pub strip_listen_path: bool,
    /// The switches of authentication.
    pub switches: Switches,
    /// Where functions come from.
    pub plugins: Plugins,
    /// Functions of single endpoints, whichever way the others are listed.
    pub endpoints: Vec<EndpointEntry>,
    /// Free-form configuration for the functions.
    pub config_data: Map<String, Value>,
    /// The `OpenAPI` document that functions can read.
    pub openapi: Option<OpenApi>,
    /// An inactive definition is kept and not served.
    pub active: bool,
}

impl ApiDefinition {
    /// Reads a definition. Rules that depend on what a bundle hooks are not checked yet: see
    /// [`ApiDefinition::complete`].
    ///
    /// # Errors
    /// Every mistake, with its path; unknown fields are mistakes, since ignoring one could open an API.
    pub fn parse(
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<(Self, Vec<FieldWarning>), Vec<FieldError>> {
        let bytes_max = limits.definition_bytes_max + limits.openapi_bytes_max;
        // The document may be one level deeper here than where it is alone; how deep it is it checks.
        let mut map = parse_object(bytes, bytes_max, usize::MAX).map_err(|e| vec![e])?;
        let mut findings = Findings::default();
        let openapi = OpenApi::take(&mut map, limits, &mut findings);
        let rest = Value::Object(map.clone());
        check_bounds(&rest, bytes.len(), limits, &mut findings);
        if !findings.errors.is_empty() {
            return Err(findings.errors);
        }
        let definition = read(map, limits, &mut findings);
        match definition.map(|definition| Self {
            openapi,
            ..definition
        }) {
            Some(definition) if findings.errors.is_empty() => Ok((definition, findings.warnings)),
            _ => Err(findings.errors),
        }
    }

    /// Where it answers.
    pub fn route(&self) -> Route {
        Route::new(self.domain.as_deref(), &self.listen_path)
    }

    /// Fills in absent switches and checks legality. `bundle_hooks` is what the pinned version of the
    /// definition's bundle hooks; without it (no pin yet) only what is certain is decided.
    ///
    /// # Errors
    /// Each contradiction, with the field that must change.
    pub fn complete(mut self, bundle_hooks: Option<&Middleware>) -> Result<Self, Vec<FieldError>> {
        let none = Middleware::default();
        let hooks = match (&self.plugins, bundle_hooks) {
            (Plugins::Inline(middleware), _) | (Plugins::Bundle(_), Some(middleware)) => middleware,
            (Plugins::Bundle(_), None) => return Ok(self),
            (Plugins::None, _) => &none,
        };
        let (auth, post_auth) = (hooks.runs_at(Hook::Auth), hooks.runs_at(Hook::PostAuth));
        let errors = contradictions(&self.switches, auth, post_auth);
        if !errors.is_empty() {
            return Err(errors);
        }
        let switches = &mut self.switches;
        let keyless = *switches.use_keyless.get_or_insert(false);
        let plugin = *switches.use_go_plugin_auth.get_or_insert(auth && !keyless);
        let token = *switches
            .use_standard_auth
            .get_or_insert(!keyless && !plugin);
        if token {
            switches
                .auth_header_name
                .get_or_insert_with(|| AUTH_HEADER_DEFAULT.to_owned());
        }
        Ok(self)
    }

    /// The names of the files of the functions that run and that the definition itself lists, at hooks
    /// and at endpoints; not those that a bundle's manifest lists.
    pub fn files(&self) -> impl Iterator<Item = &FileName> {
        let inline = match &self.plugins {
            Plugins::Inline(middleware) => Some(middleware),
            Plugins::None | Plugins::Bundle(_) => None,
        };
        let hooks = inline.into_iter().flat_map(Middleware::enabled);
        let endpoints = self.endpoints.iter().map(|endpoint| &endpoint.entry);
        let endpoints = endpoints.filter(|entry| !entry.disabled);
        hooks
            .map(|(_, _, entry)| entry)
            .chain(endpoints)
            .map(|entry| &entry.path)
    }

    /// How requests are authenticated. Fails closed: switches that are still absent mean that a
    /// consumer key is asked for.
    pub fn authentication(&self) -> Authentication {
        if self.switches.use_keyless == Some(true) {
            return Authentication::Keyless;
        }
        let plugin = self.switches.use_go_plugin_auth == Some(true);
        let token = self.switches.use_standard_auth.unwrap_or(false) || !plugin;
        let header = self
            .switches
            .auth_header_name
            .clone()
            .unwrap_or_else(|| AUTH_HEADER_DEFAULT.to_owned());
        Authentication::Required {
            plugin,
            token_header: token.then_some(header),
        }
    }

    /// The definition as a document.
    pub fn to_json(&self) -> Value {
        let mut document = json!({
            "api_id": self.api_id.as_str(), "name": self.name, "active": self.active,
            "proxy": {
                "listen_path": self.listen_path, "target_url": self.target_url,
                "strip_listen_path": self.strip_listen_path,
            },
        });
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                document[name] = value;
            }
        };
        let switches = &self.switches;
        set("domain", self.domain.as_ref().map(|domain| json!(domain)));
        set("use_keyless", switches.use_keyless.map(Value::Bool));
        set(
            "use_go_plugin_auth",
            switches.use_go_plugin_auth.map(Value::Bool),
        );
        set(
            "use_standard_auth",
            switches.use_standard_auth.map(Value::Bool),
        );
        set(
            "auth",
            switches
                .auth_header_name
                .as_ref()
                .map(|name| json!({"auth_header_name": name})),
        );
        match &self.plugins {
            Plugins::None => {}
            Plugins::Inline(middleware) => set("custom_middleware", Some(middleware.to_json())),
            Plugins::Bundle(bundle) => {
                set("custom_middleware_bundle", Some(json!(bundle.as_str())));
            }
        }
        let endpoints = (!self.endpoints.is_empty()).then(|| endpoint::to_json(&self.endpoints));
        set("extended_paths", endpoints);
        set(
            "openapi",
            self.openapi
                .as_ref()
                .map(|openapi| json!(openapi.digest.to_string())),
        );
        set(
            "config_data",
            (!self.config_data.is_empty()).then(|| Value::Object(self.config_data.clone())),
        );
        document
    }

    /// The canonical text.
    pub fn canonical(&self) -> String {
        canonical(&self.to_json())
    }

    /// The digest of the canonical text.
    pub fn digest(&self) -> Digest {
        Digest::of(self.canonical())
    }

    /// `config_data` as canonical text, as functions get it.
    pub fn config_text(&self) -> String {
        canonical(&Value::Object(self.config_data.clone()))
    }
}

fn contradictions(switches: &Switches, auth: bool, post_auth: bool) -> Vec<FieldError> {
    let mut findings = Findings::default();
    let mut refuse = |field: &str, expected: &str, found: &str| {
        findings.error(field, "HOOK_CONTRADICTION", expected, found);
    };
    let keyless = switches.use_keyless == Some(true);
    if auth && keyless {
        refuse(
            "use_keyless",
            "false, because a function runs at auth_check",
            "true",
        );
    }
    if auth && switches.use_go_plugin_auth == Some(false) {
        refuse(
            "use_go_plugin_auth",
            "true, because a function runs at auth_check",
            "false",
        );
    }
    if post_auth && keyless {
        refuse(
            "use_keyless",
            "false, because a function runs at post_key_auth",
            "true",
        );
    }
    if !auth && switches.use_go_plugin_auth == Some(true) {
        refuse(
            "use_go_plugin_auth",
            "false, because no function runs at auth_check",
            "true",
        );
    }
    if keyless && switches.use_standard_auth == Some(true) {
        refuse(
            "use_standard_auth",
            "false, because use_keyless is true",
            "true",
        );
    }
    if switches.use_keyless == Some(false) && !auth && switches.use_standard_auth == Some(false) {
        let expected = "true, or a function at auth_check: use_keyless is false and nothing else authenticates";
        refuse("use_standard_auth", expected, "false");
    }
    findings
        .errors
        .dedup_by(|a, b| a.path == b.path && a.expected == b.expected);
    findings.errors
}

/// The bounds of a definition without its `OpenAPI` document.
fn check_bounds(rest: &Value, bytes: usize, limits: &Limits, findings: &mut Findings) {
    let levels = depth(rest);
    if levels > limits.json_depth_max {
        let expected = format!("at most {} levels", limits.json_depth_max);
        findings.error("", "JSON_TOO_DEEP", expected, format!("{levels} levels"));
    }
    // A definition that is small with its document is small without it.
    let bytes = if bytes > limits.definition_bytes_max {
        canonical(rest).len()
    } else {
        bytes
    };
    if bytes > limits.definition_bytes_max {
        let expected = format!("at most {} bytes", limits.definition_bytes_max);
        findings.error("", "DOCUMENT_TOO_LARGE", expected, format!("{bytes} bytes"));
    }
}

/// Fields that a definition as Tyk keeps it has, and none of ours: the most telling ones.
const FIELDS_OF_TYK: [&str; 12] = [
    "auth_configs",
    "definition",
    "enable_ip_whitelisting",
    "enable_jwt",
    "global_rate_limit",
    "org_id",
    "response_processors",
    "slug",
    "use_basic_auth",
    "use_oauth2",
    "version_data",
    "x-tyk-api-gateway",
];

/// Says once of a definition as Tyk keeps it how it becomes one of ours.
fn point_to_import(findings: &mut Findings) {
    let of_tyk = |error: &&mut FieldError| {
        error.code == "FIELD_UNKNOWN" && FIELDS_OF_TYK.contains(&error.path.as_str())
    };
    if let Some(error) = findings.errors.iter_mut().find(of_tyk) {
        error.expected +=
            ": a definition of Tyk's becomes one of Gantry's with `gantry import tyk FILE`";
    }
}

fn read(
    map: Map<String, Value>,
    limits: &Limits,
    findings: &mut Findings,
) -> Option<ApiDefinition> {
    let mut fields = Fields::new("", map, findings);
    let api_id = fields.required("api_id", "the API's identifier");
    let name: Option<String> = fields.required("name", "the API's name");
    if let Some(name) = &name
        && (name.is_empty() || name.len() > 256)
    {
        fields.error(
            "name",
            "FIELD_INVALID",
            "1 to 256 bytes",
            format!("{} bytes", name.len()),
        );
    }
    let active = fields.boolean("active").unwrap_or(true);
    let domain = address::read_domain(&mut fields);
    let switches = read_switches(&mut fields);
    let inline = fields.object("custom_middleware");
    let bundle: Option<BundleName> = fields.parsed("custom_middleware_bundle");
    if inline.is_some() && bundle.is_some() {
        let expected = "either custom_middleware or custom_middleware_bundle";
        fields.error(
            "custom_middleware_bundle",
            "FIELD_CONFLICT",
            expected,
            "both",
        );
    }
    let endpoints = fields.object("extended_paths");
    let config_data = fields.object("config_data").unwrap_or_default();
    let config_bytes = canonical(&Value::Object(config_data.clone())).len();
    if config_bytes > limits.config_data_bytes_max {
        let expected = format!("at most {} bytes", limits.config_data_bytes_max);
        fields.error(
            "config_data",
            "DOCUMENT_TOO_LARGE",
            expected,
            format!("{config_bytes} bytes"),
        );
    }
    let proxy = fields.object("proxy");
    if proxy.is_none() && !fields.has("proxy") {
        fields.error(
            "proxy",
            "FIELD_MISSING",
            "listen_path and target_url",
            "nothing",
        );
    }
    fields.finish();
    point_to_import(findings);
    let (listen_path, target_url, strip_listen_path) = address::read_proxy(proxy?, findings)?;
    let plugins = match (inline, bundle) {
        (Some(map), _) => {
            Plugins::Inline(Middleware::read("custom_middleware", map, limits, findings))
        }
        (None, Some(bundle)) => Plugins::Bundle(bundle),
        (None, None) => Plugins::None,
    };
    let endpoints = endpoints.map(|map| endpoint::read(map, limits, findings));
    let (api_id, name) = (api_id?, name?);
    Some(ApiDefinition {
        api_id,
        name,
        domain,
        listen_path,
        target_url,
        strip_listen_path,
        switches,
        plugins,
        endpoints: endpoints.unwrap_or_default(),
        config_data,
        openapi: None,
        active,
    })
}

fn read_switches(fields: &mut Fields<'_>) -> Switches {
    let use_keyless = fields.boolean("use_keyless");
    let current = fields.boolean("use_go_plugin_auth");
    let alias = fields.boolean("custom_plugin_auth_enabled");
    if let (Some(current), Some(alias)) = (current, alias)
        && current != alias
    {
        let expected = format!("{current}, as use_go_plugin_auth says (they are one switch)");
        fields.error(
            "custom_plugin_auth_enabled",
            "FIELD_CONFLICT",
            expected,
            alias.to_string(),
        );
    }
    let use_standard_auth = fields.boolean("use_standard_auth");
    let mut auth_header_name = None;
    if let Some(map) = fields.object("auth") {
        let mut auth = Fields::new("auth", map, fields.findings());
        auth_header_name = auth.text("auth_header_name");
        if let Some(name) = &auth_header_name
            && (name.is_empty() || name.len() > 128 || !name.bytes().all(header_name_byte))
        {
            auth.error(
                "auth_header_name",
                "FIELD_INVALID",
                "a header name (RFC 9110)",
                format!("{name:?}"),
            );
        }
        auth.finish();
    }
    Switches {
        use_keyless,
        use_go_plugin_auth: current.or(alias),
        use_standard_auth,
        auth_header_name,
    }
}

/// RFC 9110 section 5.6.2, `tchar`.
fn header_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

#[cfg(test)]
mod tests;
