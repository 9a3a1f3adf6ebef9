//! Other proxies, from Debian's packages as `cargo xtask bench` unpacks them, set up to do the same work:
//! route, look a key up, set a header on each side, count, write an access log.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gantry_tests::binaries::target_dir;
use gantry_tests::process::Process;

use crate::gateway::TOKEN;
use crate::measure::{PROXY_CORE, on_core};

/// A program of an unpacked package, with the libraries beside it.
///
/// # Errors
/// It is not there.
pub(super) fn program(path: &str, core: &str) -> Result<Command> {
    let root = unpacked();
    let program = root.join(path);
    ensure!(
        program.is_file(),
        "{} is missing: `cargo xtask bench request-path` unpacks it",
        program.display()
    );
    let mut command = on_core(core, &program);
    command.env("LD_LIBRARY_PATH", library_path(&root)?);
    Ok(command)
}

fn unpacked() -> PathBuf {
    target_dir().join("tools/debian")
}

fn library_path(root: &Path) -> Result<OsString> {
    let mut folders = Vec::new();
    for parent in ["lib", "usr/lib"] {
        let entries = fs::read_dir(root.join(parent)).into_iter().flatten();
        let triples = entries.flatten().map(|entry| entry.path());
        folders.extend(triples.filter(|path| path.to_string_lossy().ends_with("-linux-gnu")));
    }
    Ok(std::env::join_paths(folders)?)
}

/// A port that was free a moment ago: these programs cannot say which one they were given.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn start(name: &str, mut command: Command, log: &Path, port: u16) -> Result<(Process, SocketAddr)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut process = Process::start(name, &mut command, log)?;
    process.wait_until("it listens", || TcpStream::connect(address).ok().map(drop))?;
    Ok((process, address))
}

/// nginx with Lua. Its log is written in blocks, as the gateway's is: unbuffered, nginx makes one more
/// system call per request.
///
/// # Errors
/// It does not come up.
pub(super) fn nginx(folder: &Path, upstream: SocketAddr) -> Result<(Process, SocketAddr)> {
    let home = folder.join("nginx");
    fs::create_dir_all(&home)?;
    let port = free_port()?;
    let config = home.join("nginx.conf");
    let (root, here) = (unpacked(), home.display().to_string());
    let modules = root.join("usr/lib/nginx/modules");
    let text = NGINX
        .replace("@MODULES@", &modules.display().to_string())
        .replace("@ROOT@", &root.display().to_string())
        .replace("@HOME@", &here)
        .replace("@TOKEN@", TOKEN)
        .replace("@PORT@", &port.to_string())
        .replace("@UPSTREAM@", &upstream.to_string());
    fs::write(&config, text)?;
    let mut command = program("usr/sbin/nginx", PROXY_CORE)?;
    command
        .arg("-p")
        .arg(&home)
        .arg("-c")
        .arg(&config)
        .args(["-e", "stderr"]);
    start("nginx", command, &home.join("log"), port)
}

const NGINX: &str = r#"
load_module @MODULES@/ndk_http_module.so;
load_module @MODULES@/ngx_http_lua_module.so;
daemon off;
worker_processes 1;
pid @HOME@/pid;
events { worker_connections 4096; }
http {
  lua_package_path "@ROOT@/usr/share/lua/5.1/?.lua;;";
  lua_shared_dict keys 1m;
  lua_shared_dict counters 1m;
  init_by_lua_block { ngx.shared.keys:set("@TOKEN@", "{}") }
  access_log @HOME@/access.log combined buffer=64k flush=1s;
  client_body_temp_path @HOME@/body; proxy_temp_path @HOME@/proxy;
  fastcgi_temp_path @HOME@/f; uwsgi_temp_path @HOME@/u; scgi_temp_path @HOME@/s;
  keepalive_requests 100000000;
  client_body_buffer_size 64k; proxy_buffer_size 8k; proxy_buffers 16 16k;
  upstream up { server @UPSTREAM@; keepalive 256; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:@PORT@;
    location /hooked/ {
      access_by_lua_block {
        local header = ngx.var.http_authorization
        if not header or not ngx.shared.keys:get(header:sub(8)) then return ngx.exit(401) end
        local id = ngx.var.http_x_request_id
        ngx.req.set_header("X-Marked", "by the gateway")
      }
      header_filter_by_lua_block {
        local kind = ngx.header["Content-Type"]
        ngx.header["X-Stamped"] = "by the gateway"
      }
      log_by_lua_block { ngx.shared.counters:incr(ngx.status, 1, 0) }
      proxy_pass http://up/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
    }
  }
}
"#;

/// The other one that operators know. It counts by itself, and writes its log line by line.
///
/// # Errors
/// It does not come up.
pub(super) fn haproxy(folder: &Path, upstream: SocketAddr) -> Result<(Process, SocketAddr)> {
    let home = folder.join("haproxy");
    fs::create_dir_all(&home)?;
    let port = free_port()?;
    let (config, keys) = (home.join("haproxy.cfg"), home.join("keys"));
    fs::write(&keys, format!("{TOKEN} bench\n"))?;
    let text = HAPROXY
        .replace("@KEYS@", &keys.display().to_string())
        .replace("@PORT@", &port.to_string())
        .replace("@UPSTREAM@", &upstream.to_string());
    fs::write(&config, text)?;
    let mut command = program("usr/sbin/haproxy", PROXY_CORE)?;
    command.args(["-db", "-f"]).arg(&config);
    // Its lines go to standard output, which is this file; the next start begins a new one.
    let log = home.join("access.log");
    let _ = fs::remove_file(&log);
    start("haproxy", command, &log, port).with_context(|| "start HAProxy")
}

const HAPROXY: &str = "
global
  nbthread 1
  maxconn 4096
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option http-keep-alive
  option forwardfor
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend clients
  bind 127.0.0.1:@PORT@
  http-request deny deny_status 401 unless { req.hdr(authorization),word(2,' '),map(@KEYS@) -m found }
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Marked \"by the gateway\"
  http-response set-header X-Stamped \"by the gateway\"
  http-request replace-path /hooked/(.*) /\\1
  use_backend upstream if { path_beg / }
backend upstream
  server up @UPSTREAM@
";

/// What ran, by version.
///
/// # Errors
/// A program does not start: the message names the library that it misses.
pub(super) fn versions() -> Result<String> {
    let mut versions = Vec::new();
    for (path, flag) in [
        ("usr/sbin/nginx", "-v"),
        ("usr/sbin/haproxy", "-v"),
        ("usr/bin/wrk", "-v"),
    ] {
        let output = program(path, PROXY_CORE)?.arg(flag).output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        ensure!(!text.contains("error while loading"), "{path}: {text}");
        let line = text.lines().next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().take(3).collect();
        versions.push(words.join(" ").replace("nginx version: ", ""));
    }
    Ok(versions.join("; "))
}
