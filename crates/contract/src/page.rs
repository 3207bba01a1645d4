//! The change feed: what a gate asks for, what control answers, and why an answer is not believed.
//!
//! A page covers the revisions (`from`, `to`] of one epoch. Entries are compacted: a key appears with
//! its newest state only, so revisions are sparse.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Digest, Grant, State, Stream, limits};

/// Where a gate stands: what it asks control to go on from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// The epoch it holds; empty before the first page.
    pub epoch: String,
    /// The last revision it holds.
    pub since: u64,
}

/// One page of `GET /v1/allowlist/changes`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page<'a> {
    /// One life of one database; 1 to 64 bytes.
    pub epoch: &'a str,
    /// Start over: what the gate holds is of another epoch, or ahead of this one. `from` is then 0.
    pub reset: bool,
    /// The revision asked for.
    pub from: u64,
    /// The last revision this page covers.
    pub to: u64,
    /// The newest revision there is. The gate is level with control when `to` has reached it.
    pub head: u64,
    /// Keys that changed.
    #[serde(borrow)]
    pub keys: Vec<KeyEntry<'a>>,
    /// Streams that changed.
    #[serde(borrow)]
    pub streams: Vec<StreamEntry<'a>>,
}

/// One key of the allowlist.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeyEntry<'a> {
    /// When it last changed.
    pub revision: u64,
    /// SHA-256 of the secret as presented.
    pub digest: Digest,
    /// In force, or why not.
    pub state: State,
    /// A [`Grant`]. It is kept as the very bytes control wrote, so that a newer module finds the
    /// members an older one did not know.
    #[serde(borrow)]
    pub grant: &'a RawValue,
}

/// One stream of the allowlist.
#[derive(Debug, Serialize, Deserialize)]
pub struct StreamEntry<'a> {
    /// When it last changed.
    pub revision: u64,
    /// `active`, or `revoked` once it is deleted.
    pub state: State,
    /// A [`Stream`], kept as control wrote it.
    #[serde(borrow)]
    pub stream: &'a RawValue,
}

/// Why a page is dropped. The list stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFault {
    /// Over [`limits::PAGE_BYTES_MAX`].
    TooLarge,
    /// Not the JSON of a page.
    Unreadable,
    /// An epoch's name that is empty or too long.
    BadEpoch,
    /// Another epoch than asked for, and no `reset`.
    OtherEpoch,
    /// It does not start where it was asked to.
    OtherStart,
    /// `from`, `to` and `head` do not ascend.
    Backwards,
    /// An entry's revision is outside (`from`, `to`].
    OutsideRange,
    /// A digest or a stream appears twice.
    Repeated,
    /// More entries than a page may have.
    TooManyEntries,
    /// A grant or a stream that cannot be read or exceeds a limit.
    BadEntry,
}

impl PageFault {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::TooLarge,
        Self::Unreadable,
        Self::BadEpoch,
        Self::OtherEpoch,
        Self::OtherStart,
        Self::Backwards,
        Self::OutsideRange,
        Self::Repeated,
        Self::TooManyEntries,
        Self::BadEntry,
    ];

    /// What that means, for whoever has to do something about it.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::TooLarge => "the page has more than 4 MiB",
            Self::Unreadable => "it is not the JSON of a change page",
            Self::BadEpoch => "the epoch is empty or longer than 64 bytes",
            Self::OtherEpoch => "it is of another epoch than what it follows, and no reset",
            Self::OtherStart => "it does not start where what it follows ends",
            Self::Backwards => "from, to and head do not ascend",
            Self::OutsideRange => "an entry's revision is outside of what the page covers",
            Self::Repeated => "a digest or a stream appears twice",
            Self::TooManyEntries => "it has more than 1000 entries",
            Self::BadEntry => "a grant or a stream cannot be read or exceeds a limit",
        }
    }

    /// The word for it: metric label and log word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::BadEpoch => "bad_epoch",
            Self::OtherEpoch => "other_epoch",
            Self::OtherStart => "other_start",
            Self::Backwards => "backwards",
            Self::OutsideRange => "outside_range",
            Self::Repeated => "repeated",
            Self::TooManyEntries => "too_many_entries",
            Self::BadEntry => "bad_entry",
        }
    }
}

impl<'a> Page<'a> {
    /// Reads a page that answers `ask`. Nothing of it is believed before all of it is checked.
    ///
    /// # Errors
    /// The first [`PageFault`] found.
    pub fn parse(body: &'a [u8], ask: &Ask) -> Result<Self, PageFault> {
        if body.len() > limits::PAGE_BYTES_MAX {
            return Err(PageFault::TooLarge);
        }
        let page: Self = serde_json::from_slice(body).map_err(|_| PageFault::Unreadable)?;
        page.check_range(ask)?;
        page.check_entries()?;
        Ok(page)
    }

    /// Whether it holds neither a key nor a stream, tombstones included.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.streams.is_empty()
    }

    fn check_range(&self, ask: &Ask) -> Result<(), PageFault> {
        if self.epoch.is_empty() || self.epoch.len() > limits::EPOCH_BYTES_MAX {
            return Err(PageFault::BadEpoch);
        }
        if !self.reset && self.epoch != ask.epoch {
            return Err(PageFault::OtherEpoch);
        }
        if self.from != if self.reset { 0 } else { ask.since } {
            return Err(PageFault::OtherStart);
        }
        if self.from > self.to || self.to > self.head {
            return Err(PageFault::Backwards);
        }
        Ok(())
    }

    fn check_entries(&self) -> Result<(), PageFault> {
        let entries = self.keys.len().saturating_add(self.streams.len());
        if entries > limits::PAGE_ENTRIES_MAX {
            return Err(PageFault::TooManyEntries);
        }
        let in_range = |revision: u64| revision > self.from && revision <= self.to;
        let mut digests = HashSet::with_capacity(self.keys.len());
        for key in &self.keys {
            if !in_range(key.revision) {
                return Err(PageFault::OutsideRange);
            }
            if !digests.insert(key.digest) {
                return Err(PageFault::Repeated);
            }
            key.grant()?;
        }
        let mut ids = HashSet::with_capacity(self.streams.len());
        for entry in &self.streams {
            if !in_range(entry.revision) {
                return Err(PageFault::OutsideRange);
            }
            if !ids.insert(entry.stream()?.id) {
                return Err(PageFault::Repeated);
            }
        }
        Ok(())
    }
}

impl KeyEntry<'_> {
    /// The grant, read.
    ///
    /// # Errors
    /// [`PageFault::BadEntry`] if it cannot be read or exceeds a limit.
    pub fn grant(&self) -> Result<Grant, PageFault> {
        read(self.grant, limits::GRANT_BYTES_MAX)
            .filter(Grant::within_limits)
            .ok_or(PageFault::BadEntry)
    }
}

impl StreamEntry<'_> {
    /// The stream, read.
    ///
    /// # Errors
    /// [`PageFault::BadEntry`] if it cannot be read or exceeds a limit.
    pub fn stream(&self) -> Result<Stream, PageFault> {
        read(self.stream, limits::STREAM_BYTES_MAX)
            .filter(|stream: &Stream| stream.requires.len() <= limits::REQUIRES_MAX)
            .ok_or(PageFault::BadEntry)
    }
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue, bytes_max: usize) -> Option<T> {
    let text = raw.get();
    if text.len() > bytes_max {
        return None;
    }
    serde_json::from_slice(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests;
