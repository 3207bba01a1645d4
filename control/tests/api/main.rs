//! The real program over real sockets: each test starts `mpgate serve` with a database of its own.

mod access;
mod bad_input;
mod command_line;
mod feed;
mod harness;
mod life;
mod resources;
mod schema;
