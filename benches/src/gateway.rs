//! Gateways that are measured: one worker, APIs with functions of one library at their hooks, and a key
//! that every request brings; and the roles of this program that run in processes of their own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gantry_tests::process::{Process, eventually};
use gantry_tests::{Gateway, GatewayOptions, Request};
use serde_json::json;

use crate::measure::{self, OTHER_CORE, PROXY_CORE};

/// The key that every request brings, and that every proxy but the relay looks up.
pub(crate) const TOKEN: &str = "0f6d7c1a5e2b4938a7c6d5e4f3b2a190";

/// An API: reached below its id, with a function at two hooks or none.
#[derive(Debug)]
pub(crate) struct Api {
    id: &'static str,
    pre: Option<&'static str>,
    response: Option<&'static str>,
}

impl Api {
    pub(crate) const fn new(
        id: &'static str,
        pre: Option<&'static str>,
        response: Option<&'static str>,
    ) -> Self {
        Self { id, pre, response }
    }

    fn definition(&self, upstream: SocketAddr) -> serde_json::Value {
        let entries = |function: Option<&str>| -> Vec<_> {
            let entry = |name| json!({"name": name, "path": "hooks.so"});
            function.map(entry).into_iter().collect()
        };
        let id = self.id;
        let mut definition = json!({
            "name": id, "api_id": id, "use_standard_auth": true,
            "proxy": {
                "listen_path": format!("/{id}/"), "strip_listen_path": true,
                "target_url": format!("http://{upstream}"),
            },
        });
        if self.pre.is_some() || self.response.is_some() {
            definition["custom_middleware"] = json!({
                "driver": "goplugin",
                "pre": entries(self.pre),
                "response": entries(self.response),
            });
        }
        definition
    }
}

/// A gateway that serves.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) gateway: Gateway,
    /// Its supervisor and all below.
    pub(crate) pids: Vec<u32>,
    /// The process that serves requests.
    pub(crate) worker: u32,
}

/// Writes what a gateway watches: APIs, the library of their functions, and the key.
///
/// # Errors
/// It cannot be written, or the library is missing.
pub(crate) fn lay_out(
    watched: &Path,
    library: &Path,
    upstream: SocketAddr,
    apis: &[Api],
) -> Result<()> {
    for folder in ["apis", "libraries", "bundles"] {
        fs::create_dir_all(watched.join(folder))?;
    }
    fs::copy(library, watched.join("libraries/hooks.so"))
        .with_context(|| format!("{}: `cargo xtask bench` builds it", library.display()))?;
    for api in apis {
        let file = watched.join("apis").join(format!("{}.json", api.id));
        fs::write(file, api.definition(upstream).to_string())?;
    }
    let keys = watched.join("keys.json");
    fs::write(
        &keys,
        json!({"keys": [{"id": "bench", "secret": TOKEN}]}).to_string(),
    )?;
    private(&keys)
}

/// Starts one on the proxies' core, and waits until it answers at a path.
///
/// # Errors
/// It does not come up.
pub(crate) fn start(folder: &Path, id: &str, watched: &Path, path: &str) -> Result<Started> {
    let options = GatewayOptions {
        id: id.into(),
        config: Some(config(folder)?),
        ..GatewayOptions::default()
    };
    let mut gateway = Gateway::standalone(folder, watched, &options)?;
    gateway.wait_ready()?;
    let worker = *gateway.worker_pids()?.first().context("a worker")?;
    let address = gateway.address();
    // Ready by what it served last, it may still be taking up what lies in the folder.
    eventually("the gateway knows the key", || {
        let answer = request(path).send(address).ok()?;
        (answer.status == 200).then_some(())
    })?;
    let supervisor = fs::read_to_string(format!("/proc/{worker}/status"))?
        .lines()
        .find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
        .context("the worker has a parent")?;
    let pids = measure::family(supervisor);
    measure::pin(&pids, PROXY_CORE)?;
    Ok(Started {
        gateway,
        pids,
        worker,
    })
}

fn config(folder: &Path) -> Result<PathBuf> {
    let config = folder.join("gateway.toml");
    let log = folder.join("gantry-access.log");
    let text = format!(
        "[gateway]\nworkers = 1\n[upstream]\nidle_max = 256\n[access_log]\noutput = {:?}\n",
        log.display().to_string()
    );
    fs::write(&config, text)?;
    Ok(config)
}

/// A request as it is measured.
pub(crate) fn request(path: &str) -> Request {
    Request::get(path).header("authorization", &format!("Bearer {TOKEN}"))
}

/// Starts a role of this program on a core; it says its address through a file.
///
/// # Errors
/// It does not come up.
pub(crate) fn role(
    arguments: &[&str],
    core: &str,
    address_file: &Path,
) -> Result<(Process, SocketAddr)> {
    let _ = fs::remove_file(address_file);
    let mut command = measure::on_core(core, &std::env::current_exe()?);
    command.args(arguments).arg(address_file);
    let name = arguments.first().copied().unwrap_or_default();
    let mut process = Process::start(name, &mut command, &address_file.with_extension("log"))?;
    let address = process.wait_until("it listens", || {
        fs::read_to_string(address_file).ok()?.parse().ok()
    })?;
    Ok((process, address))
}

/// Starts the upstream.
///
/// # Errors
/// It does not come up.
pub(crate) fn upstream(folder: &Path) -> Result<(Process, SocketAddr)> {
    role(&["upstream"], OTHER_CORE, &folder.join("upstream.address"))
}

fn private(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(
        file,
        fs::Permissions::from_mode(0o600),
    )?)
}
