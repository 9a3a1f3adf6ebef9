//! The scene of a plugin that begins as source: written, built for each gateway version, pushed, waited
//! for, asked.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gantry_tests::Gantry;
use gantry_tests::Request;
use gantry_tests::binaries::target_dir;
use serde_json::{Value, json};

use super::narrator::Narrator;
use super::scenes::{Set, VERSIONS};

/// The plugin's source.
const SOURCE: &str = include_str!("greeter.go");

impl Set {
    /// Writes a plugin in Go, and brings it all the way to requests.
    pub(crate) fn go_from_source(&mut self, narrator: &mut Narrator) -> Result<()> {
        narrator.scene("A plugin in Go, from its source");
        let source = self.folder.join("greeter");
        write_source(&source)?;
        narrator.say(&format!(
            "Wrote a plugin of {} lines of Go into {}.",
            SOURCE.lines().count(),
            source.display()
        ));
        let bundle = self.folder.join("greeter-bundle");
        let files = self.build_go(&source, &bundle)?;
        for file in &files {
            narrator.say(&format!("gantry build made {file}"));
        }
        narrator.check("one library for each gateway version", &files.len(), &2)?;
        let manifest = json!({
            "name": "greeter", "version": "1.0.0", "file_list": files,
            "custom_middleware": {"driver": "goplugin", "pre": [{"name": "Greet", "path": "greeter.so"}]},
        });
        fs::write(bundle.join("manifest.json"), manifest.to_string())?;
        let definition = json!({
            "name": "Greetings", "api_id": "greetings", "use_keyless": true,
            "proxy": {"listen_path": "/greetings/", "target_url": self.upstream.url()},
            "custom_middleware_bundle": "greeter",
        });
        let admin = &self.project.admin;
        admin.put_api(&self.folder, &definition)?;
        let bundle = bundle.to_string_lossy();
        let pushed = admin.json(&["push", &bundle, "--deploy", "production", "--wait"])?;
        let waited = pushed["deployment"]["gateways"].as_array();
        narrator.check(
            "push --deploy --wait returned when both gateways served it",
            &waited.map(Vec::len),
            &Some(2),
        )?;
        for (gateway, version) in self.gateways.iter().zip(VERSIONS) {
            let request = Request::get("/greetings/x").header("x-name", "ada");
            let answer = gateway.send(&request)?;
            narrator.check(
                &format!("the gateway that reports {version} greets"),
                &answer.header("x-greeting"),
                &"hello ada",
            )?;
        }
        self.ask_before_upgrade(narrator)
    }

    /// Builds with this machine's own C compiler: nothing needs to be installed for that.
    fn build_go(&self, source: &Path, bundle: &Path) -> Result<Vec<String>> {
        let (source, out) = (source.to_string_lossy(), bundle.to_string_lossy());
        let build = ["build", &source, "--out", &out, "--system-toolchain"];
        let versions = VERSIONS.map(|version| ["--gateway-version", version]);
        let arguments = [&build[..], &versions.concat()].concat();
        let built = builder(&self.project.admin)?.json(&arguments)?;
        let libraries = built.as_array().context("a list of libraries")?;
        let names = libraries.iter().map(|library: &Value| {
            let path = library["path"].as_str().context("a library's path")?;
            let name = Path::new(path).file_name().context("a library's name")?;
            Ok(name.to_string_lossy().into_owned())
        });
        names.collect()
    }

    /// Asks what a version would run that nobody has built for.
    fn ask_before_upgrade(&self, narrator: &mut Narrator) -> Result<()> {
        let ask = ["explain", "--gateway-version", "v5.4.0", "--check"];
        let asked = self.project.admin.run(&ask)?;
        narrator.check(
            "asked for v5.4.0, explain --check says no (exit code 4) before anything is upgraded",
            &asked.code,
            &4,
        )?;
        narrator.check(
            "and names both APIs that lack a build",
            &["orders", "greetings"].map(|api| asked.stderr.contains(api)),
            &[true, true],
        )
    }
}

/// The command line where Go is found and keeps what it keeps below `target`.
fn builder(gantry: &Gantry) -> Result<Gantry> {
    let tools = target_dir().join("tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(tools).chain(std::env::split_paths(&path)))?;
    let caches = target_dir().join("go");
    let variable = |name: &str, value: PathBuf| (name.to_owned(), value.display().to_string());
    Ok(gantry.with_variables([
        variable("PATH", path.into()),
        variable("GOCACHE", caches.join("cache")),
        variable("GOPATH", caches.join("path")),
        variable("GOTOOLCHAIN", "local".into()),
        variable("GANTRY_CACHE_DIR", target_dir().join("stage/demo")),
    ]))
}

fn write_source(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("main.go"), SOURCE)?;
    Ok(())
}
