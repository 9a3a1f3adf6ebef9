//! Swaps under load: functions in Go, Rust and C in one chain, two versions of one Go plugin and one as
//! written for Tyk among them, are replaced one after the other while clients ask without a pause. No request fails, none meets a
//! mixture that was never deployed, and none that begins after a deployment was waited for meets what
//! was there before.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gantry_tests::plugins::{self, example};
use gantry_tests::{Answer, Load, Request};
use serde_json::json;

use crate::lab::{Lab, middleware};
use crate::workbench::Workbench;

/// Swaps of each bundle, at least, however short the time is.
const SWAPS_MIN: usize = 2;
/// How long functions are swapped, in seconds; `GANTRY_SWAP_SECONDS` gives another number.
const SWAP_SECONDS: u64 = 60;

const VERSIONS: [&str; 2] = ["1.0.0", "1.1.0"];
/// The bundles, in the order of the chain. `go-stamp` and `go-again` are one plugin, in two versions.
const BUNDLES: [&str; 5] = ["stamp", "hooks", "go-stamp", "go-again", "handlers"];
/// Handlers of `net/http`, which run on goroutines of their own.
const HANDLERS: &str = r#"package main

import "net/http"

const version = "VERSION"

func StampRequest(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("X-Handler-First", version)
}

func StampResponse(rw http.ResponseWriter, res *http.Response, r *http.Request) {
	res.Header.Set("X-Handler-Last", version)
}
"#;

/// The version of each bundle.
type Chain = [&'static str; BUNDLES.len()];

fn swap_time() -> Duration {
    let given = std::env::var("GANTRY_SWAP_SECONDS");
    let given = given.map(|text| text.parse().expect("a number of seconds"));
    Duration::from_secs(given.unwrap_or(SWAP_SECONDS))
}

/// What was deployed, one chain after the other, and which of them was waited for last.
#[derive(Debug)]
struct History {
    chains: Vec<Chain>,
    settled: usize,
}

impl History {
    /// What is wrong with an answer to a request that began when `settled` had been waited for.
    fn verdict(&self, answer: &Answer, settled: usize) -> Result<(), String> {
        let met = met(answer).ok_or_else(|| format!("{answer:?}"))?;
        let possible = &self.chains[settled..];
        if possible.contains(&met) {
            return Ok(());
        }
        Err(format!("{met:?} instead of one of {possible:?}"))
    }
}

/// The version of each bundle that an answer names; none where two functions of one library differ.
fn met(answer: &Answer) -> Option<[&str; BUNDLES.len()]> {
    let of_rust = |name: &str| answer.header(name).strip_prefix("example-hooks ");
    let pairs = [
        (of_rust("x-gantry-first")?, {
            let stamp = of_rust("x-gantry-plugin")?;
            stamp.split_once(' ').map_or(stamp, |(version, _)| version)
        }),
        (answer.header("x-go-first"), answer.header("x-go-last")),
        (
            answer.header("x-handler-first"),
            answer.header("x-handler-last"),
        ),
    ];
    let one_generation = pairs.iter().all(|(first, last)| first == last);
    let [(rust, _), (go, _), (handler, _)] = pairs;
    let (c, again) = (answer.header("x-c"), answer.header("x-go-second"));
    (answer.status == 200 && one_generation).then_some([c, rust, go, again, handler])
}

/// The folder of each version of a bundle, as an author pushes it.
fn folders(lab: &Lab, bench: &Workbench, bundle: &str) -> [PathBuf; 2] {
    VERSIONS.map(|version| {
        let (library, hooks): (PathBuf, &[(&str, &str)]) = match bundle {
            "stamp" => {
                let source = "tests/fixtures/plugins/stamp.c";
                let stamp = [("STAMP", version)];
                let library = plugins::c_defining(source, lab.stage.folder(), &stamp);
                (library.unwrap(), &[("pre", "StampC")])
            }
            "hooks" => (
                example(version, None).unwrap(),
                &[("pre", "AddTraceHeader"), ("response", "StampResponse")],
            ),
            "handlers" => (
                handlers(lab, bench, version),
                &[("pre", "StampRequest"), ("response", "StampResponse")],
            ),
            "go-stamp" => (
                go("tests/fixtures/go-stamp", version),
                &[("pre", "StampFirst"), ("response", "StampLast")],
            ),
            _ => (
                go("tests/fixtures/go-stamp", version),
                &[("pre", "StampSecond")],
            ),
        };
        written(lab, (bundle, version), &library, hooks)
    })
}

fn go(source: &str, version: &str) -> PathBuf {
    plugins::go(source, version, None).unwrap()
}

/// Builds the handlers as an author does who brings them from Tyk.
fn handlers(lab: &Lab, bench: &Workbench, version: &str) -> PathBuf {
    let source = bench.room().join("handlers");
    fs::create_dir_all(&source).unwrap();
    let text = HANDLERS.replace("VERSION", version);
    fs::write(source.join("main.go"), text).unwrap();
    bench.build(&source, &[]);
    let kept = lab.stage.folder().join(format!("handlers-{version}.so"));
    fs::copy(bench.out().join("handlers.so"), &kept).unwrap();
    kept
}

fn written(
    lab: &Lab,
    (bundle, version): (&str, &str),
    library: &Path,
    hooks: &[(&str, &str)],
) -> PathBuf {
    let file = format!("{bundle}.so");
    let folder = lab.bundle(bundle, version).file(&file, library).unwrap();
    let hooked = hooks.iter().fold(folder, |folder, (field, function)| {
        folder.hook(field, function, &file)
    });
    hooked.write().unwrap()
}

/// Pushes, deploys and waits until every worker serves it.
fn deliver(lab: &Lab, folder: &Path) {
    let folder = folder.to_str().unwrap();
    let push = ["push", folder, "--deploy", "production", "--wait"];
    lab.project.admin.json(&push).unwrap();
}

#[test]
fn swaps_of_go_rust_and_c_under_load_fail_no_request_and_mix_no_generations() {
    let lab = Lab::start();
    let gateway = lab.gateway();
    let bench = Workbench::new();
    let folders = BUNDLES.map(|bundle| folders(&lab, &bench, bundle));
    // The two of one plugin begin in different versions, and are at no time in the same one for long.
    let mut chain: Chain = ["1.0.0", "1.0.0", "1.0.0", "1.1.0", "1.0.0"];
    for (versions, version) in folders.iter().zip(chain) {
        deliver(&lab, &versions[usize::from(version == VERSIONS[1])]);
    }
    let pre = [
        ("StampC", "stamp.so"),
        ("AddTraceHeader", "hooks.so"),
        ("StampFirst", "go-stamp.so"),
        ("StampSecond", "go-again.so"),
        ("StampRequest", "handlers.so"),
    ];
    let response = [
        ("StampLast", "go-stamp.so"),
        ("StampResponse", "hooks.so"),
        ("StampResponse", "handlers.so"),
    ];
    let hooks = middleware(&[("pre", &pre), ("response", &response)]);
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware": hooks}),
    );

    let history = Arc::new(Mutex::new(History {
        chains: vec![chain],
        settled: 0,
    }));
    let (shared, address) = (history.clone(), gateway.address());
    // Two clients: other tests run beside this one for all its time.
    let load = Load::of(2, move |agent| {
        let settled = shared.lock().map_err(|error| error.to_string())?.settled;
        let answer = Request::get("/api/x").send_with(agent, address);
        let answer = answer.map_err(|error| format!("{error:#}"))?;
        let history = shared.lock().map_err(|error| error.to_string())?;
        history.verdict(&answer, settled)
    })
    .unwrap();
    let (time, began) = (swap_time(), Instant::now());
    let mut swaps = 0;
    while swaps < SWAPS_MIN * BUNDLES.len() || began.elapsed() < time {
        let place = swaps % BUNDLES.len();
        let new = usize::from(chain[place] == VERSIONS[0]);
        chain[place] = VERSIONS[new];
        load.wait_for(25).unwrap();
        history.lock().unwrap().chains.push(chain);
        deliver(&lab, &folders[place][new]);
        let mut history = history.lock().unwrap();
        history.settled = history.chains.len() - 1;
        swaps += 1;
    }
    load.wait_for(25).unwrap();
    let (report, seconds) = (load.stop(), began.elapsed().as_secs());
    let (good, failed) = (report.good, report.failed);
    // Past the harness, which shows only what failed.
    let _ = writeln!(
        std::io::stderr(),
        "a chain of Go, Rust and C under load for {seconds} s: {good} requests answered, {failed} \
         failed, {swaps} swaps"
    );
    assert_eq!((failed, &report.failures[..]), (0, &[][..]));
    let status = gateway.status().unwrap();
    assert_eq!(status["report"]["worker_deaths_total"], 0, "{status:#}");
}
