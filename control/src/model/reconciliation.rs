//! Completeness: what a backend says it sent in a day, and what the gates counted of it.

use mpgate_contract::{ConsumerId, StreamId};
use serde::{Deserialize, Serialize};

use super::Seconds;
use crate::names::PrincipalId;

/// The seconds of a day.
pub const DAY_SECONDS: Seconds = 24 * 60 * 60;

/// What belongs together: posted again, a day of a sender and a stream is replaced as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SenderDay {
    /// Who sent.
    pub sender: String,
    /// To which stream.
    pub stream: StreamId,
    /// When the day begins, in UTC.
    pub day: Seconds,
}

/// A backend's own total of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// Which day of whom.
    pub of: SenderDay,
    /// Which event.
    pub event: String,
    /// How many.
    pub count: i64,
    /// Their values in millionths, by currency.
    pub values: Vec<(String, i64)>,
}

/// How far a total can be held against what the gates counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The gates counted this event by its name.
    Measured,
    /// They did, and there were requests or events that may belong to it and were not counted by name: the gap
    /// is the largest that it can be.
    Partly,
    /// They accepted requests and read no body: nothing is known of events.
    BodiesNotRead,
    /// They counted it as `other`, or under a pattern: it cannot be told apart.
    EventNotNamed,
}

impl Measure {
    /// The word for it in the database.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Partly => "partly_measured",
            Self::BodiesNotRead => "bodies_not_read",
            Self::EventNotNamed => "event_not_named",
        }
    }

    /// Reads [`Measure::label`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Measured, Self::Partly, Self::BodiesNotRead, Self::EventNotNamed]
            .into_iter()
            .find(|measure| measure.label() == text)
    }
}

/// What events of one currency were worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueTotal {
    /// Its code, or `other`.
    pub currency: String,
    /// What the backend says, in millionths.
    pub micros: i64,
    /// What the gates counted; none where they did not tell the currency apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate_micros: Option<i64>,
}

/// A total beside what the gates had counted when it was posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    /// Whose.
    pub consumer: ConsumerId,
    /// Which day of whom.
    pub of: SenderDay,
    /// Which event.
    pub event: String,
    /// How many, says the backend.
    pub count: i64,
    /// How far the gates can tell.
    pub measure: Measure,
    /// How many, say the gates; none where they cannot tell.
    pub gate_count: Option<i64>,
    /// What they were worth, by currency.
    pub values: Vec<ValueTotal>,
    /// Who posted it.
    pub principal: PrincipalId,
    /// When.
    pub reconcile_time: Seconds,
}

impl Reconciliation {
    /// Which part of the backend's events the gates counted; more than 1 where they counted more. None where
    /// nobody can tell.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people and alerts")]
    pub fn completeness(&self) -> Option<f64> {
        match (self.gate_count?, self.count) {
            (0, 0) => Some(1.0),
            (_, 0) => None,
            (counted, posted) => Some(counted as f64 / posted as f64),
        }
    }
}
