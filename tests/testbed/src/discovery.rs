//! Parts of Envoy's configuration that it discovers from files: a listener (LDS) or the gate's filter
//! (ECDS). A file that takes another's place is a push.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::config::EnvoyConfig;

/// What Envoy discovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovered {
    /// The whole listener.
    Listener,
    /// The configuration of the gate's filter.
    Gate,
}

/// The gate's filter as it is pushed.
pub struct Plugin<'a>(&'a mut Value);

impl Plugin<'_> {
    /// Changes the gate's own configuration.
    ///
    /// # Errors
    /// It is not there, or not JSON, or the edit fails.
    pub fn gate(&mut self, edit: impl FnOnce(&mut Value) -> Result<()>) -> Result<()> {
        let text = self.0.pointer_mut("/configuration/value").context("no gate")?;
        let mut gate = serde_json::from_str(text.as_str().context("no text")?)?;
        edit(&mut gate)?;
        *text = gate.to_string().into();
        Ok(())
    }

    /// Names another module.
    ///
    /// # Errors
    /// None is named so far.
    pub fn module(&mut self, file: &Path) -> Result<()> {
        let named = self.0.pointer_mut("/vm_config/code/local/filename").context("no module")?;
        *named = file.to_string_lossy().into_owned().into();
        Ok(())
    }
}

/// Moves a part of a configuration into a file of its own, and names the file in its place.
pub(crate) fn take_out(config: &mut EnvoyConfig, part: Discovered, directory: &Path) -> Result<()> {
    let file = file(directory, part);
    let source = json!({"path_config_source": {"path": file.to_string_lossy()}});
    let resource = match part {
        Discovered::Listener => {
            let mut listener = config.remove("/static_resources/listeners/0")?;
            listener["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
            config.set("/dynamic_resources", json!({"lds_config": source}))?;
            listener
        }
        Discovered::Gate => {
            let filter = config.http_filter("mpgate")?;
            let typed_config = filter["typed_config"].take();
            *filter = json!({"name": "mpgate", "config_discovery": {
                "config_source": source,
                "type_urls": [typed_config["@type"]],
            }});
            json!({
                "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                "name": "mpgate",
                "typed_config": typed_config,
            })
        }
    };
    write(&file, &json!({"resources": [resource]}))
}

/// Changes the gate's filter in whichever file holds it.
pub(crate) fn push(
    directory: &Path,
    edit: impl FnOnce(&mut Plugin<'_>) -> Result<()>,
) -> Result<()> {
    let parts = [Discovered::Listener, Discovered::Gate];
    let files = parts.map(|part| file(directory, part));
    let file = files.iter().find(|file| file.exists()).context("Envoy discovers nothing here")?;
    let mut response: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let resource = &mut response["resources"][0];
    let plugin = match resource.pointer_mut("/typed_config/config") {
        Some(plugin) => plugin,
        None => plugin_of(resource).context("a listener without the gate")?,
    };
    edit(&mut Plugin(plugin))?;
    write(file, &response)
}

fn plugin_of(listener: &mut Value) -> Option<&mut Value> {
    let filters = "/filter_chains/0/filters/0/typed_config/http_filters";
    let filters = listener.pointer_mut(filters)?.as_array_mut()?;
    let gate = filters.iter_mut().find(|filter| filter["name"] == "mpgate")?;
    gate.pointer_mut("/typed_config/config")
}

fn file(directory: &Path, part: Discovered) -> PathBuf {
    directory.join(match part {
        Discovered::Listener => "listener.json",
        Discovered::Gate => "gate.json",
    })
}

/// Envoy watches for a file that takes another's place, and never reads half of one.
fn write(file: &Path, document: &Value) -> Result<()> {
    let next = file.with_extension("next");
    fs::write(&next, document.to_string())?;
    Ok(fs::rename(next, file)?)
}
