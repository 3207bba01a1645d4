//! What surrounds a gate: the tripwire behind it, and the settings without which it does not see what the
//! upstream will see.

use saphyr::MarkedYaml;

use super::filter::{is_gate, is_status_page};
use super::finding::Finding;
use super::node::Node;
use super::{logs, retries, shared};

/// Checks a connection manager, if a gate stands in it.
pub(super) fn check(
    manager: &MarkedYaml<'_>,
    document: &MarkedYaml<'_>,
    findings: &mut Vec<Finding>,
) {
    let filters = manager.items("http_filters");
    let is_ours = |filter: &MarkedYaml<'_>| {
        filter.at("typed_config").is_some_and(|config| is_gate(config) && !is_status_page(config))
    };
    let Some(gate) = filters.iter().position(is_ours) else { return };
    let is_off = |filter: &&MarkedYaml<'_>| filter.is_true("disabled");
    if let Some(shared) = filters.get(gate).filter(is_off) {
        let name = shared.text("name").unwrap_or_default();
        if !shared::check(manager, document, name, shared.line(), findings) {
            paths(manager, findings);
        }
        retries::check(manager, Some(name), document, findings);
    } else {
        tripwire(manager, filters, gate, findings);
        paths(manager, findings);
        alone(manager, findings);
        retries::check(manager, None, document, findings);
    }
    surroundings(manager, findings);
    logs::loggers(manager, findings);
}

fn tripwire(
    manager: &MarkedYaml<'_>,
    filters: &[MarkedYaml<'_>],
    gate: usize,
    findings: &mut Vec<Finding>,
) {
    let is_router = |filter: &MarkedYaml<'_>| {
        filter.at("typed_config").is_some_and(|config| config.is_of("router.v3.Router"))
    };
    let behind = filters.iter().skip(gate).take_while(|filter| !is_router(filter));
    let Some(tripwire) = behind.clone().find(|filter| is_tripwire(filter)) else {
        let what = "no tripwire stands behind the gate: where the gate is switched off, or its module does not load, \
                    everything passes";
        let next = "put the RBAC filter of envoy/production.yaml between the gate and the router";
        let line = filters.get(gate).map_or(0, Node::line);
        findings.push(Finding::warning(line, "http_filters", what).next(next));
        return;
    };
    if tripwire.is_true("disabled") {
        let what = "the tripwire is disabled, and stands only on routes that switch it on";
        let next =
            "remove disabled: true, and leave out on its route what the gate shall not judge";
        findings.push(Finding::warning(tripwire.line(), "http_filters", what).next(next));
    }
    let name = tripwire.text("name").unwrap_or_default();
    manager.each(&mut |node| {
        // A configuration of its own on a route takes the place of the one above, or switches it off.
        if let Some(own) = node.at("typed_per_filter_config").and_then(|all| all.at(name)) {
            let what = format!("a route has a configuration of its own for the tripwire, {name}");
            let next =
                "make sure that it asks for wasm.mpgate.action = forward too, or leave it out";
            findings.push(Finding::warning(own.line(), "route", what).next(next));
        }
    });
}

/// Whether a filter lets through what the gate marked, and nothing else.
pub(super) fn is_tripwire(filter: &MarkedYaml<'_>) -> bool {
    let Some(config) = filter.at("typed_config").filter(|config| config.is_of("rbac.v3.RBAC"))
    else {
        return false;
    };
    let allows = matches!(config.text("rules/action"), None | Some("ALLOW"));
    let policies = config.at("rules/policies").and_then(|policies| policies.data.as_mapping());
    let asks = |policy: &MarkedYaml<'_>| {
        let principals = policy.items("principals");
        !principals.is_empty() && principals.iter().all(asks_for_the_mark)
    };
    allows && policies.is_some_and(|policies| policies.values().all(asks))
}

/// Whether a principal can only be one that the gate marked.
fn asks_for_the_mark(principal: &MarkedYaml<'_>) -> bool {
    let is_mark = principal.text("filter_state/key") == Some("wasm.mpgate.action")
        && principal.text("filter_state/string_match/exact") == Some("forward");
    let any = principal.items("or_ids/ids");
    is_mark
        || principal.items("and_ids/ids").iter().any(asks_for_the_mark)
        || (!any.is_empty() && any.iter().all(asks_for_the_mark))
}

fn warn(findings: &mut Vec<Finding>, line: usize, what: &str, next: &str) {
    findings.push(Finding::warning(line, "HttpConnectionManager", what).next(next));
}

fn warn_unless(manager: &MarkedYaml<'_>, member: &str, what: &str, findings: &mut Vec<Finding>) {
    if !manager.is_true(member) {
        let line = manager.at(member).map_or(manager.line(), Node::line);
        warn(findings, line, what, &format!("set {member}: true"));
    }
}

/// What gate and upstream have to read alike.
fn paths(manager: &MarkedYaml<'_>, findings: &mut Vec<Finding>) {
    let path = "path_with_escaped_slashes_action";
    if matches!(
        manager.text(path),
        None | Some("KEEP_UNCHANGED" | "IMPLEMENTATION_SPECIFIC_DEFAULT")
    ) {
        let what =
            "escaped slashes stay in the path: gate and upstream may read two different ones";
        let line = manager.at(path).map_or(manager.line(), Node::line);
        warn(findings, line, what, "set path_with_escaped_slashes_action: REJECT_REQUEST");
    }
    let what = "the path is not normalised: gate and upstream may read two different ones";
    warn_unless(manager, "normalize_path", what, findings);
    let what = "slashes are not merged: gate and upstream may read two different paths";
    warn_unless(manager, "merge_slashes", what, findings);
}

/// What a gate may ask of a listener that it has to itself.
fn alone(manager: &MarkedYaml<'_>, findings: &mut Vec<Finding>) {
    let path = "common_http_protocol_options/headers_with_underscores_action";
    if !matches!(manager.text(path), Some("REJECT_REQUEST" | "DROP_HEADER")) {
        let what =
            "many upstreams read x_forwarded_host as x-forwarded-host, and a client may send that";
        let next =
            "set common_http_protocol_options.headers_with_underscores_action: REJECT_REQUEST";
        let line = manager.at(path).map_or(manager.line(), Node::line);
        warn(findings, line, what, next);
    }
    if manager.at("stream_idle_timeout").is_none() {
        let what = "a request that a trapped VM held ends at stream_idle_timeout, and that is five minutes";
        warn(findings, manager.line(), what, "set stream_idle_timeout: 10s");
    }
}

fn surroundings(manager: &MarkedYaml<'_>, findings: &mut Vec<Finding>) {
    let what = "a sender chooses its own source address, in X-Forwarded-For";
    warn_unless(manager, "use_remote_address", what, findings);
    if let Some(tracing) =
        manager.at("tracing").filter(|node| node.at("max_path_tag_length").is_none())
    {
        let what =
            "spans are tagged with the path and its query, and a query holds the sender's secret";
        warn(findings, tracing.line(), what, "set tracing.max_path_tag_length: 11");
    }
    for filter in manager.items("http_filters") {
        if filter.at("typed_config").is_some_and(|config| config.is_of("BodySizeLimit")) {
            let what = "body_size_limit logs the whole path, and with it the sender's secret, at level error";
            warn(
                findings,
                filter.line(),
                what,
                "use envoy.filters.http.buffer with max_request_bytes: 130000",
            );
        }
    }
}
