//! The command line as its users run it: the real binary, its exit code, both of its streams.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::binaries::binary;

/// `gantry` with an endpoint, a token and an environment.
#[derive(Debug, Clone)]
pub struct Gantry {
    endpoint: String,
    token: String,
    environment: String,
    variables: Vec<(String, String)>,
}

/// What a run of `gantry` gave.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Gantry {
    /// The command line for a control plane and a token.
    pub fn new(endpoint: &str, token: &str, environment: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            token: token.to_owned(),
            environment: environment.to_owned(),
            variables: Vec::new(),
        }
    }

    /// Its token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The same with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// The same in another environment.
    #[must_use]
    pub fn in_environment(&self, environment: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            ..self.clone()
        }
    }

    /// The same with further variables.
    #[must_use]
    pub fn with_variables(&self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut with = self.clone();
        with.variables.extend(variables);
        with
    }

    /// Runs it, whatever comes out.
    ///
    /// # Errors
    /// The binary cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        let output = self.command(arguments)?.output().context("start gantry")?;
        Ok(Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The command that [`Gantry::run`] runs, for those who do not wait for its end.
    ///
    /// # Errors
    /// The binary is not there.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary("gantry")?);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("GANTRY_ENDPOINT", &self.endpoint)
            .env("GANTRY_TOKEN", &self.token)
            .env("GANTRY_ENVIRONMENT", &self.environment)
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Runs it with `--output json` and expects success.
    ///
    /// # Errors
    /// It failed, or what it printed is not JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let arguments: Vec<_> = arguments
            .iter()
            .copied()
            .chain(["--output", "json"])
            .collect();
        let outcome = self.run(&arguments)?;
        ensure!(
            outcome.code == 0,
            "gantry {} ended with {}\n{}",
            arguments.join(" "),
            outcome.code,
            outcome.stderr
        );
        serde_json::from_str(&outcome.stdout).with_context(|| {
            format!(
                "gantry {} printed no JSON: {:?}",
                arguments.join(" "),
                outcome.stdout
            )
        })
    }

    /// Pushes a folder or a zip.
    ///
    /// # Errors
    /// As [`Gantry::json`].
    pub fn push(&self, bundle: &Path) -> Result<Value> {
        self.json(&["push", &bundle.to_string_lossy()])
    }

    /// Deploys `name@version` in the environment.
    ///
    /// # Errors
    /// As [`Gantry::json`].
    pub fn deploy(&self, release: &str) -> Result<Value> {
        self.json(&["deploy", release])
    }

    /// Writes an API definition by way of a file in `folder`.
    ///
    /// # Errors
    /// As [`Gantry::json`].
    pub fn put_api(&self, folder: &Path, definition: &Value) -> Result<Value> {
        let file = folder.join(format!(
            "api-{}.json",
            definition["api_id"].as_str().unwrap_or("unnamed")
        ));
        std::fs::write(&file, definition.to_string())?;
        self.json(&["api", "put", &file.to_string_lossy()])
    }
}
