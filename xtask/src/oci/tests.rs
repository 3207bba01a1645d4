//! What is written, held against the rules of the OCI image specification 1.1 and of the compat variant of
//! Wasm images.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::*;
use crate::release::sha256;

fn source() -> Source {
    Source { root: PathBuf::new(), revision: "0".repeat(40), time: 1_795_000_000, is_dirty: false }
}

fn written(directory: &Path) -> [Written; 2] {
    let file = directory.join("artefact");
    fs::write(&file, b"\0asm or ELF").expect("a file");
    [gate(&source(), &file, directory), control(&source(), &file, directory)]
        .map(|one| one.expect("an image"))
}

fn json_of(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).expect("a file")).expect("JSON")
}

/// The bytes of a descriptor, which has to tell the truth about them.
fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().expect("a digest");
    let hex = digest.strip_prefix("sha256:").expect("sha256");
    let bytes = fs::read(layout.join("blobs/sha256").join(hex)).expect("a blob");
    assert_eq!(sha256(&bytes), hex);
    assert_eq!(descriptor["size"].as_u64(), Some(bytes.len() as u64));
    bytes
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

#[test]
fn the_layout_follows_the_specification() {
    let directory = tempfile::tempdir().expect("a directory");
    for image in written(directory.path()) {
        let layout = &image.layout;
        assert_eq!(json_of(&layout.join("oci-layout"))["imageLayoutVersion"], "1.0.0");
        let index = json_of(&layout.join("index.json"));
        assert_eq!(index["schemaVersion"], 2);
        assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
        let [described] = index["manifests"].as_array().expect("manifests").as_slice() else {
            panic!("one manifest");
        };
        assert_eq!(described["digest"], image.digest.as_str());
        let manifest = parse(&blob(layout, described));
        assert_eq!(described["mediaType"], manifest["mediaType"]);
        assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        let (config, layers) =
            (&manifest["config"], manifest["layers"].as_array().expect("layers"));
        assert_eq!(config["mediaType"], "application/vnd.oci.image.config.v1+json");
        let mut blobs =
            BTreeSet::from([&described["digest"], &config["digest"]].map(Value::to_string));
        let config = parse(&blob(layout, config));
        assert_eq!(config["created"], "2026-11-18T11:06:40Z");
        assert_eq!(described["platform"]["os"], config["os"]);
        assert_eq!(described["platform"]["architecture"], config["architecture"]);
        let unpacked = config["rootfs"]["diff_ids"].as_array().expect("diff_ids");
        assert_eq!(
            (config["rootfs"]["type"].as_str(), unpacked.len()),
            (Some("layers"), layers.len())
        );
        assert_eq!(config["history"].as_array().map(Vec::len), Some(layers.len()));
        for (layer, diff_id) in layers.iter().zip(unpacked) {
            assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
            let mut tar = Vec::new();
            let packed = blob(layout, layer);
            GzDecoder::new(packed.as_slice()).read_to_end(&mut tar).expect("gzip");
            assert_eq!(*diff_id, format!("sha256:{}", sha256(&tar)));
            blobs.insert(layer["digest"].to_string());
        }
        let kept = fs::read_dir(layout.join("blobs/sha256")).expect("blobs").count();
        assert_eq!(kept, blobs.len(), "a blob that nothing names");
    }
}

fn entries(image: &Written) -> Vec<(String, u32, u64, u64)> {
    let manifest = json_of(&image.layout.join("index.json"))["manifests"][0].clone();
    let manifest = parse(&blob(&image.layout, &manifest));
    let layer = blob(&image.layout, &manifest["layers"][0]);
    let mut tar = tar::Archive::new(GzDecoder::new(layer.as_slice()));
    let entries = tar.entries().expect("entries").map(|entry| {
        let entry = entry.expect("an entry");
        let header = entry.header();
        assert_eq!(header.mtime().expect("a time"), source().time);
        assert_eq!(header.uid().expect("a user"), header.gid().expect("a group"));
        let path = entry.path().expect("a path").display().to_string();
        (
            path,
            header.mode().expect("a mode"),
            header.uid().expect("a user"),
            header.size().expect("a size"),
        )
    });
    entries.collect()
}

#[test]
fn the_filters_image_is_of_the_compat_variant() {
    let directory = tempfile::tempdir().expect("a directory");
    let [gate, _] = written(directory.path());
    assert_eq!(entries(&gate), [("plugin.wasm".to_owned(), 0o644, 0, 11)]);
}

#[test]
fn controls_image_has_a_user_without_rights_and_a_place_for_the_database() {
    let directory = tempfile::tempdir().expect("a directory");
    let [_, control] = written(directory.path());
    let expected = [
        ("mpgate", 0o755, 0, 11),
        ("tmp/", 0o1777, 0, 0),
        ("var/", 0o755, 0, 0),
        ("var/lib/", 0o755, 0, 0),
        ("var/lib/mpgate/", 0o700, 10_001, 0),
    ];
    let expected = expected.map(|(path, mode, user, size)| (path.to_owned(), mode, user, size));
    assert_eq!(entries(&control), expected);
    let older = json_of(&control.layout.join("manifest.json"));
    let config = json_of(&control.layout.join(older[0]["Config"].as_str().expect("a path")));
    assert_eq!(config["config"]["User"], "10001:10001");
    assert_eq!(config["config"]["Entrypoint"][0], "/mpgate");
}

#[test]
fn the_same_artefact_gives_the_same_bytes() {
    let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let images = directories.each_ref().map(|directory| written(directory.path()));
    for (one, other) in images[0].iter().zip(&images[1]) {
        assert_eq!(one.digest, other.digest);
        let tars = [one, other].map(|image| fs::read(&image.archive).expect("a tar"));
        assert!(tars[0] == tars[1], "{}", one.name);
    }
}
