//! The Envoy beside a backend that holds no secret: `deploy/sidecar/backend.yaml`, moved to loopback.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::config::{at, replace, set, shipped, socket_address, text};
use crate::envoy::{Run, launch};
use crate::message::{Request, Response};
use crate::port::Lease;
use crate::process::Process;
use crate::{http1, metrics::Metrics, secret_file};

/// A running sidecar.
#[derive(Debug)]
pub struct Sidecar {
    process: Process,
    address: SocketAddr,
    admin: SocketAddr,
    directory: PathBuf,
    _lease: Lease,
}

impl Sidecar {
    /// Starts it in front of a gate whose certificate `authority` signed, with this secret. `edit` may change
    /// its configuration.
    ///
    /// # Errors
    /// A file cannot be written, or Envoy does not become ready.
    pub fn start(
        gate: SocketAddr,
        authority: &Path,
        secret: &str,
        directory: &Path,
        edit: impl FnOnce(&mut Value),
    ) -> Result<Self> {
        let lease = Lease::any()?;
        secret_file::replace(&secret_of(directory), secret)?;
        let mut document = shipped("deploy/sidecar/backend.yaml")?;
        settle(&mut document, lease.address(), gate, authority, directory)?;
        edit(&mut document);
        let file = directory.join("backend.json");
        fs::write(&file, document.to_string())?;
        let (process, admin) = launch(&file, &Run::default(), directory)?;
        let (address, directory) = (lease.address(), directory.to_owned());
        Ok(Self { process, address, admin, directory, _lease: lease })
    }

    /// Sends as the backend would.
    ///
    /// # Errors
    /// There is no answer.
    pub fn send(&self, request: &Request) -> Result<Response> {
        http1::send(self.address, request)
    }

    /// What its admin listener answers.
    ///
    /// # Errors
    /// There is no answer.
    pub fn admin(&self, path: &str) -> Result<Response> {
        http1::send(self.admin, &Request::get(path))
    }

    /// What `/stats/prometheus` says.
    ///
    /// # Errors
    /// The admin listener does not answer.
    pub fn metrics(&self) -> Result<Metrics> {
        let answer = self.admin("/stats/prometheus")?;
        ensure!(answer.status == 200, "/stats/prometheus: {}", answer.status);
        Ok(Metrics::parse(&answer.text()))
    }

    /// Puts another secret in place, by rename, as an operator would.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn rotate(&self, secret: &str) -> Result<()> {
        secret_file::replace(&secret_of(&self.directory), secret)
    }

    /// Puts another secret in place as the kubelet does in a Secret that is mounted as a directory.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn swap(&self, secret: &str) -> Result<()> {
        secret_file::swap(&secret_of(&self.directory), secret)
    }

    /// All that it wrote: its own log and the access log.
    #[must_use]
    pub fn logs(&self) -> String {
        let access = fs::read_to_string(access_log(&self.directory)).unwrap_or_default();
        self.process.stdout() + &self.process.stderr() + &access
    }
}

fn settle(
    document: &mut Value,
    listen: SocketAddr,
    gate: SocketAddr,
    authority: &Path,
    directory: &Path,
) -> Result<()> {
    let listener = "/static_resources/listeners/0";
    let manager = format!("{listener}/filter_chains/0/filters/0/typed_config");
    let cluster = "/static_resources/clusters/0";
    set(document, "/admin/address/socket_address/port_value", 0.into())?;
    *at(document, &format!("{listener}/address"))? = socket_address(listen);
    let endpoint = "load_assignment/endpoints/0/lb_endpoints/0/endpoint/address";
    *at(document, &format!("{cluster}/{endpoint}"))? = socket_address(gate);
    let log = text(&access_log(directory));
    *at(document, &format!("{manager}/access_log/0/typed_config/path"))? = log;
    let mut secret = shipped("deploy/sidecar/sender-secret.yaml")?;
    let named = "/resources/0/generic_secret/secret/filename";
    *at(&mut secret, named)? = text(&secret_of(directory));
    let file = directory.join("sender-secret.json");
    fs::write(&file, secret.to_string())?;
    for (name, file) in [("sender-secret.yaml", file.as_path()), ("gate-ca.crt", authority)] {
        let replaced = replace(document, &format!("/etc/mpgate/{name}"), &text(file));
        ensure!(replaced == 1, "{name} is named {replaced} times");
    }
    Ok(())
}

fn secret_of(directory: &Path) -> PathBuf {
    directory.join("sender-secret")
}

fn access_log(directory: &Path) -> PathBuf {
    directory.join("backend-access.log")
}
