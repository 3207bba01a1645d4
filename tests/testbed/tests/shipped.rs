//! The shipped Envoy configurations: Envoy accepts each, and the demo's differs from production's
//! only where it says so.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use mpgate_testbed::EnvoyConfig;
use mpgate_testbed::artifacts;
use mpgate_testbed::config::Site;
use mpgate_testbed::envoy;
use serde_json::Value;

fn site() -> Site {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Site {
        listen: nowhere,
        admin_port: 0,
        control: nowhere,
        analytics: nowhere,
        module: artifacts::module().expect("the release module"),
        gateway_token: "token".to_owned(),
        tls: None,
    }
}

#[test]
fn envoy_accepts_the_demo() {
    let directory = mpgate_testbed::directory().expect("a directory");
    let config = EnvoyConfig::shipped("demo.yaml").expect("a configuration");
    envoy::validate(config, &site(), directory.path()).expect("valid");
}

#[cfg(feature = "tls")]
#[test]
fn envoy_accepts_production() {
    use mpgate_testbed::config::TlsFiles;
    use mpgate_testbed::tls::Authority;

    let directory = mpgate_testbed::directory().expect("a directory");
    let authority = Authority::new(directory.path()).expect("an authority");
    let shown = authority.issue("gate.example.com", "listener").expect("a certificate");
    let authority = authority.certificate_file();
    let tls = TlsFiles { certificate: shown.certificate, key: shown.key, authority };
    let config = EnvoyConfig::shipped("production.yaml").expect("a configuration");
    let site = Site { tls: Some(tls), ..site() };
    envoy::validate(config, &site, directory.path()).expect("valid");
}

/// Every path of a document with its value: `/a/0/b = 1`.
fn leaves(at: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                leaves(&format!("{at}/{name}"), member, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(&format!("{at}/{index}"), item, found);
            }
        }
        leaf => {
            found.insert(format!("{at} = {leaf}"));
        }
    }
}

fn shipped(file: &str) -> BTreeSet<String> {
    let mut config = EnvoyConfig::shipped(file).expect("a configuration");
    let mut found = BTreeSet::new();
    leaves("", config.document(), &mut found);
    found
}

#[test]
fn the_demo_differs_from_production_only_where_it_says() {
    let (demo, production) = (shipped("demo.yaml"), shipped("production.yaml"));
    let differing: Vec<&String> = demo.symmetric_difference(&production).collect();
    // TLS, upstreams and their names, ports, and what a name implies.
    let told = [
        "/node/id ",
        "/transport_socket",
        "/socket_address/",
        "/host_rewrite_literal ",
        "/configuration/value ",
        "/configuration/value/gate ",
        "/configuration/value/control/authority ",
        "/clusters/0/type ",
        "/clusters/0/dns_lookup_family ",
        "http_config",
        "auto_config",
    ];
    let untold: Vec<_> =
        differing.iter().filter(|leaf| !told.iter().any(|part| leaf.contains(part))).collect();
    assert!(untold.is_empty(), "{untold:#?}");
    assert!(differing.len() > told.len(), "the two were compared");
}

#[test]
fn nothing_logs_a_query() {
    for file in ["demo.yaml", "production.yaml"] {
        for leaf in shipped(file) {
            let leaf = leaf.to_ascii_uppercase();
            for forbidden in ["%REQ(:PATH", "REFERER", "ORIGINAL-PATH", "%PATH(WQ", "%PATH%"] {
                assert!(!leaf.contains(forbidden), "{file}: {leaf}");
            }
        }
    }
}
