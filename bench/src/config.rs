//! The configurations of the Envoys: one listener, one route, and in between what a row is about. No access log, and
//! nothing else that would hide the difference.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use mpgate_testbed::artifacts;
use mpgate_testbed::toolchain::{WASM_TARGET, target_directory};
use serde_json::{Value, json};

use crate::keys::{digest, secret};
use crate::raw;
use crate::surroundings::Surroundings;
use crate::variants::{Filter, Gate};

/// Keys that the Lua filters know, as the authorizers do.
const LUA_KEYS: usize = 1_000;

/// The whole configuration.
pub(crate) fn envoy(
    filter: Filter,
    listen: SocketAddr,
    around: &Surroundings,
    directory: &Path,
) -> Result<Value> {
    let mut filters = filters(filter, directory)?;
    filters.push(json!({"name": "envoy.filters.http.router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}));
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "http_filters": filters,
        "route_config": {"name": "bench", "virtual_hosts": [{"name": "bench", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}]}]},
    });
    let chain = json!({"filters": [{
        "name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]});
    let http2 = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}}}});
    let mut grpc = cluster("grpc_authorizer", around.grpc_authorizer);
    grpc["typed_extension_protocol_options"] = http2;
    Ok(json!({
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {
            "listeners": [{"name": "bench", "address": socket(listen), "filter_chains": [chain]}],
            "clusters": [
                cluster("upstream", around.upstream),
                cluster("control", around.control),
                cluster("http_authorizer", around.http_authorizer),
                grpc,
            ],
        },
    }))
}

fn filters(filter: Filter, directory: &Path) -> Result<Vec<Value>> {
    Ok(match filter {
        Filter::Nothing => vec![],
        Filter::ApiKeyAuth(keys) => {
            let key = |number| json!({"key": secret(number), "client": format!("sender-{number}")});
            let credentials: Vec<Value> = (0..keys).map(key).collect();
            vec![typed(
                "api_key_auth",
                "api_key_auth.v3.ApiKeyAuth",
                json!({
                "credentials": credentials, "key_sources": [{"query": "api_secret"}]}),
            )]
        }
        Filter::LuaPlain => vec![lua(include_str!("../lua/plain.lua"), secret)],
        Filter::LuaSha256 => {
            vec![lua(include_str!("../lua/sha256.lua"), |number| digest(&secret(number)))]
        }
        Filter::ExtAuthzGrpc => vec![typed(
            "ext_authz",
            "ext_authz.v3.ExtAuthz",
            json!({
            "transport_api_version": "V3",
            "grpc_service": {"envoy_grpc": {"cluster_name": "grpc_authorizer"}, "timeout": "5s"}}),
        )],
        Filter::ExtAuthzHttp => vec![typed(
            "ext_authz",
            "ext_authz.v3.ExtAuthz",
            json!({
            "transport_api_version": "V3",
            "http_service": {"server_uri": {
                "uri": "http://authorizer", "cluster": "http_authorizer", "timeout": "5s"}}}),
        )],
        Filter::Raw(callbacks) => {
            let file = directory.join("raw.wasm");
            fs::write(&file, raw::module(callbacks))?;
            vec![wasm("raw", &file, "")]
        }
        Filter::Sdk(steps) => {
            let file = format!("{WASM_TARGET}/release/mpgate_bench_sdk.wasm");
            vec![wasm("sdk", &target_directory().join(file), steps)]
        }
        Filter::Gate(gate) => self::gate(gate)?,
    })
}

fn gate(gate: Gate) -> Result<Vec<Value>> {
    let mut settings = json!({
        "gate": "bench",
        "mode": gate.mode,
        "protocol_rules": gate.protocol_rules,
        "control": {"cluster": "control", "authority": "control"},
    });
    if let Some(told) = gate.filter_state {
        settings["filter_state"] = json!(told);
    }
    let mut filters = vec![wasm("mpgate", &artifacts::module()?, &settings.to_string())];
    if gate.tripwire {
        let marked = json!({"filter_state": {
            "key": "wasm.mpgate.action", "string_match": {"exact": "forward"}}});
        filters.push(typed(
            "rbac",
            "rbac.v3.RBAC",
            json!({"rules": {"action": "ALLOW", "policies": {
            "judged": {"permissions": [{"any": true}], "principals": [marked]}}}}),
        ));
    }
    Ok(filters)
}

fn typed(name: &str, message: &str, mut config: Value) -> Value {
    config["@type"] = format!("type.googleapis.com/envoy.extensions.filters.http.{message}").into();
    json!({"name": format!("envoy.filters.http.{name}"), "typed_config": config})
}

fn lua(script: &str, known: impl Fn(usize) -> String) -> Value {
    let known: Vec<String> = (0..LUA_KEYS).map(known).collect();
    let script = script.replace("@SECRETS@", &known.join("\n"));
    typed("lua", "lua.v3.Lua", json!({"default_source_code": {"inline_string": script}}))
}

fn wasm(name: &str, module: &Path, configuration: &str) -> Value {
    typed(
        "wasm",
        "wasm.v3.Wasm",
        json!({"config": {
            "name": name,
            "root_id": name,
            "allow_on_headers_stop_iteration": true,
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
            "vm_config": {
                "vm_id": name,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": module.to_string_lossy()}},
            },
        }}),
    )
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": socket(address)}}]}]},
    })
}

fn socket(address: SocketAddr) -> Value {
    let (host, port) = (address.ip().to_string(), address.port());
    json!({"socket_address": {"address": host, "port_value": port}})
}
