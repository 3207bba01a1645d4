//! How many of each there may be. The contract's own limits, of what a gate can hold, stand beside
//! these.

use mpgate_contract::limits;

/// How many there may be, those that are deleted or revoked left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tenants of one control.
    pub consumers_max: usize,
    /// A gate keeps each stream compiled in every worker.
    pub streams_max: usize,
    /// Measured on one gateway.
    pub keys_max: usize,
    /// Each sender is a label of the metrics, and Envoy never frees one.
    pub senders_max: usize,
    /// People and gateways that hold a token.
    pub principals_max: usize,
    /// Tokens of one principal that are in force at the same time: a rotation needs two.
    pub tokens_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            consumers_max: 10_000,
            streams_max: limits::STREAMS_MAX,
            keys_max: 100_000,
            senders_max: limits::SENDERS_MAX,
            principals_max: 10_000,
            tokens_max: 5,
        }
    }
}
