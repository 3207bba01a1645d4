//! The real program over real sockets: each test starts `mpgate serve` with a database of its own.

mod access;
mod administration;
mod backup;
mod bad_input;
mod command_line;
mod conformance;
mod feed;
mod feed_model;
mod grants;
mod grpc;
mod harness;
mod kills;
mod life;
mod logs;
mod metrics;
mod old_database;
mod openapi;
mod postgres;
mod reconcile;
mod resources;
mod rights;
mod schema;
mod traces;
mod transport;
mod unavailable;
mod usage;
