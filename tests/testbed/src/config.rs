//! A shipped Envoy configuration, moved to loopback: addresses, ports and files are other ones, and
//! whatever a test edits. Everything else is what operators get.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::discovery::{self, Discovered};
use crate::port::OwnPorts;
use crate::{secret_file, toolchain};

/// Where the gate's own configuration sits inside the Wasm filter.
const GATE: &str = "/typed_config/config/configuration/value";

/// Where one Envoy finds its surroundings.
#[derive(Clone, Debug)]
pub struct Site {
    /// The listener.
    pub listen: SocketAddr,
    /// The admin listener; 0 takes a free one.
    pub admin_port: u16,
    /// The control service, or a TLS front of it.
    pub control: SocketAddr,
    /// The analytics endpoint, or a TLS front of it.
    pub analytics: SocketAddr,
    /// The module.
    pub module: PathBuf,
    /// The gateway's token for control.
    pub gateway_token: String,
    /// Certificates, where the configuration speaks TLS.
    pub tls: Option<TlsFiles>,
}

/// The files of a configuration that speaks TLS.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// What the listener shows.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signed the certificates of control and of the analytics endpoint.
    pub authority: PathBuf,
}

/// A configuration as a document that can be edited.
#[derive(Clone, Debug)]
pub struct EnvoyConfig {
    document: Value,
    discovered: Option<Discovered>,
}

impl EnvoyConfig {
    /// Reads a file of `envoy/`, or one that is named from the root: `deploy/sidecar/collector.yaml`.
    ///
    /// # Errors
    /// There is no such file, or it is not YAML.
    pub fn shipped(file: &str) -> Result<Self> {
        let mut config = Self { document: shipped(file)?, discovered: None };
        // JSON in a string there; here it is edited like the rest, and written back at the end.
        let gate = config.gate()?;
        let text = gate.as_str().context("the gate's configuration is no string")?;
        *gate = serde_json::from_str(text).context("the gate's configuration")?;
        Ok(config)
    }

    /// Lets Envoy discover a part of the configuration from a file, so that it can be changed while
    /// Envoy runs: [`crate::Envoy::push`].
    pub fn discover(&mut self, part: Discovered) {
        self.discovered = Some(part);
    }

    /// The whole document.
    pub fn document(&mut self) -> &mut Value {
        &mut self.document
    }

    /// Sets a member by JSON pointer; its parent must exist. In an array `-` appends.
    ///
    /// # Errors
    /// There is no such parent.
    pub fn set(&mut self, pointer: &str, value: impl Into<Value>) -> Result<()> {
        set(&mut self.document, pointer, value.into())
    }

    /// Takes a member away by JSON pointer.
    ///
    /// # Errors
    /// There is no such member: an edit that changes nothing would prove nothing.
    pub fn remove(&mut self, pointer: &str) -> Result<Value> {
        let (parent, name) = split(pointer)?;
        let parent = self.document.pointer_mut(parent);
        let removed = match parent {
            Some(Value::Object(members)) => members.remove(name),
            Some(Value::Array(items)) => {
                let index = name.parse().ok().filter(|index| *index < items.len());
                index.map(|index: usize| items.remove(index))
            }
            _ => None,
        };
        removed.with_context(|| format!("no {pointer} in the configuration"))
    }

    /// The listener.
    ///
    /// # Errors
    /// There is none.
    pub fn listener(&mut self) -> Result<&mut Value> {
        at(&mut self.document, "/static_resources/listeners/0")
    }

    /// The listener of the status page.
    ///
    /// # Errors
    /// There is none.
    pub fn status_listener(&mut self) -> Result<&mut Value> {
        named(at(&mut self.document, "/static_resources/listeners")?, "mpgate_status")
    }

    /// The listener for Prometheus.
    ///
    /// # Errors
    /// There is none.
    pub fn metrics_listener(&mut self) -> Result<&mut Value> {
        named(at(&mut self.document, "/static_resources/listeners")?, "mpgate_metrics")
    }

    /// The HTTP connection manager's `typed_config`.
    ///
    /// # Errors
    /// There is none.
    pub fn http(&mut self) -> Result<&mut Value> {
        at(self.listener()?, "/filter_chains/0/filters/0/typed_config")
    }

    /// An HTTP filter of the listener, by name.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn http_filter(&mut self, name: &str) -> Result<&mut Value> {
        named(at(self.http()?, "/http_filters")?, name)
    }

    /// Takes an HTTP filter out of the chain.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove_http_filter(&mut self, name: &str) -> Result<()> {
        self.http_filter(name)?;
        if let Some(filters) = self.http()?["http_filters"].as_array_mut() {
            filters.retain(|filter| filter["name"] != name);
        }
        Ok(())
    }

    /// The Wasm filter's `PluginConfig`: failure policy, `vm_config` and so on.
    ///
    /// # Errors
    /// There is none.
    pub fn plugin(&mut self) -> Result<&mut Value> {
        at(self.http_filter("mpgate")?, "/typed_config/config")
    }

    /// The gate's own configuration.
    ///
    /// # Errors
    /// There is none.
    pub fn gate(&mut self) -> Result<&mut Value> {
        at(self.http_filter("mpgate")?, GATE)
    }

    /// The routes of the one virtual host.
    ///
    /// # Errors
    /// There are none.
    pub fn routes(&mut self) -> Result<&mut Vec<Value>> {
        let routes = at(self.http()?, "/route_config/virtual_hosts/0/routes")?;
        routes.as_array_mut().context("routes are no list")
    }

    /// A cluster, by name.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn cluster(&mut self, name: &str) -> Result<&mut Value> {
        named(at(&mut self.document, "/static_resources/clusters")?, name)
    }

    /// Whether the listener speaks TLS.
    ///
    /// # Errors
    /// There is no listener.
    pub fn speaks_tls(&mut self) -> Result<bool> {
        Ok(self.listener()?.pointer("/filter_chains/0/transport_socket").is_some())
    }

    /// Whether a cluster is spoken to in TLS.
    ///
    /// # Errors
    /// There is no such cluster.
    pub fn speaks_tls_to(&mut self, cluster: &str) -> Result<bool> {
        Ok(self.cluster(cluster)?.get("transport_socket").is_some())
    }

    /// Adds a plain cluster, for tests with a second upstream or a second control.
    ///
    /// # Errors
    /// The configuration has no clusters.
    pub fn add_cluster(&mut self, name: &str, address: SocketAddr) -> Result<()> {
        let endpoint = json!({"endpoint": {"address": socket_address(address)}});
        let cluster = json!({
            "name": name,
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [endpoint]}],
            },
        });
        self.set("/static_resources/clusters/-", cluster)
    }

    /// Lets a cluster lead to this address.
    ///
    /// # Errors
    /// There is no such cluster.
    pub fn point(&mut self, cluster: &str, address: SocketAddr) -> Result<()> {
        let endpoint = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address";
        *at(self.cluster(cluster)?, endpoint)? = socket_address(address);
        Ok(())
    }

    /// Moves the configuration to this site, keeping its files in `directory`, and returns the path of
    /// the file that Envoy is to read. Nothing but addresses and paths is touched.
    ///
    /// # Errors
    /// The configuration has not the shape of a shipped one, or a file cannot be written.
    pub(crate) fn settle(
        mut self,
        site: &Site,
        own: &OwnPorts,
        directory: &Path,
    ) -> Result<PathBuf> {
        self.listener()?["address"] = socket_address(site.listen);
        if let Ok(listener) = self.status_listener() {
            listener["address"] = socket_address(own.status.address());
            let module = "/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config\
                          /config/vm_config/code/local/filename";
            *at(listener, module)? = text(&site.module);
        }
        if let Ok(listener) = self.metrics_listener() {
            listener["address"] = socket_address(own.metrics.address());
            self.point("envoy_admin", own.admin.address())?;
        }
        self.set("/admin/address", socket_address(own.admin.address()))?;
        self.set("/admin/socket_options", reuse_port())?;
        self.point("mpgate_control", site.control)?;
        self.point("analytics", site.analytics)?;
        let log = access_log_file(directory);
        set(self.http()?, "/access_log/0/typed_config/path", text(&log))?;
        // A test may take the gate out, to see what the rest does without it.
        if self.http_filter("mpgate").is_ok() {
            let code = "/vm_config/code/local/filename";
            set(self.plugin()?, code, text(&site.module))?;
            let gate = self.gate()?;
            *gate = gate.to_string().into();
        }

        secret_file::replace(&token_file(directory), &site.gateway_token)?;
        let token = shipped("control-token.yaml")?;
        let token_file = text(&token_file(directory));
        let secret = [("/resources/0/generic_secret/secret/filename", token_file)];
        let token = write(directory, "control-token.json", token, &secret)?;
        let mut files = vec![("control-token.yaml", token)];

        if let Some(tls) = &site.tls {
            let resource = "/resources/0/tls_certificate";
            let watched = tls.certificate.parent().context("a certificate in no directory")?;
            let paths = [
                (&*format!("{resource}/certificate_chain/filename"), text(&tls.certificate)),
                (&*format!("{resource}/private_key/filename"), text(&tls.key)),
                (&*format!("{resource}/watched_directory/path"), text(watched)),
            ];
            let shown = shipped("server-certificate.yaml")?;
            let shown = write(directory, "server-certificate.json", shown, &paths)?;
            files.push(("server-certificate.yaml", shown));
            for cluster in ["analytics", "mpgate_control"] {
                if !self.speaks_tls_to(cluster)? {
                    continue;
                }
                let trusted = "/transport_socket/typed_config/common_tls_context\
                               /validation_context/trusted_ca/filename";
                set(self.cluster(cluster)?, trusted, text(&tls.authority))?;
            }
        }
        for (file, path) in files {
            let replaced =
                replace(&mut self.document, &format!("/etc/mpgate/{file}"), &text(&path));
            anyhow::ensure!(replaced == 1, "{file} is named {replaced} times");
        }
        if let Some(part) = self.discovered.take() {
            discovery::take_out(&mut self, part, directory)?;
        }
        write(directory, "envoy.json", self.document, &[])
    }
}

/// Where the access log goes.
pub(crate) fn access_log_file(directory: &Path) -> PathBuf {
    directory.join("access.log")
}

/// Where the gateway's token for control is.
pub(crate) fn token_file(directory: &Path) -> PathBuf {
    directory.join("gateway-token")
}

pub(crate) fn shipped(file: &str) -> Result<Value> {
    let root = toolchain::root();
    let path = if file.contains('/') { root.join(file) } else { root.join("envoy").join(file) };
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_saphyr::from_str(&text).with_context(|| path.display().to_string())
}

fn write(
    directory: &Path,
    file: &str,
    mut document: Value,
    paths: &[(&str, Value)],
) -> Result<PathBuf> {
    for (pointer, value) in paths {
        *at(&mut document, pointer)? = value.clone();
    }
    let path = directory.join(file);
    fs::write(&path, serde_json::to_vec_pretty(&document)?)?;
    Ok(path)
}

pub(crate) fn socket_address(address: SocketAddr) -> Value {
    let (host, port) = (address.ip().to_string(), address.port());
    json!({"socket_address": {"address": host, "port_value": port}})
}

/// `SO_REUSEPORT` (15, of `SOL_SOCKET`, 1), so that the admin listener can take a leased port. On other listeners
/// Envoy sets it by itself.
fn reuse_port() -> Value {
    json!([{"level": 1, "name": 15, "int_value": 1, "state": "STATE_PREBIND"}])
}

pub(crate) fn text(path: &Path) -> Value {
    path.to_string_lossy().into_owned().into()
}

pub(crate) fn at<'a>(document: &'a mut Value, pointer: &str) -> Result<&'a mut Value> {
    document.pointer_mut(pointer).with_context(|| format!("no {pointer} in the configuration"))
}

fn named<'a>(list: &'a mut Value, name: &str) -> Result<&'a mut Value> {
    let items = list.as_array_mut().context("not a list")?;
    let found = items.iter_mut().find(|item| item["name"] == name);
    found.with_context(|| format!("nothing named '{name}' in the configuration"))
}

fn split(pointer: &str) -> Result<(&str, &str)> {
    pointer.rsplit_once('/').with_context(|| format!("'{pointer}' is no JSON pointer"))
}

pub(crate) fn set(document: &mut Value, pointer: &str, value: Value) -> Result<()> {
    let (parent, name) = split(pointer)?;
    match (at(document, parent)?, name) {
        (Value::Array(items), "-") => items.push(value),
        (parent @ Value::Array(_), index) => *at(parent, &format!("/{index}"))? = value,
        (Value::Object(members), name) => {
            members.insert(name.to_owned(), value);
        }
        _ => bail!("{parent} has no members"),
    }
    Ok(())
}

/// Replaces a text wherever it is the whole value; returns how often it was.
pub(crate) fn replace(document: &mut Value, old: &str, new: &Value) -> usize {
    match document {
        Value::String(text) if text == old => {
            *document = new.clone();
            1
        }
        Value::Array(items) => items.iter_mut().map(|item| replace(item, old, new)).sum(),
        Value::Object(members) => members.values_mut().map(|item| replace(item, old, new)).sum(),
        _ => 0,
    }
}
