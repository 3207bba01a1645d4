//! Who takes part when control is measured: the service as a process, its HTTP clients, and what its database holds.

pub(crate) mod client;
pub(crate) mod control;
pub(crate) mod seed;
