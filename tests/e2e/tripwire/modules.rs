//! Ways around the gate that a module opens which is not there, or not yet.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mpgate_testbed::stack::{SHOP, purchase};
use mpgate_testbed::{Answer, Response, Stack, Upstream, poll};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::way::{Caught, Opened, Way, try_open};

/// For Envoy to notice a file, and to answer.
const SOON: Duration = Duration::from_secs(20);

/// A module that Envoy cannot load, under a policy.
fn unloadable(name: &'static str, caught: Caught, file: &Path, policy: Value) -> Way {
    let file = file.to_string_lossy().into_owned();
    Way::new(name, caught, move |config| {
        let plugin = config.plugin().expect("a plugin");
        plugin["vm_config"]["code"]["local"]["filename"] = file.clone().into();
        let members = plugin.as_object_mut().expect("a plugin");
        members.remove("failure_policy");
        members.remove("reload_config");
        members.extend(policy.as_object().expect("members").clone());
    })
}

/// A file that is no module, and one that is a module without any export.
struct Files {
    garbage: PathBuf,
    bare: PathBuf,
    missing: PathBuf,
    _directory: TempDir,
}

impl Files {
    fn write() -> Self {
        let directory = mpgate_testbed::directory().expect("a directory");
        let garbage = directory.path().join("garbage.wasm");
        fs::write(&garbage, b"no module at all").expect("a file");
        let bare = directory.path().join("bare.wasm");
        // The eight bytes every module begins with.
        fs::write(&bare, b"\0asm\x01\0\0\0").expect("a file");
        let missing = directory.path().join("missing.wasm");
        Self { garbage, bare, missing, _directory: directory }
    }
}

/// Code that is fetched and never arrives: Envoy takes the new configuration and skips the filter.
#[test]
fn remote_code_that_never_arrives_lets_nothing_through() {
    let code = Upstream::start(|_| Answer::Silence).expect("a server");
    let address = code.address();
    let directory = mpgate_testbed::directory().expect("a directory");
    let file = directory.path().join("gate.json");
    let discovered = file.clone();
    let way = Way::new("discovered", Caught::ByTheTripwire, move |config| {
        let gate = config.http_filter("mpgate").expect("the gate");
        let wasm = gate["typed_config"].take();
        offer(&discovered, &wasm);
        *gate = json!({"name": "mpgate", "config_discovery": {
            "config_source": {"path_config_source": {"path": discovered.to_string_lossy()}},
            "type_urls": [wasm["@type"]],
        }});
    });
    let builder =
        Stack::builder().concurrency(1).edit(move |config| config.add_cluster("code", address));
    let (stack, listeners) = try_open(builder, vec![way]).expect("a stack");
    let guess = purchase(SHOP, "guess");
    let answers = |what, is: fn(&Opened, &Response) -> bool| {
        let asked = || is(&listeners[0], &listeners[0].send(&guess)).then_some(());
        poll::until(what, SOON, asked).expect(what);
    };
    answers("the local code refuses", |_, answer| answer.status == 401);

    let text = fs::read_to_string(&file).expect("a file");
    let mut wasm: Value = serde_json::from_str(&text).expect("JSON");
    let wasm = &mut wasm["resources"][0]["typed_config"];
    let vm = &mut wasm["config"]["vm_config"];
    vm["vm_id"] = "remote".into();
    vm["code"] = json!({"remote": {
        "http_uri": {"uri": "http://code/mpgate.wasm", "cluster": "code", "timeout": "60s"},
        "sha256": "0".repeat(64),
    }});
    offer(&file, wasm);
    answers("the tripwire refuses", |open, answer| open.way.caught.is(answer));
    let genuine = listeners[0].send(&purchase(SHOP, &stack.billing.secret));
    assert!(listeners[0].way.caught.is(&genuine), "{genuine:?}");
    assert!(stack.collector.events().expect("events").is_empty());
}

/// Offers a filter's configuration to Envoy, which watches for a file that takes another's place.
fn offer(file: &Path, typed_config: &Value) {
    let next = file.with_extension("next");
    let extension = json!({
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": "mpgate",
        "typed_config": typed_config,
    });
    let response = json!({"resources": [extension]});
    fs::write(&next, response.to_string()).expect("a file");
    fs::rename(&next, file).expect("a file");
}

/// Without a gate Envoy does not start at all, not even where the policy is to fail open.
#[test]
fn a_gate_that_cannot_run_keeps_envoy_down() {
    let files = Files::write();
    let fail_open = || json!({"failure_policy": "FAIL_OPEN"});
    let none = Caught::Unavailable;
    for (told, way) in [
        ("Unable to create Wasm plugin", unloadable("garbage", none, &files.garbage, fail_open())),
        ("Unable to create Wasm plugin", unloadable("no exports", none, &files.bare, fail_open())),
        ("missing.wasm", unloadable("no file", none, &files.missing, fail_open())),
        (
            "vm_config.vm_id is empty",
            Way::new("no vm_id", none, |config| {
                config.plugin().expect("a plugin")["vm_config"]["vm_id"] = "".into();
            }),
        ),
        (
            "Unable to create Wasm plugin",
            Way::new("no configuration", none, |config| {
                let plugin = config.plugin().expect("a plugin");
                plugin["failure_policy"] = "FAIL_OPEN".into();
                plugin["configuration"]["value"] = "{}".into();
            }),
        ),
        (
            "unknown field",
            Way::new("a strange member", none, |config| {
                let value = &mut config.plugin().expect("a plugin")["configuration"]["value"];
                *value =
                    value.as_str().expect("text").replacen('{', "{\"mod\": \"off\",", 1).into();
            }),
        ),
    ] {
        let name = way.name;
        let said = try_open(Stack::builder(), vec![way]).err();
        let said = said.unwrap_or_else(|| panic!("{name}: Envoy started"));
        assert!(said.contains(told), "{name}: {said}");
    }
}
