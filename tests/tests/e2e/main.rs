//! End-to-end tests: real control planes, gateways, plugins and upstreams, steered as users steer them.
#![expect(clippy::unwrap_used, reason = "a test may stop where it fails")]

mod documents;
mod lab;
mod workbench;

mod seed_rules;

mod catalog;
mod delivery;
mod durability;
mod layout;
mod object_storage;
mod publishing;
mod rollout;
mod swaps;
mod upgrades;

mod bodies;
mod endpoints;
mod failing_plugins;
mod go_bodies;
mod go_http;
mod go_sdk;
mod go_tyk_packages;
mod golang;
mod import;
mod inline;
mod keys;
mod languages;
mod last_known_good;
mod loading;
mod many_libraries;
mod pending_rust;
mod sessions;
mod workers;

mod arm64;
mod build;
mod build_modules;
mod build_refusals;
mod build_tyk;

mod metrics;
mod observability;
mod readme;
mod standalone;
mod stock_client;
mod tenancy;
mod traces;
mod traces_delivery;
