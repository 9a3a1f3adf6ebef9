//! The rules of each section. Reading goes on after a mistake, so that all are found.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use gantry_abi::limits;
use gantry_domain::FieldError;
use gantry_domain::json::{Fields, Findings};
use gantry_telemetry::Format;
use serde_json::{Map, Value};

use super::access_log::read_access_log;
use super::document::{Document, name_origins};
use super::folder::{forbid_control_plane, read_folder};
use super::worker::read_worker;
use super::{
    Arguments, CaFile, ControlPlane, Gateway, Http, Probe, Settings, Source, Token, Upstream,
};

/// Worker processes, at most: each has its own listening socket and shared memory.
const WORKERS_MAX: u64 = 256;
/// A time-out, at most: a day. Longer ones are typing mistakes.
const TIMEOUT_MS_MAX: u64 = 86_400_000;
/// Bytes of a body that functions get, unless configured. Each connection can hold as much.
const BODY_BYTES: u64 = 1 << 20;
/// Bytes of a token file, at most.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;

/// Reads all sections.
pub(super) fn settings(
    document: Document,
    arguments: &Arguments,
) -> Result<Settings, Vec<FieldError>> {
    let origins = document.origins();
    let mut findings = Findings::default();
    let mut sections = Fields::new("", document.map, &mut findings);
    let mut section = |name: &str| sections.object(name).unwrap_or_default();
    let tables: [Map<String, Value>; 10] = [
        "source",
        "control_plane",
        "gateway",
        "http",
        "admin",
        "upstream",
        "worker",
        "probe",
        "log",
        "access_log",
    ]
    .map(&mut section);
    sections.finish();
    let [
        source,
        control_plane,
        gateway,
        http,
        admin,
        upstream,
        worker,
        probe,
        log,
        access_log,
    ] = tables;
    let source = match read_folder(source, &mut findings) {
        Some(folder) => {
            forbid_control_plane(&control_plane, arguments, &mut findings);
            Some(Source::Folder(folder))
        }
        None => {
            read_control_plane(control_plane, arguments, &mut findings).map(Source::ControlPlane)
        }
    };
    let gateway = read_gateway(gateway, &mut findings);
    let http = read_http(http, &mut findings);
    let admin_listen = read_admin(admin, &mut findings);
    let upstream = read_upstream(upstream, &mut findings);
    let worker = read_worker(worker, &mut findings);
    let probe = read_probe(probe, &mut findings);
    let log_format = read_log(log, &mut findings);
    let access_log = read_access_log(access_log, &mut findings);
    match source {
        Some(source) if findings.errors.is_empty() => Ok(Settings {
            source,
            gateway,
            http,
            admin_listen,
            upstream,
            worker,
            probe,
            log_format,
            access_log,
            address_file: arguments.address_file.as_ref().map(PathBuf::from),
        }),
        _ => {
            name_origins(&mut findings.errors, &origins);
            Err(findings.errors)
        }
    }
}

fn read_control_plane(
    map: Map<String, Value>,
    arguments: &Arguments,
    findings: &mut Findings,
) -> Option<ControlPlane> {
    let mut fields = Fields::new("control_plane", map, findings);
    let endpoint = fields.text("endpoint");
    if endpoint.is_none() {
        fields.error(
            "endpoint",
            "FIELD_MISSING",
            "the control plane's URL (--endpoint), or a folder instead of one (--folder)",
            "nothing",
        );
    }
    let token_file = fields.text("token_file").map(PathBuf::from);
    let ca_file = fields.text("ca_file").map(PathBuf::from);
    let allow_plaintext = fields.boolean("allow_plaintext").unwrap_or(false);
    let endpoint = endpoint.filter(|url| match endpoint_mistake(url, allow_plaintext) {
        None => true,
        Some((code, expected)) => {
            fields.error("endpoint", code, expected, format!("{url:?}"));
            false
        }
    });
    let token = read_token(&mut fields, arguments, token_file.as_deref());
    fields.finish();
    Some(ControlPlane {
        endpoint: endpoint?,
        token: token?,
        ca_file,
        allow_plaintext,
    })
}

/// What is wrong with an endpoint. A token that crosses a network in the clear belongs to whoever
/// listens, so that needs a switch that says so.
fn endpoint_mistake(text: &str, allow_plaintext: bool) -> Option<(&'static str, &'static str)> {
    const EXPECTED: &str = "http://host:port or https://host:port without user, path or query";
    let Ok(url) = url::Url::parse(text) else {
        return Some(("FIELD_INVALID", EXPECTED));
    };
    let bare = matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => return Some(("FIELD_INVALID", EXPECTED)),
    };
    match url.scheme() {
        "https" if bare => None,
        "http" if bare && (loopback || allow_plaintext) => None,
        "http" if bare => Some((
            "ENDPOINT_PLAINTEXT",
            "https, or control_plane.allow_plaintext = true to send the token in the clear",
        )),
        _ => Some(("FIELD_INVALID", EXPECTED)),
    }
}

fn read_token(
    fields: &mut Fields<'_>,
    arguments: &Arguments,
    file: Option<&Path>,
) -> Option<Token> {
    const MISSING: &str =
        "an access token with the right gateway: GANTRY_TOKEN, --token-file or --token";
    // Where variables come from templates, one that is not meant is there and empty.
    let given = arguments.token.as_ref().filter(|text| !text.is_empty());
    if given.is_some() && arguments.token_file.is_some() {
        let expected = "one of token and token file";
        fields.error("token", "FIELD_CONFLICT", expected, "both");
        return None;
    }
    let text = match (given, file) {
        (Some(token), _) => token.clone(),
        (None, Some(path)) => read_token_file(fields, path)?,
        (None, None) => {
            fields.error("token", "TOKEN_MISSING", MISSING, "nothing");
            return None;
        }
    };
    match text.parse() {
        Ok(token) => Some(token),
        Err(e @ super::token::TokenError) => {
            fields.error("token", "TOKEN_MALFORMED", e.to_string(), "something else");
            None
        }
    }
}

fn read_token_file(fields: &mut Fields<'_>, path: &Path) -> Option<String> {
    let read = || -> std::io::Result<String> {
        let size = std::fs::metadata(path)?.len();
        if size > TOKEN_FILE_BYTES_MAX {
            return Err(std::io::Error::other(format!("{size} bytes are no token")));
        }
        std::fs::read_to_string(path)
    };
    match read() {
        Ok(text) => Some(text),
        Err(e) => {
            let found = format!("{}: {e}", path.display());
            fields.error(
                "token_file",
                "TOKEN_UNREADABLE",
                "a file with the token",
                found,
            );
            None
        }
    }
}

fn read_gateway(map: Map<String, Value>, findings: &mut Findings) -> Gateway {
    let mut fields = Fields::new("gateway", map, findings);
    let gateway = Gateway {
        id: fields.parsed("id"),
        version: fields.parsed("version"),
        state_dir: fields
            .text("state_dir")
            .map_or_else(|| "gantry-gateway-state".into(), PathBuf::from),
        workers: u32::try_from(bounded(&mut fields, "workers", 2, 1, WORKERS_MAX)).unwrap_or(2),
    };
    fields.finish();
    gateway
}

fn read_http(map: Map<String, Value>, findings: &mut Findings) -> Http {
    let mut fields = Fields::new("http", map, findings);
    let http = Http {
        listen: fields.parsed("listen").unwrap_or(loopback(8080)),
        header_read_timeout_ms: timeout(&mut fields, "header_read_timeout_ms", 10_000),
        connections_max: count(&mut fields, "connections_max", 4096, 1_000_000),
        request_body_bytes_max: body(&mut fields, "request_body_bytes_max"),
    };
    fields.finish();
    http
}

fn read_admin(map: Map<String, Value>, findings: &mut Findings) -> Option<SocketAddr> {
    let mut fields = Fields::new("admin", map, findings);
    let text = fields.text("listen");
    let listen = match text.as_deref() {
        None => Some(loopback(0)),
        Some("off") => None,
        Some(text) => {
            let address = text.parse().ok();
            if address.is_none() {
                let expected = "an address with port such as 127.0.0.1:9080, or off";
                fields.error("listen", "FIELD_INVALID", expected, format!("{text:?}"));
            }
            address
        }
    };
    fields.finish();
    listen
}

fn read_upstream(map: Map<String, Value>, findings: &mut Findings) -> Upstream {
    let mut fields = Fields::new("upstream", map, findings);
    let upstream = Upstream {
        connect_timeout_ms: timeout(&mut fields, "connect_timeout_ms", 5_000),
        response_timeout_ms: timeout(&mut fields, "response_timeout_ms", 30_000),
        idle_max: count(&mut fields, "idle_max", 64, 100_000),
        response_body_bytes_max: body(&mut fields, "response_body_bytes_max"),
        ca: read_ca(&mut fields),
    };
    fields.finish();
    upstream
}

/// Read here and not when a worker starts, so that a wrong file is found before anything runs.
fn read_ca(fields: &mut Fields<'_>) -> Option<CaFile> {
    let path = PathBuf::from(fields.text("ca_file")?);
    let expected = "a file of PEM certificates";
    match std::fs::read_to_string(&path) {
        Ok(pem) if pem.contains("-----BEGIN CERTIFICATE-----") => Some(CaFile { path, pem }),
        Ok(_) => {
            let found = format!("{} without a certificate", path.display());
            fields.error("ca_file", "FIELD_INVALID", expected, found);
            None
        }
        Err(error) => {
            let found = format!("{}: {error}", path.display());
            fields.error("ca_file", "FILE_UNREADABLE", expected, found);
            None
        }
    }
}

fn read_probe(map: Map<String, Value>, findings: &mut Findings) -> Probe {
    let mut fields = Fields::new("probe", map, findings);
    let probe = Probe {
        step_timeout_ms: timeout(&mut fields, "step_timeout_ms", 10_000),
    };
    fields.finish();
    probe
}

fn read_log(map: Map<String, Value>, findings: &mut Findings) -> Format {
    let mut fields = Fields::new("log", map, findings);
    let format = fields.parsed("format").unwrap_or_default();
    fields.finish();
    format
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub(super) fn bounded(
    fields: &mut Fields<'_>,
    name: &str,
    default: u64,
    min: u64,
    max: u64,
) -> u64 {
    let value = fields.unsigned(name).unwrap_or(default);
    if !(min..=max).contains(&value) {
        fields.error(
            name,
            "OUT_OF_RANGE",
            format!("{min} to {max}"),
            value.to_string(),
        );
    }
    value
}

pub(super) fn timeout(fields: &mut Fields<'_>, name: &str, default: u64) -> u64 {
    bounded(fields, name, default, 1, TIMEOUT_MS_MAX)
}

fn body(fields: &mut Fields<'_>, name: &str) -> usize {
    count(fields, name, BODY_BYTES, limits::BODY_BYTES_MAX as u64)
}

pub(super) fn count(fields: &mut Fields<'_>, name: &str, default: u64, max: u64) -> usize {
    usize::try_from(bounded(fields, name, default, 1, max)).unwrap_or(usize::MAX)
}
