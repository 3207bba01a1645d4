//! One gate: the Wasm filter whose plugin is mpgate.

use saphyr::MarkedYaml;

use super::finding::Finding;
use super::node::Node;
use super::plugin;

const KIND: &str = "filters.http.wasm.v3.Wasm";

/// Whether this is the typed configuration of a gate.
pub(super) fn is_gate(node: &MarkedYaml<'_>) -> bool {
    let named = ["config/name", "config/root_id", "config/vm_config/vm_id"]
        .into_iter()
        .chain(["config/vm_config/code/local/filename"])
        .any(|path| node.text(path).is_some_and(|name| name.contains("mpgate")));
    let configured = || {
        let value = node.text("config/configuration/value").unwrap_or_default();
        value.contains("\"gate\"")
    };
    node.is_of(KIND) && (named || configured())
}

/// Whether it serves a gate's status page, and no event ever meets it.
pub(super) fn is_status_page(gate: &MarkedYaml<'_>) -> bool {
    let text = gate.text("config/configuration/value").unwrap_or_default();
    let settings: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    settings["serve"] == "status"
}

/// Checks what the gate is told, and what Envoy is told about it.
pub(super) fn check(gate: &MarkedYaml<'_>, document: &MarkedYaml<'_>, findings: &mut Vec<Finding>) {
    let Some(config) = gate.at("config") else { return };
    let name = config.text("name").or(config.text("root_id")).unwrap_or("mpgate");
    let place = format!("filter {name}");
    if !is_status_page(gate) {
        in_traffic(config, &place, findings);
    }
    if config.text("vm_config/vm_id").is_none_or(str::is_empty) {
        let named = config.at("vm_config/vm_id").or(config.at("vm_config"));
        let line = named.map_or(config.line(), Node::line);
        let what = "vm_config.vm_id is empty, and names the shared data that holds the list";
        let next = "set one, such as mpgate; the gate refuses to start without";
        findings.push(Finding::fault(line, &*place, what).next(next));
    }
    configuration(config, &place, document, findings);
}

/// What matters where events pass.
fn in_traffic(config: &MarkedYaml<'_>, place: &str, findings: &mut Vec<Finding>) {
    let line_of = |path: &str| config.at(path).map_or(config.line(), Node::line);
    let mut warn = |path: &str, what: &str, next: &str| {
        findings.push(Finding::warning(line_of(path), place, what).next(next));
    };
    if config.is_true("fail_open") || config.text("failure_policy") == Some("FAIL_OPEN") {
        let path = if config.is_true("fail_open") { "fail_open" } else { "failure_policy" };
        let what = "it fails open: while its VM is gone, everything passes it unjudged";
        warn(path, what, "set failure_policy: FAIL_RELOAD");
    } else if config.text("failure_policy") != Some("FAIL_RELOAD") {
        let what = "a worker whose VM trapped would answer 503 for ever";
        warn("failure_policy", what, "set failure_policy: FAIL_RELOAD");
    }
    if !config.is_true("allow_on_headers_stop_iteration") {
        let what = "without allow_on_headers_stop_iteration a held request never shows its body: it is answered 503";
        let next = "set allow_on_headers_stop_iteration: true";
        warn("allow_on_headers_stop_iteration", what, next);
    }
    if config.at("vm_config/code/remote").is_some() {
        let what = "while remote code is not there, Envoy skips the filter";
        warn("vm_config/code/remote", what, "mount the module and name it in code.local.filename");
    }
    if config.at("vm_config/environment_variables/key_values").is_some() {
        let what = "values in environment_variables.key_values show in /config_dump";
        let next = "name the variables in host_env_keys and set them in Envoy's environment";
        warn("vm_config/environment_variables/key_values", what, next);
    }
}

fn configuration(
    config: &MarkedYaml<'_>,
    place: &str,
    document: &MarkedYaml<'_>,
    findings: &mut Vec<Finding>,
) {
    let Some(configuration) = config.at("configuration") else {
        let fault = Finding::fault(config.line(), place, "it has no configuration");
        findings.push(fault.next("add one: a StringValue with at least gate and control.cluster"));
        return;
    };
    if !configuration.is_of("google.protobuf.StringValue") {
        let what = "its configuration is no google.protobuf.StringValue, and would reach the gate as binary protobuf";
        let next = "put the JSON into a StringValue, as envoy/production.yaml does";
        findings.push(Finding::fault(configuration.line(), place, what).next(next));
        return;
    }
    let (line, text) = match configuration.at("value") {
        Some(value) => (value.line(), value.data.as_str().unwrap_or_default()),
        None => (configuration.line(), ""),
    };
    let faults = plugin::check(text, line, place);
    let is_good = faults.is_empty();
    findings.extend(faults);
    if is_good {
        control_cluster(text, line, place, document, findings);
    }
}

/// The cluster of control has to be there, where all clusters are.
fn control_cluster(
    text: &str,
    line: usize,
    place: &str,
    document: &MarkedYaml<'_>,
    findings: &mut Vec<Finding>,
) {
    let settings: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let Some(cluster) = settings["control"]["cluster"].as_str() else { return };
    let clusters = document.items("static_resources/clusters");
    let elsewhere = clusters.is_empty() || document.at("dynamic_resources/cds_config").is_some();
    if !elsewhere && clusters.iter().all(|known| known.text("name") != Some(cluster)) {
        let what = format!("control.cluster is {cluster}, and there is no such cluster here");
        let next = "without it no list arrives, and all requests are answered 503; add the cluster or correct the name";
        findings.push(Finding::warning(line, place, what).next(next));
    }
}
