//! What of a body a decision needs to know.

use crate::{Body, Event, Reason, StreamKind, Unreadable, Violation, validation_messages};

/// How much of a body is here.
#[derive(Clone, Copy)]
pub enum Arrival<'b> {
    /// It is still coming.
    Coming,
    /// All of it; empty if there is none.
    Whole(&'b [u8]),
    /// More than [`crate::BODY_BYTES_MAX`] bytes, and no end of it.
    TooLarge,
}

/// A body, looked into.
pub(crate) struct Inspection<'b>(Result<Body<'b>, Unreadable>);

impl<'b> Inspection<'b> {
    pub(crate) fn of(bytes: &'b [u8], stream: StreamKind, now: u64) -> Self {
        Self(Body::read(bytes, stream, now))
    }

    /// Why it has no single reading.
    pub(crate) fn unreadable(&self) -> Option<&Unreadable> {
        self.0.as_ref().err()
    }

    /// Its events; none if it cannot be read.
    pub(crate) fn events(&self) -> &[Event<'b>] {
        self.0.as_ref().map(Body::events).unwrap_or_default()
    }

    /// The place of the first event that is not `granted`; one without a name never is.
    pub(crate) fn first_event_not(&self, granted: impl Fn(&str) -> bool) -> Option<usize> {
        self.events().iter().position(|event| !event.name.as_deref().is_some_and(&granted))
    }

    /// Which of the protocol's rules it breaks.
    pub(crate) fn violations(&self) -> &[Violation] {
        self.0.as_ref().map(Body::violations).unwrap_or_default()
    }

    /// What is wrong with it, if anything is.
    pub(crate) fn reason(&self) -> Option<Reason> {
        match &self.0 {
            Err(_) => Some(Reason::BodyUnreadable),
            Ok(body) if body.violations().is_empty() => None,
            Ok(_) => Some(Reason::ProtocolViolation),
        }
    }

    /// What GA4's validation server would say of it.
    pub(crate) fn validation_messages(&self) -> Vec<u8> {
        match &self.0 {
            Ok(body) => validation_messages(body.violations()),
            Err(unreadable) => validation_messages(&[Violation::from(*unreadable)]),
        }
    }
}
