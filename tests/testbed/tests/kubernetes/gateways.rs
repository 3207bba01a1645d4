//! The gate in a Gateway of Envoy Gateway or of Istio: what the patches tell Envoy is what the shipped configuration
//! tells it.

use std::fs;
use std::path::Path;

use mpgate_testbed::{EnvoyConfig, artifacts, envoy};
use serde_json::{Value, json};

use crate::{OPTIONS, documents, production};

/// As Envoy Gateway v1.9 and a patch of a JSON path leave the filter.
fn filter_of_envoy_gateway() -> Value {
    let policy = &documents("envoy-gateway/policy.yaml")[0]["spec"]["wasm"][0];
    assert_eq!(policy["failOpen"], false);
    let mut config = json!({
        "name": policy["name"],
        "root_id": policy["rootID"],
        "configuration": {
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": policy["config"].to_string(),
        },
        "vm_config": {
            "vm_id": "envoyextensionpolicy/mpgate/mpgate/wasm/0",
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": artifacts::module().expect("the module")}},
            "environment_variables": {"host_env_keys": policy["env"]["hostKeys"]},
        },
    });
    for patch in patches("type.googleapis.com/envoy.config.listener.v3.Listener") {
        let operation = &patch["operation"];
        assert_eq!(
            (operation["op"].as_str(), patch["name"].as_str()),
            (Some("add"), Some("mpgate/edge/https"))
        );
        let path = operation["jsonPath"].as_str().expect("a JSON path");
        let name = "envoy.filters.http.wasm/envoyextensionpolicy/mpgate/mpgate/wasm/0";
        assert_eq!(path, format!("..http_filters[?(@.name=='{name}')].typed_config.config"));
        let member = operation["path"].as_str().and_then(|path| path.strip_prefix('/'));
        config[member.expect("a path")] = operation["value"].clone();
    }
    json!({
        "name": "mpgate",
        "disabled": true,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": config,
        },
    })
}

fn patches(kind: &str) -> Vec<Value> {
    let policy = documents("envoy-gateway/patch.yaml").remove(0);
    let all = policy["spec"]["jsonPatches"].as_array().expect("patches").clone();
    all.into_iter().filter(|patch| patch["type"] == kind).collect()
}

/// The patches of Istio's filter, by what they apply to.
fn of_istio(kind: &str, operation: &str) -> Value {
    let filter = documents("istio/envoyfilter.yaml").remove(0);
    let all = filter["spec"]["configPatches"].as_array().expect("patches").clone();
    let found = all
        .into_iter()
        .find(|patch| patch["applyTo"] == kind && patch["patch"]["operation"] == operation);
    found.expect("a patch")["patch"]["value"].clone()
}

/// Everything that is there in one Envoy, around what the shared gateway has already.
fn check(name: &str, mut filter: Value, tripwire: &Value, mut control: Value, directory: &Path) {
    let authority = directory.join("authority.crt");
    let ca =
        "/transport_socket/typed_config/common_tls_context/validation_context/trusted_ca/filename";
    // What differs from production's is the name that was filled in, and nothing else.
    let mut expected = production().cluster("mpgate_control").expect("a cluster").to_string();
    expected = expected.replace("control.example.com", "mpgate-control.mpgate.svc");
    assert_eq!(control, serde_json::from_str::<Value>(&expected).expect("JSON"), "{name}: control");
    let mut shared =
        EnvoyConfig::shipped("deploy/shared-gateway/envoy.yaml").expect("a configuration");
    let kept = shared.cluster("analytics").expect("a cluster");
    let theirs =
        tripwire.pointer("/envoy.extensions.upstreams.http.v3.HttpProtocolOptions/http_filters");
    assert_eq!(theirs, kept.pointer(&format!("{OPTIONS}/http_filters")), "{name}: the tripwire");

    let plugin = filter.pointer_mut("/typed_config/config").expect("a plugin");
    let mut shipped = production();
    let shipped = shipped.plugin().expect("a plugin");
    for member in ["failure_policy", "reload_config", "allow_on_headers_stop_iteration", "root_id"]
    {
        assert_eq!(plugin[member], shipped[member], "{name}: {member}");
    }
    assert_eq!(
        plugin["vm_config"]["environment_variables"],
        shipped["vm_config"]["environment_variables"]
    );
    plugin["vm_config"]["code"] =
        json!({"local": {"filename": artifacts::module().expect("the module")}});
    *shared.http_filter("mpgate").expect("the gate") = filter;
    *control.pointer_mut(ca).expect("a CA") = json!(authority);
    // Its file names no place that is here.
    control
        .pointer_mut(OPTIONS)
        .and_then(Value::as_object_mut)
        .expect("options")
        .remove("http_filters");
    *shared.cluster("mpgate_control").expect("a cluster") = control;
    shared.cluster("analytics").expect("a cluster")["typed_extension_protocol_options"] =
        tripwire.clone();
    let document = shared.document();
    document["admin"]["address"]["socket_address"]["port_value"] = 0.into();
    let listeners = document["static_resources"]["listeners"].as_array_mut().expect("listeners");
    listeners.truncate(1);
    listeners[0]["filter_chains"][0].as_object_mut().expect("a chain").remove("transport_socket");
    let file = directory.join(format!("{name}.json"));
    fs::write(&file, document.to_string()).expect("a file");
    envoy::validate_file(&file).expect(name);
}

#[test]
fn what_the_patches_make_of_a_gateway_is_valid_and_productions() {
    let directory = mpgate_testbed::directory().expect("a directory");
    let authority = mpgate_testbed::tls::Authority::new(directory.path()).expect("an authority");
    drop(authority);
    let clusters = patches("type.googleapis.com/envoy.config.cluster.v3.Cluster");
    let [tripwire, control] = clusters.as_slice() else { panic!("two clusters") };
    assert_eq!(tripwire["operation"]["path"], "/typed_extension_protocol_options");
    let value = |patch: &Value| patch["operation"]["value"].clone();
    check(
        "envoy-gateway",
        filter_of_envoy_gateway(),
        &value(tripwire),
        value(control),
        directory.path(),
    );

    let tripwire = of_istio("CLUSTER", "MERGE")["typed_extension_protocol_options"].clone();
    let filter = of_istio("HTTP_FILTER", "INSERT_FIRST");
    check("istio", filter, &tripwire, of_istio("CLUSTER", "ADD"), directory.path());

    let proxy = documents("envoy-gateway/proxy.yaml").remove(0);
    let bootstrap = proxy["spec"]["bootstrap"]["value"].as_str().expect("a text");
    let bootstrap: Value = serde_saphyr::from_str(bootstrap).expect("YAML");
    assert_eq!(bootstrap["stats_config"], production().document()["stats_config"]);
}
