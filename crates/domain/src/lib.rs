//! The words of Gantry and its pure rules.
//!
//! Everything here is a value or a function of values: no I/O, no async, no clock of its own. Both
//! planes and the command line use these rules, so an API definition means the same everywhere.
//! Types carry no serialisation derives: wire, file and row each have their own shape and convert at
//! their own edge. The JSON documents that *are* the product's words (manifest, API definition,
//! release, revision) are read and written here, by hand, because their field-level refusals are
//! rules too.

pub mod digest;
pub mod id;
pub mod platform;
pub mod version;

pub mod hook;
pub mod inline;
pub mod note;
pub mod target;

pub mod json;
pub mod middleware;

pub mod api_definition;
pub mod endpoint;
pub mod manifest;
pub mod openapi;
pub mod release;
pub mod session;
pub mod session_rules;
pub mod yank;

pub mod admission;
pub mod plan;
pub mod resolution;
pub mod revision;

pub mod clock;
pub mod limits;
pub mod rights;

pub use api_definition::{ApiDefinition, Authentication};
pub use clock::{Clock, SystemClock, Timestamp};
pub use digest::Digest;
pub use endpoint::{EndpointEntry, PathPattern};
pub use hook::{Hook, HookSet};
pub use id::{
    ApiId, BundleName, EnvironmentName, FileName, FunctionName, GatewayId, KeyId, TenantId,
    TokenId, UploadId,
};
pub use inline::Inline;
pub use json::{FieldError, FieldWarning};
pub use limits::Limits;
pub use manifest::Manifest;
pub use middleware::{HookEntry, Middleware};
pub use note::{FunctionFlag, NotedFunction, PluginNote};
pub use openapi::OpenApi;
pub use platform::{Arch, Os, Platform};
pub use release::{Artifact, Release};
pub use revision::{Pin, Revision, RevisionDelta};
pub use rights::{Right, RightSet};
pub use session_rules::{SessionFacts, SessionRefusal, SessionRules};
pub use target::{AbiVersion, GatewayProfile, LibcVersion, Target};
pub use version::{BundleVersion, GatewayVersion};
pub use yank::Yank;
