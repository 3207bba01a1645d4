//! An image as the OCI image layout (image-spec 1.1) has it: blobs by their digest, a manifest, an index; and
//! `manifest.json` beside them, by which older engines find their way in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::layer::{Entry, archive, compress};
use super::place;
use crate::release::{Source, VERSION, sha256};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What becomes an image.
pub(super) struct Image {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) layers: Vec<Vec<Entry>>,
    /// The `config` member of the image's configuration: user, program, environment.
    pub(super) config: Value,
}

/// Where an image was written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) name: &'static str,
    pub(crate) layout: PathBuf,
    pub(crate) archive: PathBuf,
    /// Of the manifest: what `image@sha256:…` names.
    pub(crate) digest: String,
}

/// Files of the layout, by their path in it.
type Files = BTreeMap<String, Vec<u8>>;

impl Image {
    pub(super) fn write(&self, source: &Source, directory: &Path) -> Result<Written> {
        let (files, digest) = self.files(source)?;
        let layout = place(directory, self.name);
        if layout.exists() {
            fs::remove_dir_all(&layout)?;
        }
        for (path, bytes) in &files {
            let file = layout.join(path);
            let parent = file.parent().context("a file in a directory")?;
            fs::create_dir_all(parent)?;
            fs::write(&file, bytes).with_context(|| file.display().to_string())?;
        }
        let entries: Vec<Entry> =
            files.into_iter().map(|(path, bytes)| Entry::file(&path, 0o644, bytes)).collect();
        let tar = layout.with_extension("oci.tar");
        fs::write(&tar, archive(&entries, source.time)?)?;
        Ok(Written { name: self.name, layout, archive: tar, digest })
    }

    fn files(&self, source: &Source) -> Result<(Files, String)> {
        let mut files = Files::new();
        let (mut layers, mut unpacked) = (Vec::new(), Vec::new());
        for entries in &self.layers {
            let tar = archive(entries, source.time)?;
            unpacked.push(format!("sha256:{}", sha256(&tar)));
            layers.push(add(&mut files, LAYER, compress(&tar)?));
        }
        let created = source.created();
        let config = json!({
            "created": created,
            "architecture": "amd64",
            "os": "linux",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": unpacked},
            "history": [{"created": created, "created_by": "cargo xtask oci"}],
        });
        let config = add(&mut files, CONFIG, serde_json::to_vec(&config)?);
        let about = json!({
            "org.opencontainers.image.title": self.title,
            "org.opencontainers.image.version": VERSION,
            "org.opencontainers.image.revision": source.revision,
            "org.opencontainers.image.created": created,
            "org.opencontainers.image.licenses": "Apache-2.0",
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": layers,
            "annotations": about,
        });
        let tag = format!("{}:{VERSION}", self.name);
        let mut described = add(&mut files, MANIFEST, serde_json::to_vec(&manifest)?);
        let digest = described["digest"].as_str().unwrap_or_default().to_owned();
        described["platform"] = json!({"architecture": "amd64", "os": "linux"});
        described["annotations"] = json!({
            "io.containerd.image.name": format!("docker.io/{tag}"),
            "org.opencontainers.image.ref.name": VERSION,
        });
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [described]});
        files.insert("index.json".to_owned(), serde_json::to_vec(&index)?);
        files.insert("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        let older = json!([{
            "Config": blob(&config),
            "RepoTags": [tag],
            "Layers": layers.iter().map(blob).collect::<Vec<_>>(),
        }]);
        files.insert("manifest.json".to_owned(), serde_json::to_vec(&older)?);
        Ok((files, digest))
    }
}

/// Adds a blob and answers its descriptor.
fn add(files: &mut Files, media_type: &str, bytes: Vec<u8>) -> Value {
    let digest = format!("sha256:{}", sha256(&bytes));
    let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
    files.insert(blob(&descriptor), bytes);
    descriptor
}

/// Where the blob of a descriptor lies.
fn blob(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    format!("blobs/{}", digest.replace(':', "/"))
}
