//! What the gate says to a sender itself, and what of an upstream's answer may reach one.

use core::fmt;
use core::fmt::Write as _;

use crate::body::messages;
use crate::inspection::Inspection;
use crate::{Reason, Unreadable, Violation};

/// A complete answer of the gate's own.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, lower case.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body.
    pub body: Vec<u8>,
}

/// Room for a problem as it usually is.
const PROBLEM_BYTES: usize = 384;

type Headers = &'static [(&'static str, &'static str)];

const JSON: Headers = &[("content-type", "application/json"), NO_STORE];
const NO_STORE: (&str, &str) = ("cache-control", "no-store");
const PROBLEM: (&str, &str) = ("content-type", "application/problem+json");

/// RFC 9110 11.6.1 wants a challenge; no registered scheme carries a secret in the query.
const CHALLENGE: (&str, &str) = ("www-authenticate", "ApiSecret realm=\"mpgate\"");

/// The headers of a problem.
const fn headers_of(status: u16) -> Headers {
    match status {
        401 => &[PROBLEM, NO_STORE, CHALLENGE],
        405 => &[PROBLEM, NO_STORE, ("allow", "POST")],
        503 => &[PROBLEM, NO_STORE, ("retry-after", "1")],
        _ => &[PROBLEM, NO_STORE],
    }
}

impl Answer {
    /// The refusal for this reason, as `application/problem+json`.
    #[must_use]
    pub fn refusal(reason: Reason) -> Self {
        Self::problem(reason, format_args!("{}", reason.detail()), &[])
    }

    /// The refusal of an event that the grant does not cover; it names the event's place, not its name.
    pub(crate) fn event_not_granted(index: usize) -> Self {
        let reason = Reason::EventNotGranted;
        Self::problem(reason, format_args!("events[{index}]: {}", reason.detail()), &[])
    }

    /// The refusal of a body that has no single reading.
    pub(crate) fn unreadable(unreadable: &Unreadable) -> Self {
        let reason = Reason::BodyUnreadable;
        Self::problem(reason, format_args!("{} Here: {unreadable}.", reason.detail()), &[])
    }

    /// The refusal of a body that breaks the protocol's rules, with each of them.
    pub(crate) fn of_body(inspection: &Inspection<'_>) -> Self {
        inspection.unreadable().map_or_else(
            || {
                let reason = Reason::ProtocolViolation;
                let detail = format_args!("{}", reason.detail());
                Self::problem(reason, detail, inspection.violations())
            },
            Self::unreadable,
        )
    }

    /// What GA4's validation server says of a body.
    pub(crate) fn validation(inspection: &Inspection<'_>) -> Self {
        Self::json(inspection.validation_messages())
    }

    /// A document of the gate's own.
    pub(crate) fn json(body: Vec<u8>) -> Self {
        Self { status: 200, headers: JSON, body }
    }

    /// A status, and nothing more to learn.
    pub(crate) fn bare(status: u16) -> Self {
        Self { status, headers: &[NO_STORE], body: Vec::new() }
    }

    /// What GA4 says to anything.
    pub(crate) const fn accepted_silently() -> Self {
        Self { status: 204, headers: &[], body: Vec::new() }
    }

    /// RFC 9457, with the members that some reasons add.
    fn problem(reason: Reason, detail: fmt::Arguments<'_>, violations: &[Violation]) -> Self {
        let (status, title, label) = (reason.status(), reason.title(), reason.label());
        let mut text = String::with_capacity(PROBLEM_BYTES);
        // A String takes everything, and none of these words has a quotation mark or a backslash.
        let _written = write!(
            text,
            r#"{{"type":"urn:x-mpgate:reason:{label}","title":"{title}","status":{status},"detail":"{detail}","reason":"{label}""#
        );
        let mut body = text.into_bytes();
        if !violations.is_empty() {
            body.extend(br#","validationMessages":"#);
            body.extend(messages(violations));
        }
        body.push(b'}');
        Self { status, headers: headers_of(status), body }
    }
}

/// Whether this header of an upstream's answer may reach a sender whose request carried the
/// upstream's secret. A redirect's `location`, a `refresh` or an echoing debug header may repeat the
/// URL; so only what cannot is let through. The body goes too, hence no `content-length`.
#[must_use]
pub fn keeps_response_header(name: &str) -> bool {
    matches!(name, ":status" | "date" | "server" | "retry-after" | "cache-control")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_problem_document_with_the_headers_of_its_status() {
        for (reason, header) in [
            (Reason::UnknownSecret, ("www-authenticate", "ApiSecret realm=\"mpgate\"")),
            (Reason::MethodNotAllowed, ("allow", "POST")),
            (Reason::NoList, ("retry-after", "1")),
        ] {
            let answer = Answer::refusal(reason);
            assert!(answer.headers.contains(&header), "{}", reason.label());
            assert!(answer.headers.contains(&("content-type", "application/problem+json")));
            let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
            assert_eq!(body["status"], reason.status());
            assert_eq!(body["reason"], reason.label());
            assert_eq!(body["type"], format!("urn:x-mpgate:reason:{}", reason.label()));
            assert_eq!(body["title"], reason.title());
            assert_eq!(body["detail"], reason.detail());
        }
        assert_eq!(Answer::refusal(Reason::Revoked).headers.len(), 2);
    }

    #[test]
    fn every_refusal_is_json() {
        for reason in Reason::ALL {
            let answer = Answer::refusal(*reason);
            let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
            assert_eq!(body["detail"], reason.detail());
            assert_eq!(body.as_object().map(serde_json::Map::len), Some(5));
        }
    }

    #[test]
    fn headers_that_may_hold_a_url_do_not_pass() {
        for name in [
            "location",
            "content-location",
            "refresh",
            "link",
            "x-debug",
            "set-cookie",
            "content-length",
        ] {
            assert!(!keeps_response_header(name), "{name}");
        }
        assert!(keeps_response_header(":status") && keeps_response_header("date"));
    }
}
