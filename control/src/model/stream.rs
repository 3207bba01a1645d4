//! Data streams.

use mpgate_contract::{Mode, State, Stream, UpstreamSecret};

use super::Seconds;

/// A stream: what the gate is told of it, and what only people need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// What the gate is told.
    pub stream: Stream,
    /// For people.
    pub display_name: String,
    /// `revoked` once it is deleted.
    pub state: State,
    /// Its last change.
    pub revision: u64,
    /// When it came.
    pub create_time: Seconds,
    /// When it last changed.
    pub update_time: Seconds,
}

/// What of a stream may be changed. `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamPatch {
    /// For people.
    pub display_name: Option<String>,
    /// `Some(None)` gives the stream back to the gate's default.
    pub mode: Option<Option<Mode>>,
    /// `Some(None)` gives the stream back to the gate's default.
    pub protocol_rules: Option<Option<Mode>>,
    /// `Some(None)` gives the stream back to the gate's default.
    pub silent: Option<Option<bool>>,
    /// Which secret the upstream is sent.
    pub upstream_secret: Option<UpstreamSecret>,
}

impl StreamPatch {
    /// The stream with the patch on it.
    #[must_use]
    pub fn apply(self, old: &StreamRecord) -> StreamRecord {
        let mut new = old.clone();
        let stream = &mut new.stream;
        stream.mode = self.mode.unwrap_or(stream.mode);
        stream.protocol_rules = self.protocol_rules.unwrap_or(stream.protocol_rules);
        stream.silent = self.silent.unwrap_or(stream.silent);
        if let Some(policy) = self.upstream_secret {
            stream.upstream_secret = policy;
        }
        if let Some(display_name) = self.display_name {
            new.display_name = display_name;
        }
        new
    }
}
