//! A second listener, whose gate Envoy discovers from a file: another file, another configuration,
//! while everything runs.

use std::fs;
use std::path::{Path, PathBuf};

use mpgate_testbed::port::Lease;
use mpgate_testbed::stack::purchase;
use mpgate_testbed::{EnvoyConfig, Request, Response, artifacts, http1};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The listener, and the file that its gate is read from.
pub(super) struct Pushed {
    lease: Lease,
    file: PathBuf,
    _directory: TempDir,
}

impl Pushed {
    pub(super) fn new() -> Self {
        let directory = mpgate_testbed::directory().expect("a directory");
        let file = directory.path().join("gate.json");
        Self { lease: Lease::any().expect("a port"), file, _directory: directory }
    }

    /// For [`mpgate_testbed::stack::Builder::edit`]: adds the listener with this gate.
    pub(super) fn edit(
        &self,
        gate: &Value,
    ) -> impl FnOnce(&mut EnvoyConfig) -> anyhow::Result<()> + use<> {
        let (port, file, gate) = (self.lease.address().port(), self.file.clone(), gate.clone());
        move |config| {
            let mut listener = config.listener()?.clone();
            listener["name"] = "pushed".into();
            listener["address"]["socket_address"] =
                json!({"address": "127.0.0.1", "port_value": port});
            let http = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
            http["access_log"] = json!([]);
            for filter in http["http_filters"].as_array_mut().into_iter().flatten() {
                if filter["name"] == "mpgate" {
                    let mut wasm = filter["typed_config"].take();
                    let code = &mut wasm["config"]["vm_config"]["code"]["local"]["filename"];
                    *code = artifacts::module()?.to_string_lossy().into();
                    offer(&file, &wasm, &gate)?;
                    *filter = json!({"name": "mpgate", "config_discovery": {
                        "config_source": {"path_config_source": {"path": file.to_string_lossy()}},
                        "type_urls": [wasm["@type"]],
                    }});
                }
            }
            config.set("/static_resources/listeners/-", listener)
        }
    }

    /// Gives the gate another configuration, as an operator's file does.
    pub(super) fn push(&self, gate: &Value) {
        let text = fs::read_to_string(&self.file).expect("a file");
        let told: Value = serde_json::from_str(&text).expect("JSON");
        offer(&self.file, &told["resources"][0]["typed_config"], gate).expect("offered");
    }

    pub(super) fn send(&self, request: &Request) -> Response {
        http1::send(self.lease.address(), request).expect("an answer")
    }

    /// What its gate answers to an event with this secret.
    pub(super) fn answer(&self, stream: &str, secret: &str) -> (u16, String) {
        let answer = self.send(&purchase(stream, secret));
        (answer.status, answer.reason())
    }
}

/// Envoy watches for a file that takes another's place.
fn offer(file: &Path, typed_config: &Value, gate: &Value) -> anyhow::Result<()> {
    let mut wasm = typed_config.clone();
    wasm["config"]["configuration"]["value"] = gate.to_string().into();
    let extension = json!({
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": "mpgate",
        "typed_config": wasm,
    });
    let next = file.with_extension("next");
    fs::write(&next, json!({"resources": [extension]}).to_string())?;
    Ok(fs::rename(&next, file)?)
}
