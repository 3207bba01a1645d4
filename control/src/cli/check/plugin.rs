//! The gate's plugin configuration, read by the gate's own code.

use mpgate_guard::Settings;
use serde_json::Value;

use super::finding::Finding;

/// Whether a file is one, and not an Envoy configuration.
pub(super) fn is_one(ending: &str, text: &str) -> bool {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(members)) => {
            ["gate", "control"].iter().any(|member| members.contains_key(*member))
                || (ending == "json" && members.keys().all(|member| !is_of_envoy(member)))
        }
        // JSON that cannot be read has no lines for YAML to find.
        _ => ending == "json",
    }
}

/// Whether a member stands at the top of an Envoy configuration, or of a resource of Envoy's or of Kubernetes.
fn is_of_envoy(member: &str) -> bool {
    const MEMBERS: [&str; 10] = [
        "@type",
        "admin",
        "apiVersion",
        "dynamic_resources",
        "filter_chains",
        "http_filters",
        "listeners",
        "name",
        "resources",
        "static_resources",
    ];
    MEMBERS.contains(&member)
}

/// Checks one whose text begins in this line of the file.
pub(super) fn check(text: &str, line: usize, place: &str) -> Vec<Finding> {
    let Err(error) = Settings::parse(text.as_bytes()) else { return Vec::new() };
    let told = error.to_string();
    let told = told.strip_prefix("the plugin configuration: ").unwrap_or(&told);
    let (what, at) = match split_place(told) {
        Some((what, at)) => (what, at),
        None => (told, line_of_member(text, told)),
    };
    let next = "the gate would refuse it; docs/configuration.md has every member with its values";
    vec![Finding::fault(line + at.saturating_sub(1), place, what).next(next)]
}

/// `... at line 3 column 7` in two.
fn split_place(told: &str) -> Option<(&str, usize)> {
    let (what, place) = told.rsplit_once(" at line ")?;
    let (line, _) = place.split_once(" column ")?;
    Some((what, line.parse().ok()?))
}

/// The line of the member that an error begins with: `control.page_entries is 1001, but ...`.
fn line_of_member(text: &str, told: &str) -> usize {
    let path = told.split(' ').next().unwrap_or_default();
    let member = path.rsplit('.').next().unwrap_or_default();
    let quoted = format!("\"{member}\"");
    text.find(&quoted)
        .and_then(|at| text.get(..at))
        .map_or(1, |before| before.matches('\n').count() + 1)
}
