//! What would print, send or repeat what an event carries is found.

use std::fs;

use super::{SHARED, check, each_is_found, found, shipped};
use crate::harness::Directory;

const PATH: &str = "%PATH(NQ:PATH):17%";
const RETRY: &str = "retry_on: connect-failure,refused-stream";
const FILE_LOG: &str = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
const QUERY: &str = "prints a query, and a query holds the sender's secret";
const TWICE: &str = "the upstream may have counted";

/// As [`super::MISTAKES`]: formats that print a query, or may.
const FORMATS: [(&str, &str, &str, &str, &str); 13] = [
    (PATH, "%PATH%", "warning", QUERY, "%PATH%"),
    (PATH, "%PATH()%", "warning", QUERY, "%PATH()%"),
    (PATH, "%PATH(:PATH)%", "warning", QUERY, "%PATH(:PATH)%"),
    (PATH, "%REQ(X-FORWARDED-URI?:PATH)%", "warning", QUERY, "?:PATH"),
    (PATH, "%REQUEST_HEADER(:PATH)%", "warning", QUERY, "%REQUEST_HEADER"),
    (PATH, "%QUERY_PARAM(api_secret)%", "warning", QUERY, "%QUERY_PARAM"),
    (PATH, "%QUERY_PARAMS(ORIG)%", "warning", QUERY, "%QUERY_PARAMS"),
    (PATH, "%CEL(request.path)%", "warning", QUERY, "%CEL"),
    (PATH, "%CEL(request.query)%", "warning", QUERY, "%CEL"),
    (PATH, "%CEL(request.headers[':path'])%", "warning", QUERY, "%CEL"),
    (PATH, "%REQ(AUTHORIZATION)%", "warning", "may be a secret", "AUTHORIZATION"),
    (PATH, "%ENVIRONMENT(GA4_API_SECRET)%", "warning", "may be a secret", "ENVIRONMENT"),
    (PATH, "%TOMORROW%", "warning", "%TOMORROW% is not known to be safe", "%TOMORROW%"),
];

/// Loggers, retries and hedges.
const REST: [(&str, &str, &str, &str, &str); 6] = [
    (
        FILE_LOG,
        "x/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        "warning",
        "it sends the path with its query",
        "grpc",
    ),
    (
        FILE_LOG,
        "x/envoy.extensions.access_loggers.wasm.v3.WasmAccessLog",
        "warning",
        "what wasm.v3.WasmAccessLog sends is not known",
        "wasm",
    ),
    (RETRY, "retry_on: 5xx,reset", "warning", TWICE, "5xx"),
    (RETRY, "retry_on: connect-failure, retriable-status-codes", "warning", TWICE, "codes"),
    (
        "timeout: 8s",
        "timeout: 8s\n                  retry_policy: {retry_on: gateway-error}",
        "warning",
        "retry_on gateway-error sends",
        "gateway-error",
    ),
    (
        "timeout: 8s",
        "timeout: 8s\n                  hedge_policy: {hedge_on_per_try_timeout: true}",
        "warning",
        "a second time",
        "hedge",
    ),
];

const SHARED_RETRIES: [(&str, &str, &str, &str, &str); 1] =
    [(RETRY, "retry_on: reset", "warning", TWICE, "retry_on: reset")];

#[test]
fn what_prints_a_query_is_found() {
    each_is_found("production.yaml", &FORMATS);
}

#[test]
fn what_sends_a_query_or_an_event_twice_is_found() {
    each_is_found("production.yaml", &REST);
    each_is_found(SHARED, &SHARED_RETRIES);
}

/// A cluster's own conditions are those of routes that have none.
#[test]
fn a_clusters_retries_are_found() {
    let directory = Directory::new();
    let good = fs::read_to_string(shipped("production.yaml")).expect("the configuration");
    let of_cluster = "retry_policy: {retry_on: reset}\n        auto_config: {}";
    let both = good.replacen("auto_config: {}", of_cluster, 1);
    let alone = both.replacen("retry_policy:", "x:", 1);
    for (text, count) in [(&both, 0), (&alone, 1)] {
        let file = directory.join("envoy.yaml");
        fs::write(&file, text).expect("a file");
        let (code, findings) = found(&file);
        assert_eq!((code, findings.len()), (Some(0), count), "{findings:?}");
        assert!(findings.iter().all(|(_, _, what)| what.starts_with("retry_on reset sends")));
    }
}

/// What cannot print a query, what may be sent again, and what others do on their own routes.
#[test]
fn what_is_safe_is_not_warned_of() {
    let directory = Directory::new();
    for (name, what, instead) in [
        ("production.yaml", PATH, "%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH):17%"),
        ("production.yaml", PATH, "%START_TIME(%Y/%m/%dT%H:%M:%S%z)% 100%% %CEL(request.method)%"),
        ("production.yaml", PATH, "%QUERY_PARAM(measurement_id)% %TLS_JA4_FINGERPRINT%"),
        (
            "production.yaml",
            FILE_LOG,
            "x/envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
        ),
        ("production.yaml", RETRY, "retry_on: reset-before-request"),
        (SHARED, "route: {cluster: shop}", "route: {cluster: shop, retry_policy: {retry_on: 5xx}}"),
    ] {
        let good = fs::read_to_string(shipped(name)).expect("the configuration");
        let text = good.replacen(what, instead, 1);
        assert_ne!(text, good, "{what}");
        let file = directory.join("envoy.yaml");
        fs::write(&file, text).expect("a file");
        let (code, findings) = found(&file);
        assert!(code == Some(0) && findings.is_empty(), "{instead}: {findings:?}");
    }
    let all = ["deploy/sidecar/collector.yaml", "deploy/rollout/gate/listeners.yaml"];
    for file in all.map(shipped) {
        let ran = check(std::path::Path::new(&file), "");
        assert!(ran.out.ends_with("1 file checked: 0 faults, 0 warnings\n"), "{}", ran.out);
    }
}
