//! `mpgate check`: each mistake is found by file, line and words, before Envoy or control finds it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Ran, run};
use crate::harness::Directory;

mod kubernetes;
mod logs;
mod told;

fn shipped(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let place = if name.contains('/') { root } else { root.join("envoy") };
    place.join(name).display().to_string()
}

fn check(file: &Path, flags: &str) -> Ran {
    run(&[], &format!("check {} {flags}", file.display()))
}

/// What was found, as `severity, line, words`.
fn found(file: &Path) -> (Option<i32>, Vec<(String, u64, String)>) {
    let ran = check(file, "--output json");
    let told: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.error));
    let findings = told["findings"].as_array().expect("findings").iter().map(|found| {
        assert_eq!(found["file"].as_str(), file.to_str());
        let text = |member: &str| found[member].as_str().unwrap_or_default().to_owned();
        assert!(!text("next").is_empty() && !text("place").is_empty(), "{found}");
        (text("severity"), found["line"].as_u64().unwrap_or_default(), text("what"))
    });
    (ran.code, findings.collect())
}

#[test]
fn what_we_ship_is_without_fault_and_warning() {
    let files = ["production.yaml", "demo.yaml", SHARED];
    let files = files.map(shipped).join(" ");
    let ran = run(&[], &format!("check {files}"));
    assert_eq!((ran.code, ran.error.as_str()), (Some(0), ""), "{}", ran.out);
    assert_eq!(ran.out, "3 files checked: 0 faults, 0 warnings\n");
}

const SHARED: &str = "deploy/shared-gateway/envoy.yaml";

/// The same for a gateway that serves others too.
const SHARED_MISTAKES: [(&str, &str, &str, &str, &str); 7] = [
    ("config: {}", "disabled: true", "warning", "no route here turns it on", "name: mpgate"),
    (
        "{upgrade_type: websocket, enabled: false}",
        "{upgrade_type: websocket}",
        "warning",
        "an upgrade of this path",
        "name: collect",
    ),
    (" idle_timeout: 10s", "", "warning", "five minutes", "name: collect"),
    (
        "exact: forward",
        "exact: answer",
        "warning",
        "cluster analytics has no tripwire",
        "analytics",
    ),
    (
        "route: {cluster: shop}",
        "route: {cluster: shop, request_mirror_policies: [{cluster: analytics}]}",
        "warning",
        "a mirror leads to analytics",
        "mirror",
    ),
    ("use_remote_address: true", "", "warning", "chooses its own source address", ""),
    ("failure_policy: FAIL_RELOAD", "", "warning", "answer 503 for ever", "name: mpgate"),
];

/// What is written in place of what in `envoy/production.yaml`; severity and words of what is found; and a
/// word of the line that it is found in.
const MISTAKES: [(&str, &str, &str, &str, &str); 31] = [
    (
        "alpn_protocols: [h2, http/1.1]",
        "validation_context: {trust_chain_verification: ACCEPT_UNTRUSTED}",
        "warning",
        "hold nobody up",
        "ACCEPT_UNTRUSTED",
    ),
    (
        "address: 127.0.0.1, port_value: 9902",
        "address: 0.0.0.0, port_value: 9902",
        "warning",
        "other machines reach the gate's status page",
        "9902",
    ),
    (
        "\"gate\": \"production\"",
        "\"gate\": \"My Gate\"",
        "fault",
        "gate is \"My Gate\"",
        "My Gate",
    ),
    ("\"gate\": \"production\",", "", "fault", "missing field `gate`", "}"),
    ("\"gate\":", "\"colour\": 1, \"gate\":", "fault", "unknown field `colour`", "colour"),
    (
        "\"control.example.com\"}\n",
        "\"control.example.com\",\n                       \"page_entries\": 1001}\n",
        "fault",
        "1001",
        "page_en",
    ),
    ("google.protobuf.StringValue", "google.protobuf.Struct", "fault", "binary protobuf", "Struct"),
    ("vm_id: mpgate", "vm_id: ''", "fault", "vm_config.vm_id is empty", "vm_id"),
    (
        "\"cluster\": \"mpgate_control\"",
        "\"cluster\": \"other\"",
        "warning",
        "no such cluster",
        "{",
    ),
    (
        "failure_policy: FAIL_RELOAD",
        "failure_policy: FAIL_OPEN",
        "warning",
        "fails open",
        "FAIL_OPEN",
    ),
    ("failure_policy: FAIL_RELOAD", "fail_open: true", "warning", "fails open", "fail_open"),
    ("failure_policy: FAIL_RELOAD", "", "warning", "answer 503 for ever", "name: mpgate"),
    ("failure_policy: FAIL_RELOAD", "failure_policy: FAIL_CLOSED", "warning", "503", "CLOSED"),
    (
        "allow_on_headers_stop_iteration: true",
        "",
        "warning",
        "never shows its body",
        "name: mpgate",
    ),
    (
        "allow_on_headers_stop_iteration: true",
        "allow_on_headers_stop_iteration: false",
        "warning",
        "never",
        "false",
    ),
    (
        "host_env_keys: [GA4_API_SECRET]",
        "key_values: {A: b}",
        "warning",
        "/config_dump",
        "key_values",
    ),
    (
        "local: {filename: /etc/mpgate/mpgate.wasm}",
        "remote: {sha256: a}",
        "warning",
        "remote code",
        "remote",
    ),
    ("exact: forward", "exact: answer", "warning", "no tripwire", "name: mpgate"),
    (
        "filter_state: {key: wasm.mpgate.action, string_match: {exact: forward}}",
        "any: true",
        "warning",
        "no trip",
        "mpgate",
    ),
    ("action: ALLOW", "action: LOG", "warning", "no tripwire", "name: mpgate"),
    (
        "- name: envoy.filters.http.rbac\n",
        "- name: envoy.filters.http.rbac\n            disabled: true\n",
        "warning",
        "is disabled",
        "rbac",
    ),
    (
        "per_source: *per_source\n",
        "envoy.filters.http.rbac: {}\n",
        "warning",
        "a route has a configuration",
        "rbac",
    ),
    ("use_remote_address: true", "", "warning", "chooses its own source address", ""),
    (
        "merge_slashes: true",
        "merge_slashes: false",
        "warning",
        "slashes are not merged",
        "merge_slashes",
    ),
    ("path_with_escaped_slashes_action: REJECT_REQUEST", "", "warning", "escaped slashes stay", ""),
    ("headers_with_underscores_action: REJECT_REQUEST", "", "warning", "x_forwarded_host", ""),
    ("stream_idle_timeout: 10s", "", "warning", "five minutes", ""),
    ("{tag_name: event,", "{tag_name: name,", "warning", "stats_tags lacks event", "stats_tags"),
    (
        "wasmcustom.mpgate_event_delay_seconds",
        "wasmcustom.mpgate",
        "warning",
        "which end at an hour",
        "stats_tags",
    ),
    ("%PATH(NQ:PATH):17%", "%REQ(:PATH)%", "warning", "prints a query", "%REQ(:PATH)%"),
    (
        "address: 127.0.0.1, port_value: 9901",
        "address: 0.0.0.0, port_value: 9901",
        "warning",
        "other machines",
        "9901",
    ),
];

#[test]
fn every_mistake_in_an_envoy_configuration_is_found() {
    each_is_found("production.yaml", &MISTAKES);
    each_is_found(SHARED, &SHARED_MISTAKES);
}

fn each_is_found(file: &str, mistakes: &[(&str, &str, &str, &str, &str)]) {
    let directory = Directory::new();
    let good = fs::read_to_string(shipped(file)).expect("the configuration");
    for (number, &(what, instead, severity, words, in_line)) in mistakes.iter().enumerate() {
        let text = good.replacen(what, instead, 1);
        assert_ne!(text, good, "{what}");
        let file = directory.join(&format!("{number}.yaml"));
        fs::write(&file, &text).expect("a file");
        let (code, mut findings) = found(&file);
        // What the status page has by an alias is wrong there too.
        findings.dedup_by(|one, other| one.2 == other.2);
        assert_eq!(code, Some(i32::from(severity == "fault")), "{what} {findings:?}");
        let [(told_severity, line, told)] = &*findings else { panic!("{what}: {findings:?}") };
        assert!(told_severity == severity && told.contains(words), "{what}: {findings:?}");
        let at = usize::try_from(*line).expect("a line") - 1;
        let shown = text.lines().nth(at).expect("a line of the file");
        let near = format!("{}{shown}", text.lines().nth(at.saturating_sub(1)).unwrap_or_default());
        assert!(near.contains(in_line), "{what}: line {line} is {shown:?}");
    }
}

/// Where a prefix turns the gate on, other spellings meet it, and how Envoy reads them matters.
#[test]
fn a_prefix_that_turns_the_gate_on_wants_normal_paths() {
    let directory = Directory::new();
    let good = fs::read_to_string(shipped(SHARED)).expect("the configuration");
    let text = good.replace("match: {path: /debug/mp/collect}", "match: {prefix: /debug}");
    let file = directory.join("prefix.yaml");
    fs::write(&file, text).expect("a file");
    let (code, findings) = found(&file);
    let words: Vec<&str> = findings.iter().map(|(_, _, words)| words.as_str()).collect();
    assert_eq!((code, words.len()), (Some(0), 3), "{words:?}");
    assert!(words[0].starts_with("escaped slashes stay"), "{words:?}");
}

#[test]
fn every_kind_of_file_is_checked_as_what_it_is() {
    let directory = Directory::new();
    let wasm = "{\"@type\": \"x.filters.http.wasm.v3.Wasm\", \"config\": {\"name\": \"mpgate\", \
        \"failure_policy\": \"FAIL_RELOAD\", \"allow_on_headers_stop_iteration\": true, \
        \"vm_config\": {\"vm_id\": \"a\"}}}";
    for (name, text, severity, line, words) in [
        ("plugin.json", "{\"gate\":\"g\",\n\"control\":{}}", "fault", 2, "missing field `cluster`"),
        ("broken.json", "{\"gate\":\n", "fault", 2, "EOF"),
        ("empty.json", "{}", "fault", 1, "missing field `gate`"),
        (
            "plugin.txt",
            "{\"gate\":\"g\",\n\n\"senders_max\":0,\"control\":{\"cluster\":\"c\"}}",
            "fault",
            3,
            "senders_max is 0",
        ),
        (
            "resource.json",
            &format!("{{\"name\": \"a\",\n \"typed_config\": {wasm}}}"),
            "fault",
            2,
            "no configuration",
        ),
        ("other.yaml", "static_resources: {}\n", "fault", 1, "no gate in this file"),
        ("broken.yaml", "a: 1\nb: }\n", "fault", 2, "YAML"),
        ("twice.yaml", "a: 1\na: 2\n", "fault", 2, "duplicated key"),
        ("config.toml", "url = \"x\"\ncolour = 1\n", "fault", 2, "unknown field `colour`"),
        ("a.env", "# control\nMPGATE_LISTEN=nowhere\n", "fault", 2, "nowhere"),
        (
            "b.env",
            "MPGATE_LOG_LEVEL=info\nMPGATE_PORT=1\n",
            "fault",
            2,
            "MPGATE_PORT is read by nobody",
        ),
        ("c.env", "MPGATE_LISTEN='0.0.0.0:8430'\n", "fault", 1, "would travel in clear"),
        ("d.env", "export\n", "fault", 1, "no NAME=VALUE"),
    ] {
        let file = directory.join(name);
        fs::write(&file, text).expect("a file");
        let (code, findings) = found(&file);
        assert_eq!(code, Some(1), "{name}: {findings:?}");
        let [(told_severity, told_line, told)] = &*findings else { panic!("{name}: {findings:?}") };
        assert_eq!((told_severity.as_str(), *told_line), (severity, line), "{name}: {told}");
        let shown = check(&file, "").out;
        assert!(shown.contains(words), "{name}: {shown}");
        assert!(shown.starts_with(&format!("{}:{line}: fault: ", file.display())), "{shown}");
    }
    for (name, text) in [
        ("good.json", "{\"gate\":\"g\",\"control\":{\"cluster\":\"c\"}}"),
        ("good.toml", "consumer = \"acme\"\n"),
        (
            "good.env",
            "MPGATE_LISTEN=0.0.0.0:8430\nMPGATE_ALLOW_PLAINTEXT_ON_THE_NETWORK=true\nHOME=/\n",
        ),
        ("local.env", "# nothing\n\nMPGATE_LISTEN=\"127.0.0.1:1\"\nMPGATE_URL=http://a\n"),
    ] {
        let file = directory.join(name);
        fs::write(&file, text).expect("a file");
        let (code, findings) = found(&file);
        assert!(code == Some(0) && findings.is_empty(), "{name}: {findings:?}");
    }
    let nothing = check(&directory.join("none.yaml"), "");
    assert_eq!(nothing.code, Some(2), "{}", nothing.error);
}
