//! The real program over real sockets: each test starts `mpgate serve` with a database of its own.

mod access;
mod bad_input;
mod command_line;
mod feed;
mod grants;
mod grpc;
mod harness;
mod life;
mod old_database;
mod openapi;
mod resources;
mod schema;
mod transport;
