//! The manifests of `deploy/kubernetes`: kustomize renders them, Kubernetes' own schemas fit, what they say of each other
//! fits, and what they tell Envoy is what the shipped configuration tells it. `kubectl` may be missing; then the tests
//! say so.

mod gateways;
mod installed;

use std::fs;
use std::process::Command;

use mpgate_testbed::{EnvoyConfig, python, skip, toolchain};
use serde_json::Value;

const OPTIONS: &str =
    "/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// The installations.
const OVERLAYS: [&str; 2] = ["overlays/sqlite", "overlays/postgres"];

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

/// What `kubectl kustomize` makes of a copy of the tree in which the files were made as the docs say, and the components
/// added to the overlay; `None` without kubectl.
fn rendered(overlay: &str, components: &[&str]) -> Option<String> {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        skip("what needs kubectl", "it is not on the PATH").expect("every test is played");
        return None;
    }
    let copy = mpgate_testbed::directory().expect("a directory");
    let root = toolchain::root();
    let script = format!(
        "set -e; mkdir deploy; cp -r '{0}/envoy' .; cp -r '{0}/deploy/kubernetes' deploy/\n{1}",
        root.display(),
        blocks_of_the_docs("sed").join("\n")
    );
    let made = Command::new("sh").args(["-c", &script]).current_dir(&copy).output().expect("sh");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let place = format!("deploy/kubernetes/{overlay}");
    if !components.is_empty() {
        let file = copy.path().join(&place).join("kustomization.yaml");
        let paths = components.iter().map(|name| format!("../../components/{name}"));
        let line = format!("components: [{}]\n", paths.collect::<Vec<_>>().join(", "));
        let text = fs::read_to_string(&file).expect("a file") + &line;
        fs::write(&file, text).expect("a file");
    }
    let mut kubectl = Command::new("kubectl");
    kubectl.args(["kustomize", &place]).current_dir(&copy);
    let told = kubectl.output().expect("kubectl");
    assert!(told.status.success(), "{overlay}: {}", String::from_utf8_lossy(&told.stderr));
    Some(String::from_utf8(told.stdout).expect("text"))
}

fn page() -> String {
    fs::read_to_string(toolchain::root().join("docs/kubernetes.md")).expect("the page")
}

/// Those blocks of commands in docs/kubernetes.md that begin so.
fn blocks_of_the_docs(begin: &str) -> Vec<String> {
    let page = page();
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let found: Vec<String> =
        blocks.filter(|block| block.starts_with(begin)).map(str::to_owned).collect();
    assert!(!found.is_empty(), "the page has no block that begins with '{begin}'");
    found
}

fn parsed(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|one| serde_saphyr::from_str(one).expect("YAML")).collect()
}

fn documents(file: &str) -> Vec<Value> {
    let path = toolchain::root().join("deploy/kubernetes").join(file);
    parsed(&fs::read_to_string(&path).expect(file))
}

fn production() -> EnvoyConfig {
    EnvoyConfig::shipped("production.yaml").expect("a configuration")
}

#[test]
fn what_kubernetes_knows_by_itself_fits_its_schemas() {
    for (overlay, count) in OVERLAYS.into_iter().zip(["13", "13"]) {
        // Of the other component only its CRD knows what is right.
        let Some(text) = rendered(overlay, &["traces"]) else { return };
        let python = python::python(&mut |step| println!("{step}")).expect("Python");
        let directory = mpgate_testbed::directory().expect("a directory");
        let file = directory.path().join("rendered.yaml");
        fs::write(&file, &text).expect("a file");
        let input = fs::File::open(&file).expect("a file");
        let told =
            Command::new(python).args(["-c", SCHEMAS]).stdin(input).output().expect("Python");
        assert!(told.status.success(), "{overlay}: {}", String::from_utf8_lossy(&told.stderr));
        assert_eq!(String::from_utf8_lossy(&told.stdout).trim(), count, "{overlay}");
        assert!(!text.contains("control.example.com"), "a name was not filled in");
        assert!(text.contains("\"ready\": true"), "the gate answers the probe");
        assert!(
            text.contains("filename: /etc/mpgate/module/plugin.wasm"),
            "the module of the image"
        );
    }
    for name in ["envoy-gateway", "istio"] {
        rendered(name, &[]).expect("kubectl");
    }
}
