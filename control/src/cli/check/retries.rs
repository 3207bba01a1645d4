//! What sends an event again. The protocol has no key by which an upstream would know that it had it before, so only
//! what cannot have arrived may be sent again.

use saphyr::MarkedYaml;

use super::finding::Finding;
use super::node::Node;

/// Conditions under which the upstream has not read the request.
const SAFE: [&str; 3] = ["connect-failure", "refused-stream", "reset-before-request"];

/// Checks the routes of a connection manager: those that turn on the gate called `name`, or all.
pub(super) fn check(
    manager: &MarkedYaml<'_>,
    name: Option<&str>,
    document: &MarkedYaml<'_>,
    findings: &mut Vec<Finding>,
) {
    for host in manager.items("route_config/virtual_hosts") {
        for route in host.items("routes") {
            let own = |node: &MarkedYaml<'_>| {
                let own = name.and_then(|name| node.at("typed_per_filter_config")?.at(name));
                own.map(|own| !own.is_true("disabled"))
            };
            let is_on = name.is_none() || own(route).or_else(|| own(host)).unwrap_or(false);
            if let Some(action) = route.at("route").filter(|_| is_on) {
                one(action, host, document, findings);
            }
        }
    }
}

fn one(
    action: &MarkedYaml<'_>,
    host: &MarkedYaml<'_>,
    document: &MarkedYaml<'_>,
    findings: &mut Vec<Finding>,
) {
    let clusters = document.items("static_resources/clusters").iter();
    let mut named = clusters
        .filter(|it| it.text("name").is_some() && it.text("name") == action.text("cluster"));
    let options = named.find_map(|cluster| cluster.at("typed_extension_protocol_options"));
    let mut options = options.and_then(|options| options.data.as_mapping()).into_iter().flatten();
    let of_cluster = options.find_map(|(_, options)| options.at("retry_policy"));
    let policy = ["retry_policy", "retry_policy_typed_config"];
    let policy = policy.iter().find_map(|name| action.at(name).or(host.at(name))).or(of_cluster);
    if let Some(conditions) = policy.and_then(|policy| policy.at("retry_on")) {
        let text = conditions.data.as_str().unwrap_or_default();
        let unsafe_ones: Vec<&str> = text
            .split(',')
            .map(str::trim)
            .filter(|it| !it.is_empty() && !SAFE.contains(it))
            .collect();
        if !unsafe_ones.is_empty() {
            let what = format!(
                "retry_on {} sends an event again that the upstream may have counted",
                unsafe_ones.join(",")
            );
            let next =
                "set retry_on: connect-failure,refused-stream, as envoy/production.yaml does";
            findings.push(Finding::warning(conditions.line(), "retry_policy", what).next(next));
        }
    }
    let hedge = action.at("hedge_policy").or(host.at("hedge_policy"));
    if let Some(hedge) = hedge.filter(|hedge| hedge.is_true("hedge_on_per_try_timeout")) {
        let what = "it sends an event a second time while the upstream may be counting the first";
        findings.push(Finding::warning(hedge.line(), "hedge_policy", what).next("remove it"));
    }
}
