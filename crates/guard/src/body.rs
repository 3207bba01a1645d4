//! A Measurement Protocol body, read in one pass as proto3 JSON reads it, and judged by the
//! protocol's rules on the way.
//!
//! ```text
//! bytes -> (walk: one reading or none) -> Body { events, violations }
//! ```
//! A body has one reading or it has none. What two parsers could take for two things is an
//! [`Ambiguity`] and stops the reading: nothing of such a body counts. What has one reading and is
//! not what the protocol allows is a [`Violation`] and does not stop it.
//!
//! proto3 JSON: a name may be `snake_case` or `lowerCamelCase`, an integer a number or a string, a
//! repeated field a list or one value; `null` is absent; the order of names means nothing.
//!
//! No tree is built and nothing is copied but text that has escapes in it. Every object's names are
//! compared with each other, those too that the protocol does not know: nowhere can a second
//! meaning hide. This room knows no mode, no grant and no content type, and never answers anybody.

mod ambiguity;
mod event;
mod field;
mod json;
mod key;
mod money;
mod params;
mod reading;
mod request;
mod rules;
mod scalar;
mod user;
mod violation;
mod walk;

use std::borrow::Cow;

pub use ambiguity::{Ambiguity, Unreadable};
pub use money::Money;
pub use rules::names::recommended;
pub use rules::{Rule, ValidationCode, limits};
pub(crate) use violation::messages;
pub use violation::{Violation, validation_messages};

use reading::Reading;
use request::Request;

/// What kind of stream a body is for: it decides which id it must bring and which events it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// Named by `measurement_id`.
    Web,
    /// Named by `firebase_app_id`.
    App,
}

/// A body that has exactly one reading.
#[derive(Debug)]
pub struct Body<'a> {
    events: Vec<Event<'a>>,
    violations: Vec<Violation>,
    violations_cut: bool,
}

/// One event of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its name; `None` if it has none that is text. No grant covers an event without a name.
    pub name: Option<Cow<'a, str>>,
    /// What it is worth, if it says so with a currency.
    pub money: Option<Money>,
    /// When it happened, Unix seconds, if it or its body says so.
    pub time: Option<u64>,
}

impl<'a> Body<'a> {
    /// Reads a body for a stream of this kind. `now` is Unix time in seconds.
    ///
    /// # Errors
    /// The body has no reading, or more than one.
    pub fn read(bytes: &'a [u8], stream: StreamKind, now: u64) -> Result<Self, Unreadable> {
        let text = ambiguity::text(bytes)?;
        let mut reading = Reading::new(text, stream, now);
        let mut request = Request::default();
        if reading.document(&mut request).is_err() {
            return Err(reading.json.fault());
        }
        if !request.is_object {
            return Err(Unreadable { ambiguity: Ambiguity::NotAnObject, byte: 0 });
        }
        request.check(&mut reading, bytes.len());
        request.events.date(request.time);
        let (violations, violations_cut) = reading.violations.into_parts();
        Ok(Self { events: request.events.list, violations, violations_cut })
    }

    /// The events, in order. Whatever stands where an event should is one, if need be without a name.
    #[must_use]
    pub fn events(&self) -> &[Event<'a>] {
        &self.events
    }

    /// What is not as the protocol wants it, in the order of the body; at most
    /// [`limits::VIOLATIONS_MAX`].
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Whether there were more violations than are listed.
    #[must_use]
    pub fn violations_cut(&self) -> bool {
        self.violations_cut
    }
}

#[cfg(test)]
mod tests;
