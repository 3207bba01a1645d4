//! What prints or sends queries prints or sends secrets: the sender's, or GA4's own once the gate has put it in.

use saphyr::MarkedYaml;

use super::finding::Finding;
use super::log_format::{Operator, Prints};
use super::node::Node;

/// Members that hold formats and nothing else that has a `%`.
const FORMATS: [&str; 7] = [
    "accessLog",
    "access_log",
    "format",
    "json_format",
    "log_format",
    "text_format",
    "typed_json_format",
];

/// Loggers that write what a format says, and that is looked at.
const WITH_A_FORMAT: [&str; 6] = [
    "file.v3.FileAccessLog",
    "stream.v3.StdoutAccessLog",
    "stream.v3.StderrAccessLog",
    "open_telemetry.v3.OpenTelemetryAccessLogConfig",
    "fluentd.v3.FluentdAccessLogConfig",
    "stats.v3.Config",
];

const PRINT_INSTEAD: &str = "print %PATH(NQ:PATH):17% instead, as envoy/production.yaml does";

/// Checks all formats, and what is logged where there is none.
pub(super) fn check(document: &MarkedYaml<'_>, findings: &mut Vec<Finding>) {
    formats(document, false, findings);
    document.each(&mut |node| {
        let is_log = node.is_of("access_loggers.file.v3.FileAccessLog")
            || node.is_of("access_loggers.stream.v3.StdoutAccessLog")
            || node.is_of("access_loggers.stream.v3.StderrAccessLog");
        let has_format = ["log_format", "format", "json_format", "typed_json_format"];
        if is_log && has_format.iter().all(|member| node.at(member).is_none()) {
            let what =
                "it has no log_format, and Envoy's own prints the path with the sender's secret";
            findings.push(
                Finding::warning(node.line(), "access log", what)
                    .next("set a log_format without %REQ(:PATH)%, as envoy/production.yaml does"),
            );
        }
    });
}

/// A query is one wherever it is printed; what nobody knows is looked for in formats only.
fn formats(node: &MarkedYaml<'_>, is_format: bool, findings: &mut Vec<Finding>) {
    for operator in Operator::all(node.data.as_str().unwrap_or_default()) {
        let (what, next) = match operator.prints() {
            Prints::Query => (
                format!("{operator} prints a query, and a query holds the sender's secret"),
                PRINT_INSTEAD,
            ),
            Prints::Secret if is_format => (
                format!("{operator} prints what may be a secret"),
                "leave it out; %FILTER_STATE(wasm.mpgate.key:PLAIN)% says which key it was",
            ),
            Prints::Unknown if is_format => (
                format!(
                    "{operator} is not known to be safe: it may print a query, and a query holds the sender's secret"
                ),
                "leave it out where it can tell of the request's path; that is %PATH(NQ:PATH):17%",
            ),
            _ => continue,
        };
        findings.push(Finding::warning(node.line(), "log format", what).next(next));
    }
    if let Some(members) = node.data.as_mapping() {
        for (name, value) in members {
            let is_named = name.data.as_str().is_some_and(|name| FORMATS.contains(&name));
            formats(value, is_format || is_named, findings);
        }
    }
    for item in node.data.as_vec().into_iter().flatten() {
        formats(item, is_format, findings);
    }
}

/// Checks what a gate's connection manager logs by, its router too.
pub(super) fn loggers(manager: &MarkedYaml<'_>, findings: &mut Vec<Finding>) {
    manager.each(&mut |node| {
        let kind = node.text("@type").and_then(|name| name.split_once("access_loggers."));
        let Some((_, kind)) = kind else { return };
        // What is logged at all is another matter.
        if kind.starts_with("filters.") || WITH_A_FORMAT.contains(&kind) {
            return;
        }
        let what = if kind.starts_with("grpc.") {
            "it sends the path with its query, and a query holds the sender's secret".to_owned()
        } else {
            format!("what {kind} sends is not known here: it may be the path with its query, and a query holds the sender's secret")
        };
        let next = "log to a file, a stream or OpenTelemetry, with a format as in envoy/production.yaml";
        findings.push(Finding::warning(node.line(), "access log", what).next(next));
    });
}
