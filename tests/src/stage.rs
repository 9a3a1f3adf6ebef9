//! A control plane with a tenant, an environment and tokens: where most tests begin.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::Gantry;
use crate::control_plane::{ControlPlane, ControlPlaneOptions};
use crate::gateway::{Gateway, GatewayOptions};
use crate::storage::{Bucket, S3Server, Storage};

/// A control plane in a folder of its own, and the operators' token.
#[derive(Debug)]
pub struct Stage {
    /// The control plane.
    pub control_plane: ControlPlane,
    /// The command line with the operators' token.
    pub operator: Gantry,
    /// The S3 server of its objects, unless they are kept locally.
    pub s3: Option<S3Server>,
    folder: PathBuf,
    _temporary: Option<TempDir>,
}

/// What a stage is started with.
#[derive(Debug, Clone, Default)]
pub struct StageOptions {
    /// What objects are kept in.
    pub storage: Storage,
    /// A bucket of a server that somebody else started, instead of one of the stage's own.
    pub bucket: Option<Bucket>,
    /// Variables of the control plane beside those of its storage.
    pub variables: Vec<(String, String)>,
    /// Bytes of a disk of its own that the control plane's data lie on; the system's unless set.
    pub disk_bytes: Option<u64>,
}

impl StageOptions {
    /// Objects in what the environment says.
    ///
    /// # Errors
    /// It says something unknown.
    pub fn from_environment() -> Result<Self> {
        Ok(Self::on(Storage::from_environment()?))
    }

    /// Objects in what is said here, whatever the environment says.
    pub fn on(storage: Storage) -> Self {
        Self {
            storage,
            ..Self::default()
        }
    }

    /// Objects in a bucket of a server that runs already.
    pub fn in_bucket(bucket: &Bucket) -> Self {
        Self {
            bucket: Some(bucket.clone()),
            ..Self::default()
        }
    }

    /// The control plane's data on a disk of their own.
    #[must_use]
    pub fn disk(mut self, bytes: u64) -> Self {
        self.disk_bytes = Some(bytes);
        self
    }

    /// Adds a variable of the control plane, such as `GANTRY_LIMITS_FILE_BYTES_MAX`.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A tenant with one environment.
#[derive(Debug)]
pub struct Project {
    /// The tenant.
    pub tenant: String,
    /// The environment.
    pub environment: String,
    /// The command line with the tenant's admin token.
    pub admin: Gantry,
    /// The token that its gateways start with.
    pub gateway_token: String,
}

impl Stage {
    /// Starts a control plane in a temporary folder, on the storage that the environment says.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start() -> Result<Self> {
        Self::start_with(&StageOptions::from_environment()?)
    }

    /// Starts a control plane in a temporary folder.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start_with(options: &StageOptions) -> Result<Self> {
        let temporary = tempfile::Builder::new().prefix("gantry-stage-").tempdir()?;
        let folder = temporary.path().to_owned();
        Ok(Self {
            _temporary: Some(temporary),
            ..Self::start_in(&folder, options)?
        })
    }

    /// Starts a control plane in a folder that stays.
    ///
    /// # Errors
    /// It does not come up, or the folder was used before.
    pub fn start_in(folder: &Path, options: &StageOptions) -> Result<Self> {
        let home = folder.join("control-plane");
        let s3 = match options.storage {
            Storage::Local => None,
            remote => Some(S3Server::start(remote, &folder.join("s3"))?),
        };
        let options = ControlPlaneOptions {
            bucket: s3
                .as_ref()
                .map(|server| server.bucket().clone())
                .or_else(|| options.bucket.clone()),
            variables: options.variables.clone(),
            under: Vec::new(),
            disk_bytes: options.disk_bytes,
        };
        let token = ControlPlane::bootstrap(&home).context("make the first token")?;
        let control_plane = ControlPlane::start_with(&home, &options)?;
        let operator = Gantry::new(&control_plane.endpoint(), &token, "");
        Ok(Self {
            control_plane,
            operator,
            s3,
            folder: folder.to_owned(),
            _temporary: None,
        })
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Creates a tenant with one environment and a gateway token.
    ///
    /// # Errors
    /// Any of it is refused.
    pub fn project(&self, tenant: &str, environment: &str) -> Result<Project> {
        let created = self.operator.json(&["tenant", "create", tenant])?;
        let token = text(&created, "admin_token")?;
        let admin = self.operator.with_token(&token).in_environment(environment);
        admin.json(&["env", "create", environment])?;
        let gateway_token = create_token(&admin, &["--right", "gateway", "--env", environment])?;
        Ok(Project {
            tenant: tenant.to_owned(),
            environment: environment.to_owned(),
            admin,
            gateway_token,
        })
    }

    /// Starts a gateway of a project; its folder is named after it.
    ///
    /// # Errors
    /// It does not come up.
    pub fn gateway(&self, project: &Project, options: &GatewayOptions) -> Result<Gateway> {
        Gateway::start(
            &self.folder,
            &self.control_plane.endpoint(),
            &project.gateway_token,
            options,
        )
    }

    /// Starts a gateway under a name and a version, and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn ready_gateway(&self, project: &Project, id: &str, version: &str) -> Result<Gateway> {
        let options = GatewayOptions {
            id: id.to_owned(),
            version: Some(version.to_owned()),
            ..GatewayOptions::default()
        };
        let mut gateway = self.gateway(project, &options)?;
        gateway.wait_ready()?;
        Ok(gateway)
    }
}

/// Creates a token and gives its secret.
///
/// # Errors
/// It is refused.
pub fn create_token(admin: &Gantry, arguments: &[&str]) -> Result<String> {
    let arguments: Vec<_> = ["token", "create"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    text(&admin.json(&arguments)?, "secret")
}

/// A text field of what the command line printed.
///
/// # Errors
/// There is none.
pub fn text(value: &Value, name: &str) -> Result<String> {
    value[name]
        .as_str()
        .map(ToOwned::to_owned)
        .with_context(|| format!("no {name} in {value}"))
}
