//! What the gate says to a sender itself, and what of an upstream's answer may reach one.

use serde::Serialize;

use crate::body::Message;
use crate::inspection::Inspection;
use crate::{Reason, Unreadable, Violation};

/// A complete answer of the gate's own.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, lower case.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body.
    pub body: Vec<u8>,
}

/// RFC 9457, with the members that some reasons add.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    reason: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "validationMessages")]
    violations: Vec<Message<'a>>,
}

impl Answer {
    /// The refusal for this reason, as `application/problem+json`.
    #[must_use]
    pub fn refusal(reason: Reason) -> Self {
        Self::problem(reason, reason.detail().to_owned(), &[])
    }

    /// The refusal of an event that the grant does not cover; it names the event's place, not its name.
    pub(crate) fn event_not_granted(index: usize) -> Self {
        let reason = Reason::EventNotGranted;
        Self::problem(reason, format!("events[{index}]: {}", reason.detail()), &[])
    }

    /// The refusal of a body that has no single reading.
    pub(crate) fn unreadable(unreadable: &Unreadable) -> Self {
        let reason = Reason::BodyUnreadable;
        Self::problem(reason, format!("{} Here: {unreadable}.", reason.detail()), &[])
    }

    /// The refusal of a body that breaks the protocol's rules, with each of them.
    pub(crate) fn of_body(inspection: &Inspection<'_>) -> Self {
        inspection.unreadable().map_or_else(
            || {
                let reason = Reason::ProtocolViolation;
                Self::problem(reason, reason.detail().to_owned(), inspection.violations())
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
        let headers = vec![("content-type", "application/json"), ("cache-control", "no-store")];
        Self { status: 200, headers, body }
    }

    /// A status, and nothing more to learn.
    pub(crate) fn bare(status: u16) -> Self {
        Self { status, headers: vec![("cache-control", "no-store")], body: Vec::new() }
    }

    /// What GA4 says to anything.
    pub(crate) const fn accepted_silently() -> Self {
        Self { status: 204, headers: Vec::new(), body: Vec::new() }
    }

    fn problem(reason: Reason, detail: String, violations: &[Violation]) -> Self {
        let mut headers =
            vec![("content-type", "application/problem+json"), ("cache-control", "no-store")];
        match reason.status() {
            // RFC 9110 11.6.1 wants a challenge; no registered scheme carries a secret in the query.
            401 => headers.push(("www-authenticate", "ApiSecret realm=\"mpgate\"")),
            405 => headers.push(("allow", "POST")),
            503 => headers.push(("retry-after", "1")),
            _ => {}
        }
        let problem = Problem {
            r#type: format!("urn:x-mpgate:reason:{}", reason.label()),
            title: reason.title(),
            status: reason.status(),
            detail,
            reason: reason.label(),
            violations: violations.iter().map(Message::from).collect(),
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        Self { status: reason.status(), headers, body }
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
