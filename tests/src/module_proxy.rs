//! A Go module proxy as a company runs one: serves modules that a test makes, and tells what it was
//! asked for.
//!
//! Invariant: every request is told, also one for what is not there.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::server::Server;

/// Packs what standard input names, path by path, into a zip on standard output.
const ZIP: &str = "\
import io, json, sys, zipfile
packed = io.BytesIO()
with zipfile.ZipFile(packed, 'w') as archive:
    for path, text in json.load(sys.stdin).items():
        archive.writestr(path, text)
sys.stdout.buffer.write(packed.getvalue())";

/// A version of a module: its path in lower case, and its files, `go.mod` among them.
#[derive(Debug, Clone, Copy)]
pub struct Module<'a> {
    /// Such as `example.com/acme/tally`.
    pub path: &'a str,
    /// Such as `v1.0.0`.
    pub version: &'a str,
    /// Files by name.
    pub files: &'a [(&'a str, &'a str)],
}

/// A running module proxy.
#[derive(Debug)]
pub struct ModuleProxy {
    server: Server,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ModuleProxy {
    /// Starts one that has these modules, one version of each.
    ///
    /// # Errors
    /// A module cannot be packed, or no port or thread is to be had.
    pub fn start(modules: &[Module<'_>]) -> Result<Self> {
        let mut files = BTreeMap::new();
        for module in modules {
            files.extend(served(module)?);
        }
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let server = Server::start("module-proxy", move |request| {
            let path = request.uri().path().to_owned();
            let answer = answer(files.get(&path));
            log.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(path);
            std::future::ready(answer)
        })?;
        Ok(Self { server, asked })
    }

    /// What `GOPROXY` names.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The paths of all requests since this was called last, in order.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn answer(file: Option<&Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(file.cloned().unwrap_or_default()));
    if file.is_none() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

/// What the protocol has of a module, by path.
fn served(module: &Module<'_>) -> Result<BTreeMap<String, Bytes>> {
    let Module { path, version, .. } = module;
    let info = json!({"Version": version, "Time": "2024-01-01T00:00:00Z"}).to_string();
    let manifest = module.files.iter().find(|(name, _)| *name == "go.mod");
    let (_, manifest) = manifest.with_context(|| format!("{path} has no go.mod"))?;
    let versions = format!("/{path}/@v");
    Ok(BTreeMap::from([
        (format!("{versions}/list"), format!("{version}\n").into()),
        (format!("/{path}/@latest"), info.clone().into()),
        (format!("{versions}/{version}.info"), info.into()),
        (
            format!("{versions}/{version}.mod"),
            (*manifest).to_owned().into(),
        ),
        (format!("{versions}/{version}.zip"), zip(module)?.into()),
    ]))
}

fn zip(module: &Module<'_>) -> Result<Vec<u8>> {
    let Module { path, version, .. } = module;
    let files = module.files.iter();
    let named = files.map(|(name, text)| (format!("{path}@{version}/{name}"), json!(text)));
    let named = Value::Object(named.collect::<Map<_, _>>()).to_string();
    let mut packing = Command::new("python3")
        .args(["-c", ZIP])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start python3")?;
    let mut input = packing.stdin.take().context("the input is ours to write")?;
    input.write_all(named.as_bytes())?;
    drop(input);
    let output = packing.wait_with_output()?;
    ensure!(output.status.success(), "python3 did not pack {path}");
    Ok(output.stdout)
}
