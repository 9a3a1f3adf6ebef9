//! Who is measured: processes that take requests at an address and pass them to the upstream, started
//! anew and each pinned to the proxies' core.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use gantry_tests::binaries::profile_dir;
use gantry_tests::process::{Process, eventually};
use gantry_tests::{Gateway, Request};

use super::peers;
use crate::build;
use crate::gateway::{self, Api, request, role};
use crate::measure::{self, PROXY_CORE};

/// The gateway with a plugin of two functions.
pub(super) const GANTRY: &str = "Gantry";
/// The same process, an API without functions.
pub(super) const GANTRY_PLAIN: &str = "Gantry without a plugin";
/// Two functions as users of Tyk write them, in Go, which run within the call.
pub(super) const GANTRY_GO_INLINE: &str = "Gantry, Go within the call";
/// The same, each on a goroutine of its own.
pub(super) const GANTRY_GO_DETACHED: &str = "Gantry, Go on goroutines";
pub(super) const NGINX_LUA: &str = "nginx + Lua";
pub(super) const HAPROXY: &str = "HAProxy";
pub(super) const RELAY: &str = "TCP relay (floor)";

/// A running proxy.
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    /// Before the path of every request.
    pub(super) prefix: String,
    /// Its process and all below.
    pub(super) pids: Vec<u32>,
    /// The process that serves requests.
    pub(super) server: u32,
    /// The processes end with it.
    _running: Running,
}

/// What keeps a proxy's processes.
#[expect(dead_code, reason = "kept for what happens when it is dropped")]
enum Running {
    Gateway(Box<Gateway>),
    Process(Process),
    /// Those of the subject before.
    Shared,
}

/// What subjects are started from.
pub(super) struct Stage {
    /// Everything they write.
    pub(super) folder: PathBuf,
    /// Where they pass requests to.
    pub(super) upstream: SocketAddr,
}

impl Stage {
    /// Starts all subjects anew.
    ///
    /// # Errors
    /// One does not come up, or does not do the work that is measured.
    pub(super) fn subjects(&self) -> Result<Vec<Subject>> {
        let gantry = self.gantry()?;
        let plain = Subject {
            name: GANTRY_PLAIN,
            prefix: "/plain".to_owned(),
            pids: gantry.pids.clone(),
            address: gantry.address,
            server: gantry.server,
            _running: Running::Shared,
        };
        let inline = self.gantry_go(GANTRY_GO_INLINE, "inline", ["MarkInline", "StampInline"])?;
        let detached = self.gantry_go(GANTRY_GO_DETACHED, "detached", ["Mark", "Stamp"])?;
        let (relay, nginx, haproxy) = (self.relay()?, self.nginx()?, self.haproxy()?);
        let subjects = vec![gantry, plain, inline, detached, nginx, haproxy, relay];
        for subject in &subjects {
            subject
                .check()
                .with_context(|| format!("check {}", subject.name))?;
        }
        Ok(subjects)
    }

    fn gantry(&self) -> Result<Subject> {
        let watched = self.folder.join("watched");
        if !watched.is_dir() {
            let library = profile_dir().join("libgantry_bench_hooks.so");
            let apis = [
                Api::new("hooked", Some("Mark"), Some("Stamp")),
                Api::new("plain", None, None),
            ];
            gateway::lay_out(&watched, &library, self.upstream, &apis)?;
        }
        self.gateway(GANTRY, "bench", &watched, "hooked")
    }

    /// Another gateway, since Go's runtime would count as the first one's memory, and one for each way to run
    /// functions, since a library sets its runtime up for those that it starts.
    fn gantry_go(
        &self,
        name: &'static str,
        api: &'static str,
        functions: [&'static str; 2],
    ) -> Result<Subject> {
        let watched = self.folder.join(format!("watched-{api}"));
        if !watched.is_dir() {
            let library = build::tyk(&self.folder)?;
            let [request, response] = functions;
            let apis = [Api::new(api, Some(request), Some(response))];
            gateway::lay_out(&watched, &library, self.upstream, &apis)?;
        }
        self.gateway(name, &format!("bench-{api}"), &watched, api)
    }

    fn gateway(&self, name: &'static str, id: &str, watched: &Path, api: &str) -> Result<Subject> {
        let prefix = format!("/{api}");
        let started = gateway::start(&self.folder, id, watched, &format!("{prefix}/s"))?;
        Ok(Subject {
            name,
            address: started.gateway.address(),
            prefix,
            pids: started.pids,
            server: started.worker,
            _running: Running::Gateway(Box::new(started.gateway)),
        })
    }

    fn relay(&self) -> Result<Subject> {
        let file = self.folder.join("relay.address");
        let upstream = self.upstream.to_string();
        let (process, address) = role(&["relay", &upstream], PROXY_CORE, &file)?;
        let pid = process.id();
        let mut subject = Self::pinned(RELAY, address, pid, pid, Running::Process(process))?;
        subject.prefix = String::new();
        Ok(subject)
    }

    fn nginx(&self) -> Result<Subject> {
        let (process, address) = peers::nginx(&self.folder, self.upstream)?;
        let master = process.id();
        let server = eventually("nginx has a worker", || {
            let children = measure::family(master);
            let is_worker = |pid: &u32| measure::command_line(*pid).contains("worker process");
            children.into_iter().find(is_worker)
        })?;
        Self::pinned(
            NGINX_LUA,
            address,
            master,
            server,
            Running::Process(process),
        )
    }

    fn haproxy(&self) -> Result<Subject> {
        let (process, address) = peers::haproxy(&self.folder, self.upstream)?;
        let pid = process.id();
        Self::pinned(HAPROXY, address, pid, pid, Running::Process(process))
    }

    fn pinned(
        name: &'static str,
        address: SocketAddr,
        first: u32,
        server: u32,
        running: Running,
    ) -> Result<Subject> {
        let pids = measure::family(first);
        measure::pin(&pids, PROXY_CORE)?;
        Ok(Subject {
            name,
            address,
            prefix: "/hooked".to_owned(),
            pids,
            server,
            _running: running,
        })
    }
}

impl Subject {
    /// Whether a plugin, or what stands for it, works on its requests.
    fn has_hooks(&self) -> bool {
        ![GANTRY_PLAIN, RELAY].contains(&self.name)
    }

    /// Sees that it does the work that is measured, and nobody gets by without a key.
    fn check(&self) -> Result<()> {
        let path = format!("{}/e", self.prefix);
        let answer = eventually("it answers", || {
            let answer = request(&path).send(self.address).ok()?;
            (answer.status == 200).then_some(answer)
        })?;
        let reached = answer.body.to_ascii_lowercase();
        let by_hooks = [
            reached.contains("x-marked: by the gateway"),
            answer.header("x-stamped") == "by the gateway",
        ];
        ensure!(
            by_hooks == [self.has_hooks(); 2],
            "the two headers are not as they should be: {answer:?}"
        );
        if self.name == RELAY {
            return Ok(());
        }
        ensure!(
            reached.starts_with("get /e http/1.1\r\n")
                && reached.contains("x-forwarded-for: 127.0.0.1"),
            "the request did not reach the upstream as it should: {answer:?}"
        );
        let nobody = Request::get(&path).send(self.address)?;
        ensure!(nobody.status == 401, "without a key: {nobody:?}");
        Ok(())
    }
}
