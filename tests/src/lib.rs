//! The stage: everything an end-to-end test or the demo needs, all of it real. Control plane and
//! gateways are the built binaries as processes of their own, plugins are compiled libraries, requests
//! travel over loopback. The stage asserts nothing; it starts, steers and stops.
//!
//! Invariant: what a [`Stage`] started is gone when it is dropped, also when a test panics.

pub mod binaries;
pub mod cli;
pub mod collector;
pub mod control_plane;
pub mod extent;
pub mod fault_proxy;
pub mod gateway;
pub mod load;
pub mod module_proxy;
pub mod plugins;
pub mod ports;
pub mod process;
pub mod relay;
pub mod scrape;
mod server;
pub mod small_disk;
pub mod stage;
pub mod storage;
pub mod strace;
pub mod upstream;
pub mod web;
pub mod wire;

pub use cli::{Gantry, Outcome};
pub use collector::Collector;
pub use control_plane::ControlPlane;
pub use extent::full;
pub use fault_proxy::{Fault, FaultProxy};
pub use gateway::{Gateway, GatewayOptions};
pub use load::{Load, LoadReport};
pub use module_proxy::{Module, ModuleProxy};
pub use scrape::Scrape;
pub use stage::{Project, Stage, StageOptions};
pub use storage::{Bucket, S3Server, Storage};
pub use upstream::Upstream;
pub use web::{Answer, Request};
