//! The control service: who may send with which secret, told to every gate as one list of changes.
//!
//! `api` speaks HTTP, `store` remembers, `keys` issues secrets, `changes` builds the pages that a
//! gate reads; `serve` puts them behind a socket, and `cli` is the operator's side of the same API.

mod api;
mod changes;
pub mod cli;
pub mod failures;
mod grpc;
pub mod keys;
mod listener;
mod metrics;
pub mod model;
pub mod names;
mod private_file;
mod problem;
pub mod serve;
pub mod service;
pub mod store;
mod text;
mod time;
pub mod tls;
mod traces;

pub use api::paths as http_paths;
