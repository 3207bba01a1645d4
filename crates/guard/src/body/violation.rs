//! What is not as the protocol wants it, as GA4's validation server says it.

use core::fmt;

use serde::Serialize;

use super::ambiguity::{Ambiguity, Unreadable};
use super::rules::{Rule, ValidationCode, limits};

/// One broken rule.
///
/// The path is the one GA4 is known to answer (`events` for an event's name, `client_id`,
/// `timestamp_micros`, none for an unknown field); where its answer is not known, it is the exact
/// path of the member, in the protocol's spelling: `events[0].params.currency`.
///
/// Path and description may repeat what the sender wrote: they are for the sender, not for a log or
/// a label. [`Rule::label`] is for those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// Where, if GA4 would say.
    pub field_path: Option<String>,
    /// What is wrong, in GA4's words where they are known.
    pub description: String,
}

impl Violation {
    /// GA4's code for it.
    #[must_use]
    pub const fn code(&self) -> ValidationCode {
        self.rule.code()
    }
}

impl From<Unreadable> for Violation {
    fn from(unreadable: Unreadable) -> Self {
        let rule = match unreadable.ambiguity {
            Ambiguity::DuplicateKey => Rule::DuplicateKey,
            _ => Rule::Unreadable,
        };
        let description = format!(
            "Unable to parse Measurement Protocol JSON payload. In the gate's words: {unreadable}."
        );
        Self { rule, field_path: None, description }
    }
}

/// GA4's answer to `/debug/mp/collect`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Messages<'a> {
    validation_messages: Vec<Message<'a>>,
}

/// One violation in that shape.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    field_path: Option<&'a str>,
    description: &'a str,
    validation_code: &'static str,
}

impl<'a> From<&'a Violation> for Message<'a> {
    fn from(violation: &'a Violation) -> Self {
        Self {
            field_path: violation.field_path.as_deref(),
            description: &violation.description,
            validation_code: violation.code().label(),
        }
    }
}

/// The violations in the shape of GA4's validation server; none of them is an empty list.
#[must_use]
pub fn validation_messages(violations: &[Violation]) -> Vec<u8> {
    let validation_messages = violations.iter().map(Message::from).collect();
    let messages = Messages { validation_messages };
    serde_json::to_vec(&messages).unwrap_or_default()
}

/// The same as a list of its own.
pub(crate) fn messages(violations: &[Violation]) -> Vec<u8> {
    let messages: Vec<_> = violations.iter().map(Message::from).collect();
    serde_json::to_vec(&messages).unwrap_or_default()
}

/// The violations of a body, up to the limit.
#[derive(Default)]
pub(super) struct Violations {
    list: Vec<Violation>,
    cut: bool,
}

impl Violations {
    pub(super) fn push(
        &mut self,
        rule: Rule,
        description: fmt::Arguments<'_>,
        field_path: impl FnOnce() -> Option<String>,
    ) {
        if self.list.len() >= limits::VIOLATIONS_MAX {
            self.cut = true;
            return;
        }
        let violation =
            Violation { rule, field_path: field_path(), description: description.to_string() };
        self.list.push(violation);
    }

    pub(super) fn into_parts(self) -> (Vec<Violation>, bool) {
        (self.list, self.cut)
    }
}

/// A sender's text, cut to what an answer has room for.
pub(super) struct Cut<'a>(pub(super) &'a str);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(limits::QUOTED_CHARACTERS_MAX) {
            Some((end, _)) => write!(out, "{}\u{2026}", self.0.get(..end).unwrap_or_default()),
            None => out.write_str(self.0),
        }
    }
}
