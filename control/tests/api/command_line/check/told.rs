//! What a format prints is held against what the gate is set to tell.

use std::fs;

use super::{check, found, shipped};
use crate::harness::Directory;

/// A connection manager with a gate that tells this, and a format.
fn manager(filter_state: &str, format: &str) -> String {
    format!(
        r#"  - "@type": x.http_connection_manager.v3.HttpConnectionManager
    normalize_path: true
    merge_slashes: true
    use_remote_address: true
    path_with_escaped_slashes_action: REJECT_REQUEST
    common_http_protocol_options: {{headers_with_underscores_action: REJECT_REQUEST}}
    stream_idle_timeout: 10s
    {format}
    http_filters:
    - typed_config:
        "@type": x.filters.http.wasm.v3.Wasm
        config:
          name: mpgate
          failure_policy: FAIL_RELOAD
          allow_on_headers_stop_iteration: true
          vm_config: {{vm_id: mpgate}}
          configuration:
            "@type": x/google.protobuf.StringValue
            value: '{{"gate": "g", "control": {{"cluster": "c"}}{filter_state}}}'
    - typed_config:
        "@type": x.filters.http.rbac.v3.RBAC
        rules: {{policies: {{p: {{principals: [
          {{filter_state: {{key: wasm.mpgate.action, string_match: {{exact: forward}}}}}}]}}}}}}
"#
    )
}

const ALL_BUT_SENDER: &str = r#", "filter_state":
                ["verdict", "outcome", "reason", "key", "stream", "events", "trace_id"]"#;
const SENDER: &str = r#", "filter_state": ["sender"]"#;

/// What is warned of, as lines and the values that are left out.
fn left_out(text: &str) -> Vec<(u64, String)> {
    let directory = Directory::new();
    let file = directory.join("envoy.yaml");
    fs::write(&file, text).expect("a file");
    let (code, findings) = found(&file);
    assert_eq!(code, Some(0), "{findings:?}");
    let of = |(severity, line, what): &(String, u64, String)| {
        let value = what
            .strip_prefix("%FILTER_STATE(wasm.mpgate.")
            .and_then(|rest| rest.split_once(")% prints - for ever"));
        assert_eq!(severity, "warning", "{what}");
        (*line, value.unwrap_or_else(|| panic!("{findings:?}")).0.to_owned())
    };
    findings.iter().map(of).collect()
}

#[test]
fn a_value_that_no_gate_tells_is_found_wherever_it_is_printed() {
    let sender = "%FILTER_STATE(wasm.mpgate.sender:PLAIN)%";
    let log = format!("access_log: [{{log_format: {{text_format: \"{sender} {sender}\"}}}}]");
    let header = format!("request_headers_to_add: [{{header: {{key: a, value: \"{sender}\"}}}}]");
    let reply =
        format!("local_reply_config: {{body_format: {{json_format: {{a: [\"{sender}\"]}}}}}}");
    for (tells, format, expected) in [
        (ALL_BUT_SENDER, &*log, &["sender"][..]),
        (ALL_BUT_SENDER, &header, &["sender"]),
        (ALL_BUT_SENDER, &reply, &["sender"]),
        (ALL_BUT_SENDER, "a: \"%FILTER_STATE(wasm.mpgate.sender)%\"", &["sender"]),
        (
            SENDER,
            "a: \"%FILTER_STATE(wasm.mpgate.key:PLAIN):5%%FILTER_STATE(wasm.mpgate.trace_id)%\"",
            &["key", "trace_id"],
        ),
        ("", "a: \"%FILTER_STATE(wasm.mpgate.decision:PLAIN)%\"", &["decision"]),
        (r#", "filter_state": ["decision"]"#, &log, &["sender"]),
        (
            r#", "filter_state": ["decision"]"#,
            "a: \"%FILTER_STATE(wasm.mpgate.decision:PLAIN)%\"",
            &[],
        ),
        ("", &log, &[]),
        (SENDER, &log, &[]),
        (r#", "filter_state": []"#, "a: \"%FILTER_STATE(wasm.mpgate.action:PLAIN)%\"", &[]),
        (ALL_BUT_SENDER, "a: \"%FILTER_STATE(wasm.mpgate.key:PLAIN)%\"", &[]),
        (ALL_BUT_SENDER, "a: \"%FILTER_STATE(wasm.mpgate.senders:PLAIN)%\"", &[]),
        (ALL_BUT_SENDER, "a: \"%FILTER_STATE(wasm.other.sender:PLAIN)%\"", &[]),
        (ALL_BUT_SENDER, "a: wasm.mpgate.sender", &[]),
    ] {
        let expected: Vec<_> = expected.iter().map(|value| (9, (*value).to_owned())).collect();
        assert_eq!(left_out(&format!("a:\n{}", manager(tells, format))), expected, "{format}");
    }
}

/// Two gates: each connection manager prints what its own tells; what stands outside, what any tells.
#[test]
fn a_gate_answers_for_the_formats_around_it() {
    let format = |value: &str| format!("a: \"%FILTER_STATE(wasm.mpgate.{value}:PLAIN)%\"");
    let first = manager(ALL_BUT_SENDER, &format("sender"));
    let second = manager(SENDER, &format("sender"));
    // Rows of: what is printed outside, the two managers, and whose format is found.
    for (outside, first, second, expected) in [
        ("sender", &first, &second, [false, true, false]),
        ("key", &second, &second, [true, false, false]),
        ("key", &first, &second, [false, true, false]),
        ("sender", &first, &first, [true, true, true]),
    ] {
        let text = format!("{}\nb:\n{first}{second}", format(outside));
        let printing = text.lines().zip(1_u64..).filter(|(line, _)| line.contains("%FILTER_STATE"));
        let lines: Vec<_> = left_out(&text).into_iter().map(|(line, _)| line).collect();
        let is_found: Vec<_> = printing.map(|(_, line)| lines.contains(&line)).collect();
        assert_eq!(is_found, expected, "{lines:?} in {text}");
    }
}

#[test]
fn the_finding_says_what_to_add() {
    let directory = Directory::new();
    let file = directory.join("envoy.yaml");
    let good = fs::read_to_string(shipped("production.yaml")).expect("the configuration");
    let gate = "\"gate\": \"production\",";
    let without =
        format!("{gate} \"filter_state\": [\"verdict\", \"outcome\", \"reason\", \"key\"],");
    fs::write(&file, good.replacen(gate, &without, 1)).expect("a file");
    let shown = check(&file, "").out;
    let told = "prints - for ever: the gate's filter_state leaves sender out\n  \
        do: add \"sender\" to filter_state in the gate's configuration, or do not print it\n";
    assert!(shown.contains(told), "{shown}");
    assert!(shown.ends_with("1 file checked: 0 faults, 4 warnings\n"), "{shown}");
    let broken =
        good.replacen(gate, "\"gate\": \"production\", \"filter_state\": [\"colour\"],", 1);
    fs::write(&file, broken).expect("a file");
    let (code, findings) = found(&file);
    assert_eq!((code, findings.len()), (Some(1), 1), "{findings:?}");
}
