//! One file per verb.

mod api;
mod build;
mod bundle;
mod deploy;
mod env;
mod explain;
mod gateways;
mod get;
mod import;
mod key;
mod list;
mod pins;
mod pull;
mod push;
mod release;
mod rollout;
mod tenant;
mod token;
mod unyank;
mod versions;
mod whoami;
mod yank;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CliError;

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build a plugin from its source for every gateway version and platform; needs no control plane.
    Build(build::Build),
    /// Look at a bundle or a library, or pack a folder into a zip; needs no control plane.
    #[command(subcommand)]
    Bundle(bundle::Bundle),
    /// Make API definitions from those of other gateways; needs no control plane.
    #[command(subcommand)]
    Import(import::Import),
    /// Upload a bundle and publish it.
    Push(push::Push),
    /// Show the bundles of the tenant.
    List(list::List),
    /// Show the versions of a bundle.
    Versions(versions::Versions),
    /// Show a published version with its files.
    Get(get::Get),
    /// Download a published version into a folder or a zip.
    Pull(pull::Pull),
    /// Withdraw a version: what runs goes on, nothing new deploys it.
    Yank(yank::Yank),
    /// Take a yank back.
    Unyank(unyank::Unyank),
    /// Run a published version of a bundle in an environment.
    Deploy(deploy::Deploy),
    /// Show which version of which bundle runs in an environment.
    Pins(pins::Pins),
    /// API definitions of an environment.
    #[command(subcommand)]
    Api(api::Api),
    /// Consumer keys of an environment.
    #[command(subcommand)]
    Key(key::Key),
    /// Show the gateways of an environment and what each of them runs.
    Gateways(gateways::Gateways),
    /// Show why an API runs what it runs on a gateway: every candidate, taken or passed over.
    Explain(explain::Explain),
    /// Environments of the tenant.
    #[command(subcommand)]
    Env(env::Env),
    /// Access tokens of the tenant.
    #[command(subcommand)]
    Token(token::Token),
    /// Tenants; for the operators of the control plane.
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Show whose token this is and what it may do.
    Whoami(whoami::Whoami),
}

impl Command {
    /// What follows `gantry` on the command line.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Build(_) => "build",
            Self::Bundle(_) => "bundle",
            Self::Import(_) => "import",
            Self::Push(_) => "push",
            Self::List(_) => "list",
            Self::Versions(_) => "versions",
            Self::Get(_) => "get",
            Self::Pull(_) => "pull",
            Self::Yank(_) => "yank",
            Self::Unyank(_) => "unyank",
            Self::Deploy(_) => "deploy",
            Self::Pins(_) => "pins",
            Self::Api(_) => "api",
            Self::Key(_) => "key",
            Self::Gateways(_) => "gateways",
            Self::Explain(_) => "explain",
            Self::Env(_) => "env",
            Self::Token(_) => "token",
            Self::Tenant(_) => "tenant",
            Self::Whoami(_) => "whoami",
        }
    }
}

/// Runs a command to its end.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::Build(command) => build::run(command, context),
        Command::Bundle(command) => bundle::run(command, context),
        Command::Import(command) => import::run(command, context),
        Command::Push(command) => push::run(command, context).await,
        Command::List(command) => list::run(command, context).await,
        Command::Versions(command) => versions::run(command, context).await,
        Command::Get(command) => get::run(command, context).await,
        Command::Pull(command) => pull::run(command, context).await,
        Command::Yank(command) => yank::run(command, context).await,
        Command::Unyank(command) => unyank::run(command, context).await,
        Command::Deploy(command) => deploy::run(command, context).await,
        Command::Pins(command) => pins::run(command, context).await,
        Command::Api(command) => api::run(command, context).await,
        Command::Key(command) => key::run(command, context).await,
        Command::Gateways(command) => gateways::run(command, context).await,
        Command::Explain(command) => explain::run(command, context).await,
        Command::Env(command) => env::run(command, context).await,
        Command::Token(command) => token::run(command, context).await,
        Command::Tenant(command) => tenant::run(command, context).await,
        Command::Whoami(command) => whoami::run(command, context).await,
    }
}
