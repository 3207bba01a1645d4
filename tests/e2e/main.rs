//! End to end: a real Envoy 1.40.0 with the shipped configurations and the release module, the
//! control service, a collector. Each part says what it proves; what a test needs is started and
//! stopped by `mpgate-testbed`.

mod accounts;
mod admit;
mod answers;
mod body;
mod browsers;
mod canary;
mod clients;
mod connections;
mod costs;
mod credentials;
mod dashboards;
mod doctor;
mod grants;
mod hostile;
mod metrics;
mod modes;
mod paths;
mod rates;
mod refuse;
mod replicas;
mod senders;
mod shared;
mod sidecar;
mod silence;
mod soak;
mod sync;
mod terms;
mod tripwire;
