//! Use of keys: what the gates counted, and what is asked of it.

use mpgate_contract::{ConsumerId, KeyId, StreamId};

use super::Seconds;

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Requests accepted.
    Accepted,
    /// Requests refused, by reason.
    Refused,
    /// Requests that enforcement would have refused, by reason.
    DryRun,
    /// Events, by name.
    Event,
    /// Millionths, by event and currency.
    Value,
    /// Events that said when they happened.
    Timed,
    /// Seconds from then to the gate.
    Delay,
}

impl Counted {
    /// The word for it in the database.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::DryRun => "dry_run",
            Self::Event => "event",
            Self::Value => "value",
            Self::Timed => "timed",
            Self::Delay => "delay",
        }
    }

    /// Reads [`Counted::label`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Accepted,
            Self::Refused,
            Self::DryRun,
            Self::Event,
            Self::Value,
            Self::Timed,
            Self::Delay,
        ]
        .into_iter()
        .find(|it| it.label() == text)
    }
}

/// A number to add to an hour of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageCount {
    /// Which key.
    pub key: KeyId,
    /// When the hour began.
    pub hour: Seconds,
    /// Which stream, if the gate knew it.
    pub stream: Option<StreamId>,
    /// What was counted.
    pub counted: Counted,
    /// Of which name; empty where it has none.
    pub name: String,
    /// In which currency; empty where it has none.
    pub currency: String,
    /// How much.
    pub count: i64,
}

/// How long a time one sum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// All that was asked for.
    Whole,
    /// An hour.
    Hour,
    /// A day, of UTC.
    Day,
}

impl Span {
    /// Its length; of the whole, more than there can be.
    #[must_use]
    pub const fn seconds(self) -> Seconds {
        match self {
            Self::Whole => Seconds::MAX,
            Self::Hour => 60 * 60,
            Self::Day => 24 * 60 * 60,
        }
    }
}

/// Which sums are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// Whose.
    pub consumer: ConsumerId,
    /// Of this sender only.
    pub sender: Option<String>,
    /// Of this key only.
    pub key: Option<KeyId>,
    /// From the hour that this is in.
    pub start: Seconds,
    /// Hours that begin before this.
    pub end: Seconds,
    /// What one sum covers.
    pub span: Span,
    /// This many at most.
    pub limit: u32,
}

/// A sum over a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageSum {
    /// When the span began; 0 for the whole.
    pub start: Seconds,
    /// The key's sender.
    pub sender: String,
    /// Which key.
    pub key: KeyId,
    /// Which stream; empty where the gate did not know it.
    pub stream: String,
    /// What was counted.
    pub counted: Counted,
    /// Of which name.
    pub name: String,
    /// In which currency.
    pub currency: String,
    /// How much.
    pub sum: i64,
}
