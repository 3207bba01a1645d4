//! One thing that is wrong, where, and what to do about it.

use serde_json::{Value, json};

use crate::cli::output::style_of;

/// How wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Whoever gets this configuration refuses it.
    Fault,
    /// It is legal and does what nobody wants.
    Warning,
    /// Nobody looked: it may be right or wrong.
    Unread,
}

impl Severity {
    fn label(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Warning => "warning",
            Self::Unread => "unread",
        }
    }
}

/// Something wrong, or something that was not looked into.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) line: usize,
    /// The Kubernetes resource, as `ConfigMap mpgate/mpgate-envoy`, where it is about one.
    pub(super) resource: Option<String>,
    pub(super) place: String,
    pub(super) what: String,
    pub(super) next: String,
}

impl Finding {
    pub(super) fn fault(line: usize, place: impl Into<String>, what: impl Into<String>) -> Self {
        let (place, what) = (place.into(), what.into());
        let severity = Severity::Fault;
        Self { severity, line, resource: None, place, what, next: String::new() }
    }

    pub(super) fn warning(line: usize, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::fault(line, place, what) }
    }

    pub(super) fn unread(line: usize, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { severity: Severity::Unread, ..Self::fault(line, place, what) }
    }

    /// With what to do.
    pub(super) fn next(self, next: impl Into<String>) -> Self {
        Self { next: next.into(), ..self }
    }

    pub(super) fn to_json(&self, file: &str) -> Value {
        json!({
            "file": file, "line": self.line, "severity": self.severity.label(),
            "resource": self.resource, "place": self.place, "what": self.what, "next": self.next,
        })
    }

    pub(super) fn to_text(&self, file: &str) -> String {
        let label = self.severity.label();
        let style = style_of(label);
        let resource = self.resource.as_ref().map_or_else(String::new, |it| format!("{it}: "));
        let (line, place, what, next) = (self.line, &self.place, &self.what, &self.next);
        format!("{file}:{line}: {style}{label}{style:#}: {resource}{place}: {what}\n  do: {next}\n")
    }
}
