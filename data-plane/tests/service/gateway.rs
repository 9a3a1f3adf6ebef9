//! A gateway process without a control plane, and state as an earlier process would have left it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use gantry_domain::{Digest, Revision};
use gantry_gateway::source::Snapshot;
use gantry_gateway::supervisor::state::{Identity, StateDir};
use gantry_gateway::supervisor::store::Store;
use gantry_telemetry::Secret;
use serde_json::{Value, json};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const TOKEN: &str = "gantry_t1_0123456789abcdef";

/// Nothing listens here: port 1 is for `tcpmux`, which nobody runs.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:1";

/// The program with nothing of this process's configuration.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry-gateway"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GANTRY_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// Tries until something is there.
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running gateway.
pub(crate) struct Gateway {
    child: Child,
    log: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Gateway {
    /// Starts one on the state in a folder, without a control plane.
    pub(crate) fn start(folder: &Path, token: &str) -> Self {
        Self::start_with(folder, token, NOWHERE)
    }

    /// Starts one on the state in a folder and waits until it listens.
    pub(crate) fn start_with(folder: &Path, token: &str, endpoint: &str) -> Self {
        Self::start_configured(folder, token, endpoint, "")
    }

    /// The same with a configuration file. What it prints is in `printed` in the folder.
    pub(crate) fn start_configured(
        folder: &Path,
        token: &str,
        endpoint: &str,
        configuration: &str,
    ) -> Self {
        let (config, printed) = (folder.join("gateway.toml"), folder.join("printed"));
        std::fs::write(&config, configuration).unwrap();
        let (addresses, log) = (folder.join("addresses.json"), folder.join("gateway.log"));
        let _ = std::fs::remove_file(&addresses);
        let child = program()
            .args(["--endpoint", endpoint, "--listen", "127.0.0.1:0"])
            .arg("--config")
            .arg(config)
            .arg("--state-dir")
            .arg(folder.join("state"))
            .arg("--address-file")
            .arg(&addresses)
            .env("GANTRY_TOKEN", token)
            .stdout(std::fs::File::create(printed).unwrap())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut gateway = Self {
            child,
            log,
            listen: ([0, 0, 0, 0], 0).into(),
            admin: ([0, 0, 0, 0], 0).into(),
        };
        let found: Value = eventually("the address file", || {
            serde_json::from_slice(&std::fs::read(&addresses).ok()?).ok()
        });
        let address = |name: &str| found[name].as_str().unwrap().parse().unwrap();
        (gateway.listen, gateway.admin) = (address("listen"), address("admin"));
        gateway
    }

    pub(crate) fn status(&self) -> Value {
        let (code, body) = get(self.admin, "/status").unwrap();
        assert_eq!(code, 200);
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) fn readiness(&self) -> u16 {
        get(self.admin, "/readyz").unwrap().0
    }

    pub(crate) fn wait_ready(&self) {
        eventually("readiness", || (self.readiness() == 200).then_some(()));
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        signal(u64::from(self.child.id()), name);
    }

    /// Asks it to end, and gives whether it ended well.
    pub(crate) fn terminate(&mut self) -> bool {
        self.signal("TERM");
        eventually("the end", || self.child.try_wait().unwrap()).success()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// Sends a process a signal.
pub(crate) fn signal(process: u64, name: &str) {
    let arguments = [format!("-{name}"), process.to_string()];
    let killed = Command::new("kill").args(arguments).status().unwrap();
    assert!(killed.success());
}

/// One request on a connection of its own: status and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    get_with(address, path, "")
}

/// The same with header lines.
pub(crate) fn get_with(
    address: SocketAddr,
    path: &str,
    headers: &str,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: gateway\r\n{headers}Connection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((
        status.ok_or(std::io::ErrorKind::InvalidData)?,
        body.to_owned(),
    ))
}

/// An upstream that answers `upstream` to everything, for as long as the process lives.
pub(crate) fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nupstream",
            );
        }
    });
    address
}

/// Leaves state in a folder as if a gateway with [`TOKEN`] had served these definitions.
pub(crate) fn leave_state(folder: &Path, number: u64, definitions: &[Value]) -> Store {
    let state = StateDir::open(&folder.join("state")).unwrap();
    let identity = Identity {
        tenant: "acme".parse().unwrap(),
        environment: "production".parse().unwrap(),
        key_pepper: Secret::new(vec![7; 32]),
    };
    state.remember(&TOKEN.parse().unwrap(), &identity).unwrap();
    let store = Store::open(state.environment(&identity)).unwrap();
    let mut revision = Revision {
        number,
        ..Revision::empty()
    };
    let mut documents = BTreeMap::new();
    for definition in definitions {
        let body = gantry_domain::json::canonical(definition);
        let digest = Digest::of(&body);
        revision.apis.insert(
            definition["api_id"].as_str().unwrap().parse().unwrap(),
            digest,
        );
        documents.insert(digest, body.into_bytes().into());
    }
    store
        .keep(
            &Snapshot {
                revision,
                documents,
            },
            BTreeMap::new(),
        )
        .unwrap();
    store
}

/// A definition without plugins.
pub(crate) fn definition(id: &str, path: &str, upstream: SocketAddr) -> Value {
    json!({"api_id": id, "name": id, "use_keyless": true,
        "proxy": {"listen_path": path, "target_url": format!("http://{upstream}")}})
}
