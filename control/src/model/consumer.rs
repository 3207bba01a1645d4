//! Measurement consumers.

use mpgate_contract::ConsumerId;

use super::Seconds;

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The `{mc}` of `measurementConsumers/{mc}`; never given out twice.
    pub id: ConsumerId,
    /// For people.
    pub display_name: String,
    /// Counts its changes, from 1.
    pub version: u64,
    /// When it came.
    pub create_time: Seconds,
    /// When it was deleted.
    pub delete_time: Option<Seconds>,
}
