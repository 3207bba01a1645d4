//! Resources of Kubernetes: which one a finding is about, what of Envoy's and of the gate's they carry, and which
//! of them were not looked into.

use saphyr::{LoadableYamlNode as _, MarkedYaml};

use super::envoy;
use super::finding::Finding;
use super::node::{Node, to_json};
use super::{logs, plugin, stats};

/// Whether a document is a resource, or a list of some.
pub(super) fn is_resource(document: &MarkedYaml<'_>) -> bool {
    document.text("apiVersion").is_some() && document.text("kind").is_some()
}

/// Checks those that carry what is Envoy's or the gate's, and names the others.
pub(super) fn check(documents: &[&MarkedYaml<'_>], findings: &mut Vec<Finding>) {
    let mut others: Vec<&MarkedYaml<'_>> = Vec::new();
    for document in documents {
        let is_list = document.text("kind") == Some("List");
        let one = std::slice::from_ref(*document);
        for resource in if is_list { document.items("items") } else { one } {
            match look(resource) {
                Some(found) => {
                    let name = Some(name(resource));
                    let of_it = |found| Finding { resource: name.clone(), ..found };
                    findings.extend(found.into_iter().map(of_it));
                }
                None => others.push(resource),
            }
        }
    }
    if let Some(first) = others.first() {
        let names: Vec<String> = others.iter().map(|resource| name(resource)).collect();
        let what = format!("these carry nothing that this command knows: {}", names.join(", "));
        let next = "kubectl apply --dry-run=server holds them against the cluster's schemas";
        findings.push(Finding::unread(first.line(), "resources", what).next(next));
    }
}

/// As people say it: `ConfigMap mpgate/mpgate-envoy`.
fn name(resource: &MarkedYaml<'_>) -> String {
    let text = |path| resource.text(path).unwrap_or_default();
    let (kind, name) = (text("kind"), text("metadata/name"));
    match text("metadata/namespace") {
        _ if name.is_empty() => kind.to_owned(),
        "" => format!("{kind} {name}"),
        namespace => format!("{kind} {namespace}/{name}"),
    }
}

/// What is wrong with one; nothing if it carries nothing of ours.
fn look(resource: &MarkedYaml<'_>) -> Option<Vec<Finding>> {
    match resource.text("kind").unwrap_or_default() {
        "ConfigMap" => config_map(resource),
        "EnvoyExtensionPolicy" => extension_policy(resource),
        "EnvoyProxy" => Some(proxy(resource)),
        "EnvoyFilter" | "EnvoyPatchPolicy" => Some(patches(resource)),
        "TrafficExtension" | "WasmPlugin" => wasm_of_istio(resource),
        _ => {
            let mut findings = Vec::new();
            (envoy::part(resource, &mut findings) > 0).then_some(findings)
        }
    }
}

/// Its members are files: Envoy configurations, or a gate's plugin configuration.
fn config_map(resource: &MarkedYaml<'_>) -> Option<Vec<Finding>> {
    let (mut findings, mut is_ours) = (Vec::new(), false);
    for (file, content) in resource.at("data")?.data.as_mapping()? {
        let (Some(file), Some(text)) = (file.data.as_str(), content.data.as_str()) else {
            continue;
        };
        let Some(found) = gates_in(text) else {
            let what = "there is no gate in it, or it is no YAML";
            let next = "if there should be one: a Wasm filter is called mpgate or has a \"gate\"";
            findings.push(Finding::unread(content.line(), file, what).next(next));
            continue;
        };
        is_ours = true;
        findings.extend(found.into_iter().map(|found| within(content, file, found)));
    }
    is_ours.then_some(findings)
}

/// What is wrong with a file that a resource carries; nothing where no gate is in it.
fn gates_in(text: &str) -> Option<Vec<Finding>> {
    if plugin::is_one("", text) {
        return Some(plugin::check(text, 1, "plugin configuration"));
    }
    let mut findings = Vec::new();
    let documents = MarkedYaml::load_from_str(text).ok()?;
    let gates: usize = documents.iter().map(|part| envoy::part(part, &mut findings)).sum();
    (gates > 0).then_some(findings)
}

/// A finding in a text, as one in the file that the text stands in.
fn within(text: &MarkedYaml<'_>, file: &str, found: Finding) -> Finding {
    // A text in quotes is one line, whatever it holds.
    let line = (text.line() + found.line.saturating_sub(1)).min(text.span.end.line());
    Finding { line, place: format!("{file}: {}", found.place), ..found }
}

/// Whether this says of itself that it is the gate.
fn is_gate(node: &MarkedYaml<'_>) -> bool {
    let is_named = |path: &str| node.text(path).is_some_and(|text| text.contains("mpgate"));
    ["name", "rootID", "pluginName", "url"].into_iter().any(is_named)
        || ["config/gate", "pluginConfig/gate"].iter().any(|path| node.at(path).is_some())
}

/// Envoy Gateway's, which makes the filter's configuration of it.
fn extension_policy(resource: &MarkedYaml<'_>) -> Option<Vec<Finding>> {
    let gates: Vec<_> = resource.items("spec/wasm").iter().filter(|wasm| is_gate(wasm)).collect();
    let mut findings = Vec::new();
    for gate in &gates {
        let place = format!("wasm {}", gate.text("name").unwrap_or_default());
        if gate.is_true("failOpen") {
            let line = gate.at("failOpen").map_or(gate.line(), Node::line);
            let what =
                "it fails open: while its module or its VM is gone, everything passes it unjudged";
            findings.push(Finding::warning(line, &*place, what).next("set failOpen: false"));
        }
        match gate.at("config") {
            Some(config) => {
                findings.extend(plugin::check(&to_json(config).to_string(), config.line(), &place));
            }
            None => findings.push(
                Finding::fault(gate.line(), &*place, "it has no config")
                    .next("add one, with at least gate and control.cluster"),
            ),
        }
        let what = "an EnvoyPatchPolicy has to set failure_policy, allow_on_headers_stop_iteration and the tripwire; whether one does was not looked into";
        let next = "deploy/kubernetes/envoy-gateway/patch.yaml has them";
        findings.push(Finding::unread(gate.line(), &*place, what).next(next));
    }
    (!gates.is_empty()).then_some(findings)
}

/// What Envoy Gateway's proxies log and count.
fn proxy(resource: &MarkedYaml<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    logs::check(resource, &mut findings);
    if let Some(text) = resource.at("spec/bootstrap/value") {
        let documents = MarkedYaml::load_from_str(text.data.as_str().unwrap_or_default());
        let mut inside = Vec::new();
        for bootstrap in documents.iter().flatten() {
            stats::bootstrap(bootstrap, &mut inside);
        }
        findings.extend(inside.into_iter().map(|found| within(text, "bootstrap", found)));
    }
    findings
}

/// Pieces of Envoy's configuration, and where they go.
fn patches(resource: &MarkedYaml<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    envoy::part(resource, &mut findings);
    let what = "its patches are read, not applied: what becomes of the gateway's listeners was not looked into";
    let next = "mpgate doctor --gate URL asks the gateway itself";
    findings.push(Finding::unread(resource.line(), "patches", what).next(next));
    findings
}

/// Istio's own two ways to a Wasm filter.
fn wasm_of_istio(resource: &MarkedYaml<'_>) -> Option<Vec<Finding>> {
    let mut is_ours = false;
    resource.each(&mut |node| is_ours |= is_gate(node));
    let what = "Istio leaves vm_config.vm_id empty here, which the gate refuses, and cannot set allow_on_headers_stop_iteration";
    let fault = Finding::fault(resource.line(), "spec", what);
    is_ours
        .then(|| vec![fault.next("use an EnvoyFilter: deploy/kubernetes/istio/envoyfilter.yaml")])
}
