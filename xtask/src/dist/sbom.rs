//! What is in an artefact: a bill of materials in `CycloneDX` 1.6, made from what cargo says it builds from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::release::{Source, VERSION, told};

/// What is described.
pub(super) struct Artefact<'a> {
    pub(super) package: &'a str,
    pub(super) target: &'a str,
    pub(super) file: &'a str,
    pub(super) sha256: &'a str,
}

/// The bill of materials of an artefact: all crates whose code may be in it. What runs at build time only is
/// left out.
pub(super) fn describe(source: &Source, artefact: &Artefact<'_>) -> Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&source.root).args(["metadata", "--format-version", "1", "--locked"]);
    let metadata = told(command.args(["--filter-platform", artefact.target]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let checksums = checksums(&fs::read_to_string(source.root.join("Cargo.lock"))?);
    let packages: BTreeMap<&str, &Value> =
        list(&metadata["packages"]).iter().map(|package| (text(&package["id"]), package)).collect();
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"]["nodes"]).iter().map(|node| (text(&node["id"]), node)).collect();
    let root = packages.iter().find(|(_, package)| text(&package["name"]) == artefact.package);
    let (root, package) = root.with_context(|| format!("no package {}", artefact.package))?;

    let graph = reachable(root, &nodes);
    let reference = |id: &str| packages.get(id).map(|package| purl(package)).unwrap_or_default();
    let mut components: Vec<Value> = graph
        .keys()
        .filter(|id| *id != root)
        .filter_map(|id| packages.get(id))
        .map(|package| component(package, &checksums))
        .collect();
    components.sort_by_key(|component| text(&component["bom-ref"]).to_owned());
    let mut dependencies: Vec<Value> = graph
        .iter()
        .map(|(id, uses)| {
            let uses: BTreeSet<String> = uses.iter().map(|id| reference(id)).collect();
            json!({"ref": reference(id), "dependsOn": uses})
        })
        .collect();
    dependencies.sort_by_key(|dependency| text(&dependency["ref"]).to_owned());
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": source.created(),
            "tools": {"components": [{"type": "application", "name": "cargo xtask dist", "version": VERSION}]},
            "component": {
                "type": "application",
                "bom-ref": reference(root),
                "name": artefact.file,
                "version": VERSION,
                "description": package["description"],
                "licenses": [{"expression": "Apache-2.0"}],
                "hashes": [{"alg": "SHA-256", "content": artefact.sha256}],
                "properties": [
                    {"name": "mpgate:revision", "value": source.revision},
                    {"name": "mpgate:target", "value": artefact.target},
                ],
            },
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

/// What can be reached from a package by dependencies that are not for building or testing only, and what each
/// of it depends on.
fn reachable<'a>(
    root: &'a str,
    nodes: &BTreeMap<&'a str, &'a Value>,
) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut graph = BTreeMap::new();
    let mut waiting = vec![root];
    while let Some(id) = waiting.pop() {
        if graph.contains_key(id) {
            continue;
        }
        let all = nodes.get(id).map(|node| list(&node["deps"])).unwrap_or_default();
        let is_linked = |dependency: &&Value| {
            list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null())
        };
        let uses: Vec<&str> =
            all.iter().filter(is_linked).map(|dependency| text(&dependency["pkg"])).collect();
        waiting.extend(&uses);
        graph.insert(id, uses);
    }
    graph
}

fn component(package: &Value, checksums: &BTreeMap<String, String>) -> Value {
    let (name, version) = (text(&package["name"]), text(&package["version"]));
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": name,
        "version": version,
        "purl": purl(package),
    });
    if let Some(license) = package["license"].as_str() {
        // The slash is how crates wrote it before SPDX expressions.
        component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    if let Some(checksum) = checksums.get(&format!("{name} {version}")) {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    component
}

fn purl(package: &Value) -> String {
    // The only mark in a version that has to be escaped there.
    let version = text(&package["version"]).replace('+', "%2B");
    format!("pkg:cargo/{}@{version}", text(&package["name"]))
}

/// The checksums of `Cargo.lock`, by name and version.
fn checksums(lock: &str) -> BTreeMap<String, String> {
    let member = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").skip(1);
    let all = blocks.filter_map(|block| {
        let key = format!("{} {}", member(block, "name")?, member(block, "version")?);
        Some((key, member(block, "checksum")?))
    });
    all.collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
