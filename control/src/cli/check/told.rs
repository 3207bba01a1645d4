//! What a format prints of decisions, and what the gate tells of them: the rest is `-` for ever.

use std::collections::BTreeSet;

use mpgate_guard::{Settings, Told};
use saphyr::MarkedYaml;

use super::filter::{is_gate, is_status_page};
use super::finding::Finding;
use super::node::Node;

/// Checks the whole, and each connection manager by itself: its gates may tell less than others do.
pub(super) fn check(document: &MarkedYaml<'_>, findings: &mut Vec<Finding>) {
    let mut untold = BTreeSet::new();
    look(document, &mut untold);
    document.each(&mut |node| {
        if node.is_of("http_connection_manager.v3.HttpConnectionManager") {
            look(node, &mut untold);
        }
    });
    for (line, name) in untold {
        let value = name.trim_start_matches("mpgate.");
        let what = format!(
            "%FILTER_STATE(wasm.{name})% prints - for ever: the gate's filter_state leaves {value} out"
        );
        let next = format!(
            "add \"{value}\" to filter_state in the gate's configuration, or do not print it"
        );
        findings.push(Finding::warning(line, "format", what).next(next));
    }
}

/// What is printed in this part and told by no gate in it, with its lines.
fn look(part: &MarkedYaml<'_>, untold: &mut BTreeSet<(usize, &'static str)>) {
    let (mut has_gate, mut told) = (false, Vec::new());
    part.each(&mut |node| {
        if is_gate(node) && !is_status_page(node) {
            has_gate = true;
            let text = node.text("config/configuration/value").unwrap_or_default();
            match Settings::parse(text.as_bytes()) {
                Ok(settings) => told.extend(settings.filter_state),
                // What it will tell is known when it is correct.
                Err(_) => told.extend(all()),
            }
        }
    });
    if !has_gate {
        return;
    }
    let left_out: Vec<_> = all().filter(|value| !told.contains(value)).collect();
    part.each(&mut |node| {
        let text = node.data.as_str().unwrap_or_default();
        let printed = left_out.iter().map(|value| value.name()).filter(|name| prints(text, name));
        untold.extend(printed.map(|name| (node.line(), name)));
    });
}

/// Each value by itself, and all in one.
fn all() -> impl Iterator<Item = Told> {
    Told::EACH.into_iter().chain([Told::Decision])
}

/// Whether a format has the operator for this value.
fn prints(format: &str, name: &str) -> bool {
    let mut operators = format.split("%FILTER_STATE(wasm.").skip(1);
    operators.any(|rest| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with([':', ')'])))
}
