//! The manifests of `deploy/kubernetes`: kustomize renders them, Kubernetes' own schemas fit, and what they tell
//! Envoy is what the shipped configuration tells it. `kubectl` may be missing; then the test says so.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use mpgate_testbed::{EnvoyConfig, artifacts, envoy, python, toolchain};
use serde_json::{Value, json};

const OPTIONS: &str =
    "/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

const SCHEMAS: &str = r#"
import importlib.util, json, pathlib, sys, yaml, jsonschema_rs
place = pathlib.Path(importlib.util.find_spec("kubernetes_validate").origin).parent
place = place / "kubernetes-json-schema" / "v1.37.0-local-strict"
definitions = json.loads((place / "_definitions.json").read_text())
registry = jsonschema_rs.Registry([("https://kubernetes.io/api/_definitions.json", definitions)])
def validator(document):
    group, _, version = document["apiVersion"].rpartition("/")
    group = group.split(".")[0]
    name = "-".join(part for part in (document["kind"].lower(), group, version) if part)
    schema = json.loads((place / (name + ".json")).read_text())
    return jsonschema_rs.validator_for(schema, registry=registry)
documents = [document for document in yaml.safe_load_all(sys.stdin) if document]
for document in documents:
    for error in validator(document).iter_errors(document):
        sys.exit(f"{document['kind']} {document['metadata']['name']}: {error}")
deployment = next(document for document in documents if document["kind"] == "Deployment")
deployment["spec"]["template"]["spec"]["containers"][0]["imag"] = "x"
if validator(deployment).is_valid(deployment):
    sys.exit("whatever is asked is valid")
print(len(documents))
"#;

/// What `kubectl kustomize` makes of a copy of the tree in which `envoy.yaml` was made as the docs say; `None`
/// without kubectl.
fn rendered(overlay: &str) -> Option<String> {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        // Not by a macro: the output of a test that passes is not shown.
        let told = "SKIPPED what needs kubectl: it is not on the PATH";
        writeln!(std::io::stderr(), "{told}").expect("a line");
        return None;
    }
    let copy = mpgate_testbed::directory().expect("a directory");
    let root = toolchain::root();
    let script = format!(
        "set -e; mkdir deploy; cp -r '{0}/envoy' .; cp -r '{0}/deploy/kubernetes' deploy/; {1}",
        root.display(),
        command_of_the_docs()
    );
    let made = Command::new("sh").args(["-c", &script]).current_dir(&copy).output().expect("sh");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut kubectl = Command::new("kubectl");
    kubectl.args(["kustomize", &format!("deploy/kubernetes/{overlay}")]).current_dir(&copy);
    let told = kubectl.output().expect("kubectl");
    assert!(told.status.success(), "{overlay}: {}", String::from_utf8_lossy(&told.stderr));
    Some(String::from_utf8(told.stdout).expect("text"))
}

/// The command of docs/kubernetes.md that makes the gate's configuration.
fn command_of_the_docs() -> String {
    let page = fs::read_to_string(toolchain::root().join("docs/kubernetes.md")).expect("the page");
    let begin = page.find("sed -e").expect("the command");
    let end = begin + page[begin..].find("\n```").expect("its end");
    page[begin..end].to_owned()
}

#[test]
fn what_kubernetes_knows_by_itself_fits_its_schemas() {
    let Some(text) = rendered("overlays/sqlite") else { return };
    let python = python::python(&mut |step| println!("{step}")).expect("Python");
    let directory = mpgate_testbed::directory().expect("a directory");
    let file = directory.path().join("rendered.yaml");
    fs::write(&file, &text).expect("a file");
    let input = fs::File::open(&file).expect("a file");
    let told = Command::new(python).args(["-c", SCHEMAS]).stdin(input).output().expect("Python");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert_eq!(String::from_utf8_lossy(&told.stdout).trim(), "13");
    assert!(text.contains("claimName: mpgate-control"), "the database lasts");
    assert!(!text.contains("control.example.com"), "a name was not filled in");
    assert!(text.contains("\"ready\": true"), "the gate answers the probe");
    assert!(text.contains("filename: /etc/mpgate/module/plugin.wasm"), "the module of the image");
    for name in ["envoy-gateway", "istio"] {
        rendered(name).expect("kubectl");
    }
}

fn documents(file: &str) -> Vec<Value> {
    let path = toolchain::root().join("deploy/kubernetes").join(file);
    let text = fs::read_to_string(&path).expect("a file");
    let each = text.split("\n---\n").map(|one| serde_saphyr::from_str(one).expect(file));
    each.collect()
}

fn production() -> EnvoyConfig {
    EnvoyConfig::shipped("production.yaml").expect("a configuration")
}

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
