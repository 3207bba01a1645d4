//! The configurations of `deploy/`: Envoy accepts each, and what they share with `envoy/production.yaml` is the
//! same there.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use mpgate_testbed::EnvoyConfig;
use mpgate_testbed::config::{Site, TlsFiles};
use mpgate_testbed::tls::Authority;
use mpgate_testbed::{artifacts, envoy, toolchain};
use serde_json::Value;

const SHARED: &str = "deploy/shared-gateway/envoy.yaml";
const SIDECAR: &str = "deploy/sidecar/collector.yaml";

fn site(directory: &Path) -> Site {
    let authority = Authority::new(directory).expect("an authority");
    let shown = authority.issue("gate.example.com", "listener").expect("a certificate");
    let authority = authority.certificate_file();
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Site {
        listen: nowhere,
        admin_port: 0,
        control: nowhere,
        analytics: nowhere,
        module: artifacts::module().expect("the release module"),
        gateway_token: "token".to_owned(),
        tls: Some(TlsFiles { certificate: shown.certificate, key: shown.key, authority }),
    }
}

#[test]
fn envoy_accepts_them() {
    for file in [SHARED, SIDECAR] {
        let directory = mpgate_testbed::directory().expect("a directory");
        let mut config = EnvoyConfig::shipped(file).expect("a configuration");
        // A limit of connections is the gateway's own business there.
        if file == SHARED {
            config.point("shop", SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a shop");
        }
        envoy::validate(config, &site(directory.path()), directory.path()).expect(file);
    }
}

#[test]
fn envoy_accepts_the_balancer_of_the_fleet() {
    let file = toolchain::root().join("deploy/fleet/balancer.yaml");
    envoy::validate_file(&file).expect("a configuration");
}

/// The typed configuration of an HTTP filter.
fn filter(file: &str, name: &str) -> Value {
    let mut config = EnvoyConfig::shipped(file).expect("a configuration");
    config.http_filter(name).expect("a filter")["typed_config"].clone()
}

fn without(mut value: Value, pointer: &str) -> Value {
    let (parent, member) = pointer.rsplit_once('/').expect("a pointer");
    let parent = value.pointer_mut(parent).and_then(Value::as_object_mut).expect("a parent");
    parent.remove(member).unwrap_or_else(|| panic!("no {pointer}"));
    value
}

#[test]
fn the_shared_gateways_parts_are_productions() {
    let both = |part: &dyn Fn(&str) -> Value| assert_eq!(part(SHARED), part("production.yaml"));
    both(&|file| without(filter(file, "mpgate"), "/config/configuration"));
    both(&|file| filter(file, "envoy.filters.http.local_ratelimit"));
    both(&|file| filter(file, "envoy.filters.http.buffer"));
    let document = |file: &str| EnvoyConfig::shipped(file).expect("a configuration");
    both(&|file| document(file).document()["stats_config"].clone());
    both(&|file| document(file).document()["admin"].clone());
    both(&|file| document(file).cluster("mpgate_control").expect("a cluster").clone());
    let http =
        "/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    both(&|file| {
        let mut config = document(file);
        let mut cluster = config.cluster("analytics").expect("a cluster").clone();
        // The tripwire stands here there, and in the chain here.
        let options = cluster.pointer_mut(http).and_then(Value::as_object_mut).expect("options");
        assert_eq!(options.remove("http_filters").is_some(), file == SHARED);
        cluster
    });
    let removed = |file: &str| {
        let mut config = document(file);
        let http = config.http().expect("a manager").clone();
        let host = &http["route_config"]["virtual_hosts"][0];
        let place = if file == SHARED { &host["routes"][0] } else { host };
        place["request_headers_to_remove"].clone()
    };
    assert_eq!(removed(SHARED), removed("production.yaml"));
    assert!(removed(SHARED).as_array().is_some_and(|all| all.len() > 20));
}

#[test]
fn the_sidecar_is_production_with_another_upstream() {
    let stripped = |file: &str| {
        let mut config = EnvoyConfig::shipped(file).expect("a configuration");
        config.remove("/node").expect("a node");
        *config.cluster("analytics").expect("a cluster") = Value::Null;
        for route in config.routes().expect("routes") {
            route["route"].as_object_mut().expect("a route").remove("host_rewrite_literal");
        }
        config.gate().expect("a gate").take();
        let plugin = config.plugin().expect("a plugin");
        plugin["vm_config"].as_object_mut().expect("a VM").remove("environment_variables");
        let status = config.status_listener().expect("a status page");
        let plugin = status.pointer_mut(
            "/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config",
        );
        let plugin = plugin.expect("a plugin");
        plugin["configuration"].take();
        plugin["vm_config"].as_object_mut().expect("a VM").remove("environment_variables");
        config.document().clone()
    };
    assert_eq!(stripped(SIDECAR), stripped("production.yaml"));
}

/// Whatever is written in YAML below `deploy/`.
fn all_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn nothing_logs_a_query() {
    let mut files = Vec::new();
    all_files(&mpgate_testbed::toolchain::root().join("deploy"), &mut files);
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a file");
        let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        for line in code.map(str::to_ascii_uppercase) {
            for forbidden in
                ["%REQ(:PATH", "%REQ(REFERER", "ORIGINAL-PATH%", "%PATH(WQ", "%PATH%", "%REQ(AUTH"]
            {
                assert!(!line.contains(forbidden), "{}: {line}", file.display());
            }
        }
    }
}
