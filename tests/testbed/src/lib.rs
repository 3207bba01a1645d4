//! Starts real Envoys, controls and collectors as child processes, on free ports, and ends them.
//!
//! Envoy runs the *shipped* configuration with other addresses, and the release module. Nothing here
//! stands in for either. The end-to-end tests and `cargo xtask demo` use the same [`Stack`].

pub mod artifacts;
pub mod collector;
pub mod config;
pub mod control;
pub mod dashboards;
pub mod debian;
pub mod discovery;
pub mod envoy;
pub mod hosts;
pub mod http1;
#[cfg(feature = "http2")]
pub mod http2;
mod leftovers;
pub mod message;
pub mod metrics;
pub mod poll;
pub mod port;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod python;
pub mod replicas;
mod secret_file;
pub mod series;
pub mod sidecar;
mod skip;
pub mod soak;
pub mod stack;
#[cfg(feature = "tls")]
pub mod tls;
pub mod toolchain;
pub mod upstream;
pub mod watched;

pub use collector::Collector;
pub use config::EnvoyConfig;
pub use control::{Control, IssuedKey};
pub use envoy::Envoy;
pub use leftovers::directory;
pub use message::{Request, Response};
pub use metrics::Metrics;
pub use prometheus::Prometheus;
pub use skip::skip;
pub use stack::Stack;
pub use upstream::{Answer, Upstream};
