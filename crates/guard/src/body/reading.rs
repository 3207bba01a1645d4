//! The state of one reading: where it is, what it has seen, what it has found wrong.

use core::fmt;
use std::borrow::Cow;

use super::StreamKind;
use super::ambiguity::Ambiguity;
use super::json::{Json, Stop};
use super::key::Key;
use super::rules::{Rule, limits};
use super::violation::{Cut, Violations};

/// One step from the body's root to a value.
#[derive(Clone, Debug)]
pub(super) enum Step<'de> {
    /// A field of a message.
    Field(&'static str),
    /// A name that the sender chose.
    Name(Cow<'de, str>),
    /// An element of a list.
    Index(usize),
}

/// Where a violation is.
#[derive(Clone, Copy)]
pub(super) enum At<'n> {
    /// GA4 names no field for it.
    Nowhere,
    /// The field that GA4 is known to name for it.
    Coarse(&'static str),
    /// Right here.
    Here,
    /// At this member of the object being read.
    Member(&'n str),
}

/// The state of one reading.
pub(super) struct Reading<'de> {
    pub(super) json: Json<'de>,
    pub(super) stream: StreamKind,
    pub(super) now: u64,
    pub(super) path: Vec<Step<'de>>,
    /// The names seen in the objects that are open; see [`super::walk`].
    pub(super) names: Vec<(Key, Cow<'de, str>)>,
    pub(super) violations: Violations,
    depth: usize,
}

impl<'de> Reading<'de> {
    pub(super) fn new(text: &'de str, stream: StreamKind, now: u64) -> Self {
        Self {
            json: Json::new(text),
            stream,
            now,
            path: Vec::new(),
            names: Vec::new(),
            violations: Violations::default(),
            depth: 0,
        }
    }

    /// Goes one list or object down, and tells where its names start in the arena.
    pub(super) fn enter(&mut self) -> Result<usize, Stop> {
        if self.depth >= limits::DEPTH_MAX {
            return Err(self.json.stop(Ambiguity::TooDeep));
        }
        self.depth = self.depth.saturating_add(1);
        Ok(self.names.len())
    }

    /// Comes back up, and forgets the names.
    pub(super) fn leave(&mut self, base: usize) {
        self.names.truncate(base);
        self.depth = self.depth.saturating_sub(1);
    }

    /// Notes a violation.
    pub(super) fn violate(&mut self, rule: Rule, at: At<'_>, description: fmt::Arguments<'_>) {
        let path = &self.path;
        self.violations.push(rule, description, || match at {
            At::Nowhere => None,
            At::Coarse(field) => Some(field.to_owned()),
            At::Here => Some(written(path, None)),
            At::Member(name) => Some(written(path, Some(name))),
        });
    }

    /// Notes a value of a wrong type.
    pub(super) fn wrong_type(&mut self, at: At<'_>, expected: &str) {
        self.violate(Rule::WrongType, at, format_args!("The value has to be {expected}."));
    }

    /// Notes a member that the protocol does not know. There may be thousands: what is not kept is not written.
    pub(super) fn unknown_member(&mut self, name: &str) {
        let (place, name) = (Place(&self.path), Cut(name));
        let description = format_args!(
            "Unable to parse Measurement Protocol JSON payload. {place}{name}: Cannot find field."
        );
        self.violations.push(Rule::UnknownMember, description, || None);
    }

    /// The index of the event being read.
    pub(super) fn event_index(&self) -> usize {
        match self.path.as_slice() {
            [Step::Field("events"), Step::Index(index), ..] => *index,
            _ => 0,
        }
    }
}

/// Where a member stands that has no path of its own; nothing for the root.
struct Place<'a, 'de>(&'a [Step<'de>]);

impl fmt::Display for Place<'_, '_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(out, "({}) ", written(self.0, None)) }
    }
}

/// A path as GA4 writes one: `events[0].params.currency`.
fn written(path: &[Step<'_>], member: Option<&str>) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Field(name) => push_name(&mut text, name),
            Step::Name(name) => push_name(&mut text, name),
            Step::Index(index) => {
                text.push('[');
                text.push_str(&index.to_string());
                text.push(']');
            }
        }
    }
    if let Some(name) = member {
        push_name(&mut text, name);
    }
    text
}

fn push_name(text: &mut String, name: &str) {
    if !text.is_empty() {
        text.push('.');
    }
    text.push_str(&Cut(name).to_string());
}
