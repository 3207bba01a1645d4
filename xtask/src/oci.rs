//! `cargo xtask oci`: the module and the control service as OCI images, without a daemon: a layout in a
//! directory (what `skopeo copy oci:…`, `oras cp --from-oci-layout` and `crane push` read) and the same in one
//! tar (what `docker load` reads).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use self::image::Image;
pub(crate) use self::image::Written;
use self::layer::Entry;
use crate::release::{Source, VERSION};

mod image;
mod layer;

/// Nobody's, and not root's; the user of the containers in `docker-compose.yml` too.
const USER: u64 = 10_001;

/// Writes the module's image below `directory`.
pub(crate) fn gate(source: &Source, module: &Path, directory: &Path) -> Result<Written> {
    filter(read(module)?).write(source, directory)
}

/// Writes the control service's image below `directory`.
pub(crate) fn control(source: &Source, program: &Path, directory: &Path) -> Result<Written> {
    service(read(program)?).write(source, directory)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| file.display().to_string())
}

/// The module in the compat variant of Solo's and Istio's Wasm images, which Envoy Gateway and Istio read: an
/// image of the common media types whose one layer has one file, `plugin.wasm`.
fn filter(module: Vec<u8>) -> Image {
    Image {
        name: "mpgate/gate",
        title: "mpgate: the filter, a Wasm module for Envoy",
        layers: vec![vec![Entry::file("plugin.wasm", 0o644, module)]],
        // Nothing in it runs. The platform is what `docker build` would write.
        config: json!({}),
    }
}

/// The control service: one static program, no shell, no root. Its database is in `/var/lib/mpgate`.
fn service(program: Vec<u8>) -> Image {
    let private = |path| Entry::directory(path, 0o700).owned_by(USER);
    Image {
        name: "mpgate/control",
        title: "mpgate: the control service and the command line",
        layers: vec![vec![
            Entry::file("mpgate", 0o755, program),
            Entry::directory("tmp", 0o1777),
            Entry::directory("var", 0o755),
            Entry::directory("var/lib", 0o755),
            private("var/lib/mpgate"),
        ]],
        config: json!({
            "User": format!("{USER}:{USER}"),
            "Env": ["PATH=/", "MPGATE_DATABASE=/var/lib/mpgate/mpgate.sqlite"],
            "Entrypoint": ["/mpgate"],
            "Cmd": ["serve"],
            "WorkingDir": "/var/lib/mpgate",
            "Volumes": {"/var/lib/mpgate": {}},
            "ExposedPorts": {"8430/tcp": {}},
        }),
    }
}

/// Where an image's files are: `gate-0.1.0.oci` and `gate-0.1.0.oci.tar`.
pub(crate) fn place(directory: &Path, name: &str) -> PathBuf {
    let short = name.rsplit('/').next().unwrap_or(name);
    directory.join(format!("{short}-{VERSION}.oci"))
}

#[cfg(test)]
mod tests;
