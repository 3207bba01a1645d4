//! Each way around the gate that the native filter behind it must catch. Nothing reaches the upstream,
//! and whoever asked gets an answer at once.

pub(crate) mod capabilities;
mod clients;
mod flag;
mod modules;
mod routes;
mod traps;
pub(crate) mod way;
