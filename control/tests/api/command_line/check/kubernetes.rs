//! Resources of Kubernetes are named, and what was not looked into is said.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{check, shipped};
use crate::harness::Directory;

/// The findings of a file, and the exit status.
fn found(file: &Path) -> (Option<i32>, Vec<Value>) {
    let ran = check(file, "--output json");
    let told: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.error));
    (ran.code, told["findings"].as_array().expect("findings").clone())
}

/// `envoy/production.yaml` as `kubectl create configmap` would have it.
fn config_map() -> String {
    let production = fs::read_to_string(shipped("production.yaml")).expect("the configuration");
    let indented: Vec<_> = production.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: mpgate-envoy, namespace: mpgate}}\n\
         data:\n  readme: nothing\n  envoy.yaml: |\n{}",
        indented.concat()
    )
}

fn text_of(file: &str) -> String {
    if file == "ConfigMap" {
        return config_map();
    }
    fs::read_to_string(shipped(&format!("deploy/kubernetes/{file}"))).expect("a file")
}

/// What is written in place of what in a file; severity, resource and words of what is found; and a word of the line.
const MISTAKES: [(&str, &str, &str, &str, &str, &str, &str); 11] = [
    (
        "envoy-gateway/policy.yaml",
        "gate: kubernetes",
        "gate: My Gate",
        "fault",
        "EnvoyExtensionPolicy mpgate/mpgate",
        "gate is \"My Gate\"",
        "My Gate",
    ),
    (
        "envoy-gateway/policy.yaml",
        "control: {cluster: mpgate_control, authority: mpgate-control.mpgate.svc}",
        "colour: [1, true, 2.5, null]",
        "fault",
        "EnvoyExtensionPolicy mpgate/mpgate",
        "unknown field `colour`",
        "gate: kubernetes",
    ),
    (
        "envoy-gateway/policy.yaml",
        "failOpen: false",
        "failOpen: true",
        "warning",
        "EnvoyExtensionPolicy mpgate/mpgate",
        "fails open",
        "failOpen",
    ),
    (
        "envoy-gateway/policy.yaml",
        "    config:\n",
        "    configuration:\n",
        "fault",
        "EnvoyExtensionPolicy mpgate/mpgate",
        "it has no config",
        "name: mpgate",
    ),
    (
        "envoy-gateway/proxy.yaml",
        "%PATH(NQ:PATH):17%",
        "%REQ(:PATH)%",
        "warning",
        "EnvoyProxy mpgate/mpgate",
        "prints a query",
        "%REQ(:PATH)%",
    ),
    (
        "envoy-gateway/proxy.yaml",
        "{tag_name: event,",
        "{tag_name: name,",
        "warning",
        "EnvoyProxy mpgate/mpgate",
        "stats_tags lacks event",
        "stats_tags",
    ),
    (
        "istio/envoyfilter.yaml",
        "vm_id: mpgate",
        "vm_id: ''",
        "fault",
        "EnvoyFilter istio-ingress/mpgate",
        "vm_config.vm_id is empty",
        "vm_id",
    ),
    (
        "istio/envoyfilter.yaml",
        "\"gate\": \"istio\"",
        "\"gate\": \"My Gate\"",
        "fault",
        "EnvoyFilter istio-ingress/mpgate",
        "gate is \"My Gate\"",
        "My Gate",
    ),
    (
        "ConfigMap",
        "merge_slashes: true",
        "merge_slashes: false",
        "warning",
        "ConfigMap mpgate/mpgate-envoy",
        "slashes are not merged",
        "merge_slashes",
    ),
    (
        "ConfigMap",
        "\"gate\": \"production\"",
        "\"gate\": \"My Gate\"",
        "fault",
        "ConfigMap mpgate/mpgate-envoy",
        "gate is \"My Gate\"",
        "My Gate",
    ),
    (
        "ConfigMap",
        "data:\n",
        "data:\n  plugin.json: '{\"gate\": \"edge\"}'\n",
        "fault",
        "ConfigMap mpgate/mpgate-envoy",
        "control is missing",
        "plugin.json",
    ),
];

#[test]
fn a_mistake_in_a_resource_is_found_with_the_resources_name() {
    let directory = Directory::new();
    for (number, (file, what, instead, severity, resource, words, in_line)) in
        MISTAKES.into_iter().enumerate()
    {
        let good = text_of(file);
        let text = good.replacen(what, instead, 1);
        assert_ne!(text, good, "{what}");
        let file = directory.join(&format!("{number}.yaml"));
        fs::write(&file, &text).expect("a file");
        let (code, findings) = found(&file);
        assert_eq!(code, Some(i32::from(severity == "fault")), "{what} {findings:?}");
        let mut wrong = findings.iter().filter(|found| found["severity"] != "unread");
        let (Some(found), None) = (wrong.next(), wrong.next()) else {
            panic!("{what}: {findings:?}")
        };
        assert_eq!((&found["severity"], &found["resource"]), (&severity.into(), &resource.into()));
        assert!(found["what"].as_str().is_some_and(|told| told.contains(words)), "{found}");
        let line = usize::try_from(found["line"].as_u64().expect("a line")).expect("a line");
        let near: String = text.lines().skip(line.saturating_sub(2)).take(2).collect();
        assert!(near.contains(in_line), "{what}: line {line} is {near:?}");
    }
}

#[test]
fn what_we_ship_for_kubernetes_is_without_fault_and_says_what_was_not_looked_into() {
    for (file, unread) in [
        ("ConfigMap", "readme: there is no gate"),
        ("envoy-gateway/policy.yaml", "an EnvoyPatchPolicy has to set"),
        ("envoy-gateway/patch.yaml", "not applied"),
        (
            "envoy-gateway/gateway.yaml",
            "GatewayClass mpgate, Gateway mpgate/edge, HTTPRoute mpgate/analytics, Backend",
        ),
        ("istio/envoyfilter.yaml", "EnvoyFilter istio-ingress/mpgate: patches"),
        ("istio/virtualservice.yaml", "VirtualService istio-ingress/mpgate, ServiceEntry"),
        ("base/gate.yaml", "Deployment mpgate-gate, Service mpgate-gate"),
        ("overlays/sqlite/kustomization.yaml", "Kustomization"),
    ] {
        let directory = Directory::new();
        let place = directory.join("resources.yaml");
        fs::write(&place, text_of(file)).expect("a file");
        let ran = check(&place, "");
        assert_eq!((ran.code, &*ran.error), (Some(0), ""), "{file}: {}", ran.out);
        assert!(
            ran.out.ends_with("1 file checked: 0 faults, 0 warnings, 1 unread\n"),
            "{}",
            ran.out
        );
        assert!(ran.out.contains(unread), "{file}: {}", ran.out);
    }
    let proxy = shipped("deploy/kubernetes/envoy-gateway/proxy.yaml");
    let ran = check(Path::new(&proxy), "");
    assert_eq!(ran.out, "1 file checked: 0 faults, 0 warnings\n", "{}", ran.error);
}

/// As `kubectl get --output json` prints them, in one line.
#[test]
fn a_list_is_looked_through() {
    let plugin = |kind: &str, spec: &str| {
        format!(
            "{{\"apiVersion\": \"extensions.istio.io/v1alpha1\", \"kind\": \"{kind}\", \
             \"metadata\": {{\"name\": \"gate\", \"namespace\": \"edge\"}}, \"spec\": {spec}}}"
        )
    };
    let config = "{\"pluginConfig\": {\"gate\": \"edge\"}}";
    let items = [
        plugin("WasmPlugin", config),
        plugin("TrafficExtension", &format!("{{\"wasm\": {config}}}")),
        plugin("WasmPlugin", "{\"pluginConfig\": {\"colour\": 1}}"),
    ];
    let list =
        format!("{{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{}]}}", items.join(","));
    let directory = Directory::new();
    let file = directory.join("list.json");
    fs::write(&file, list).expect("a file");
    let (code, findings) = found(&file);
    let told: Vec<_> = findings
        .iter()
        .map(|found| (found["severity"].as_str(), found["resource"].as_str()))
        .collect();
    let expected = [
        (Some("fault"), Some("WasmPlugin edge/gate")),
        (Some("fault"), Some("TrafficExtension edge/gate")),
        (Some("unread"), None),
    ];
    assert_eq!((code, &*told), (Some(1), &expected[..]), "{findings:?}");
    let other = findings[2]["what"].as_str().expect("words");
    assert!(other.ends_with(": WasmPlugin edge/gate"), "{other}");
}
