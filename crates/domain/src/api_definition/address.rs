//! Where an API is reached, and where its upstream is.

use serde_json::{Map, Value};

use crate::json::{Fields, Findings};

/// The host name that an API answers to.
pub(super) fn read_domain(fields: &mut Fields<'_>) -> Option<String> {
    let domain = fields.text("domain").filter(|domain| !domain.is_empty())?;
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if domain.len() > 253 || !domain.split('.').all(label) {
        fields.error(
            "domain",
            "FIELD_INVALID",
            "a host name without port",
            format!("{domain:?}"),
        );
        return None;
    }
    Some(domain.to_ascii_lowercase())
}

/// Listen path, upstream, and whether the one is stripped on the way to the other.
pub(super) fn read_proxy(
    map: Map<String, Value>,
    findings: &mut Findings,
) -> Option<(String, String, bool)> {
    let mut fields = Fields::new("proxy", map, findings);
    let listen_path: Option<String> =
        fields.required("listen_path", "the path prefix that the API answers to");
    let target_url: Option<String> = fields.required("target_url", "the upstream's URL");
    let strip = fields.boolean("strip_listen_path").unwrap_or(false);
    if let Some(path) = &listen_path
        && !is_listen_path(path)
    {
        let expected = "a path from `/` on, without empty or dot segments, query, fragment or percent-encoding";
        fields.error(
            "listen_path",
            "FIELD_INVALID",
            expected,
            format!("{path:?}"),
        );
    }
    if let Some(url) = &target_url
        && !is_target_url(url)
    {
        let expected = "http[s]://host[:port][/path] without user, query or fragment";
        fields.error("target_url", "FIELD_INVALID", expected, format!("{url:?}"));
    }
    fields.finish();
    Some((listen_path?, target_url?, strip))
}

/// RFC 3986 `pchar` without percent-encoding, in segments that are neither empty nor dots.
fn is_listen_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    let rest = match rest.strip_suffix('/') {
        Some("") => return false,
        Some(bare) => bare,
        None => rest,
    };
    let segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b))
    };
    path.len() <= 1024 && (rest.is_empty() || rest.split('/').all(segment))
}

fn is_target_url(url: &str) -> bool {
    let Some(rest) = ["http://", "https://"]
        .into_iter()
        .find_map(|scheme| url.strip_prefix(scheme))
    else {
        return false;
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let path_is_clean = path
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"?#\\\"<>^`{|}".contains(&b));
    url.len() <= 2048 && path_is_clean && is_authority(authority)
}

fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port_is_number = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let ipv6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host_is_one = match ipv6 {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    };
    port_is_number && host_is_one
}
