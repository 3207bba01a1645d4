//! What the gate and the control service agree on, byte for byte: the format and digest of a
//! secret, names, allowlist entries, change pages, and the limits of each.
//!
//! No I/O, no clock, no randomness: values in, values out. Both sides run this code, so a page that
//! control can write is a page that the gate can read.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::string_slice
    )
)]

mod base62;
mod digest;
mod entry;
mod event;
pub mod limits;
mod name;
mod network;
mod page;
mod secret;
mod text;
mod usage;

pub use digest::{Digest, DigestError};
pub use entry::{
    CERTIFICATE_NAMES, EVENTS, Environment, Grant, Mode, SOURCE_NETWORKS, State, Stream,
    UpstreamSecret, UpstreamSecretError,
};
pub use event::EventPattern;
pub use name::{
    CertificateName, ConsumerId, EnvName, KeyId, NameError, SenderName, StreamId, UNKNOWN,
};
pub use network::Network;
pub use page::{Ask, KeyEntry, Page, PageFault, StreamEntry};
pub use secret::{Secret, SecretShape, issue};
pub use usage::{
    Count, EventCount, HOUR_SECONDS, KeyUsage, OTHER, ReportFault, UsageReport, Value, is_currency,
};
