//! The decision. What a request claims, what the allowlist knows of it, what is therefore true, and
//! what is done about it: four steps, each a value.
//!
//! ```text
//! Request -> Claim -> (digest -> Record) -> Verdict -> Action
//! ```
//!
//! No clock, no log, no host: time, the allowlist and the shared data come in as arguments. Whatever
//! a client sends, nothing here panics.

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

mod answer;
mod body;
mod claim;
mod decide;
mod decision;
mod freshness;
mod inline;
mod inspection;
mod judge;
mod labels;
mod list;
mod path;
mod policy;
mod polling;
mod query;
mod reason;
pub mod series;
mod settings;
mod status;
mod sync;
mod table;
mod target;
mod trace;
mod unknown;
mod usage;

pub use answer::{Answer, keeps_response_header};
pub use body::limits::BODY_BYTES_MAX;
pub use body::{
    Ambiguity, Body, Event, Money, Rule, StreamKind, Unreadable, ValidationCode, Violation,
    limits as body_limits, recommended as recommended_event, validation_messages,
};
pub use claim::{Claim, Request, is_own_header};
pub use decide::{Ruling, decide};
pub use decision::{Action, Decision, Forward, Outcome, Seen, Told, VerdictWord};
pub use freshness::{Availability, Freshness, SEEN_BY_ALL_MILLISECONDS, is_look_due};
pub use inline::{Inline, InlineFacts};
pub use inspection::Arrival;
pub use judge::{Known, Peer, Standing};
pub use labels::{EVENT_LABELS_MAX, Labels, STREAM_LABELS_MAX};
pub use list::{AllowList, Applied, SharedData, SwapError, Swept};
pub use policy::Policy;
pub use polling::{Attempt, Lease, backoff_milliseconds, receipt_headers};
pub use reason::{Class, Reason};
pub use settings::{
    Control, Credentials, Pollers, Serve, Settings, SettingsError, UnknownPaths, WhenStale,
};
pub use status::{READY_PATH, STATUS_PATH, Status, Summary, Tally, status_answer};
pub use sync::{Next, Offer, Origin, Phase, SyncState};
pub use table::{BUCKETS, Bucket, Corrupt, Record, Stamp, Update, bucket_of};
pub use target::Target;
pub use unknown::UnknownSecrets;
pub use usage::{Heard, USAGE_PATH, Usage};

/// What a grant or a stream may `require` and this version honours.
pub const CAPABILITIES: &[&str] = &[
    mpgate_contract::EVENTS,
    mpgate_contract::SOURCE_NETWORKS,
    mpgate_contract::CERTIFICATE_NAMES,
];

/// Whether this version honours all that a grant or a stream requires.
fn supports(requires: &[String]) -> bool {
    requires.iter().all(|need| CAPABILITIES.contains(&need.as_str()))
}
