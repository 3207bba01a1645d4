//! Everything at once: control, collector and Envoy with the gate, with a consumer, two streams and
//! two senders. What the demo shows and what most tests start from.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::artifacts;
use crate::collector::Collector;
use crate::config::{EnvoyConfig, Site};
use crate::control::{Control, IssuedKey};
use crate::envoy::{Envoy, Run};
use crate::message::{Request, Response};
use crate::port::Lease;

/// The consumer that owns the streams.
pub const CONSUMER: &str = "acme";
/// The stream of the sender `billing`; its upstream is sent no secret.
pub const SHOP: &str = "G-SHOP000001";
/// The stream of the sender `crm`; its upstream is sent [`UPSTREAM_SECRET`].
pub const CLUB: &str = "G-CLUB000001";
/// The upstream's own secret, in Envoy's environment as `GA4_API_SECRET`.
pub const UPSTREAM_SECRET: &str = "upstream-secret-of-the-club";

#[cfg(feature = "tls")]
mod encryption;
#[cfg(feature = "tls")]
use self::encryption::Encryption;

type Edit = Box<dyn FnOnce(&mut EnvoyConfig) -> Result<()>>;

/// How a [`Stack`] is started.
pub struct Builder {
    config: String,
    edits: Vec<Edit>,
    run: Run,
    ports: Ports,
    upstream: Option<SocketAddr>,
    control: Option<SocketAddr>,
    directory: Option<PathBuf>,
    await_list: bool,
    module: Option<PathBuf>,
}

/// Ports to listen on; 0 takes a free one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// Envoy's listener.
    pub listener: u16,
    /// Envoy's admin listener.
    pub admin: u16,
    /// The control service.
    pub control: u16,
    /// The collector.
    pub collector: u16,
}

/// A running gate with its surroundings. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Stack {
    /// The gate. First, so that it ends first.
    pub envoy: Envoy,
    /// The analytics endpoint's stand-in.
    pub collector: Collector,
    /// The control service.
    pub control: Control,
    /// The key of `billing` for [`SHOP`].
    pub billing: IssuedKey,
    /// The key of `crm` for [`CLUB`].
    pub crm: IssuedKey,
    /// The gateway's token for control.
    pub gateway_token: String,
    #[cfg(feature = "tls")]
    tls: Option<Encryption>,
    _directory: Option<TempDir>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Builder({}, {:?}, {:?})", self.config, self.run, self.ports)
    }
}

impl Default for Builder {
    fn default() -> Self {
        let secret = ("GA4_API_SECRET".to_owned(), UPSTREAM_SECRET.to_owned());
        Self {
            config: "demo.yaml".to_owned(),
            edits: Vec::new(),
            run: Run { environment: vec![secret], ..Run::default() },
            ports: Ports::default(),
            upstream: None,
            control: None,
            directory: None,
            await_list: true,
            module: None,
        }
    }
}

impl Builder {
    /// Another file than `demo.yaml`, as [`EnvoyConfig::shipped`] names it. One that speaks TLS needs the
    /// feature `tls`.
    #[must_use]
    pub fn config(mut self, file: &str) -> Self {
        file.clone_into(&mut self.config);
        self
    }

    /// Changes the configuration before Envoy sees it.
    #[must_use]
    pub fn edit(mut self, edit: impl FnOnce(&mut EnvoyConfig) -> Result<()> + 'static) -> Self {
        self.edits.push(Box::new(edit));
        self
    }

    /// Worker threads; 2 by default.
    #[must_use]
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.run.concurrency = workers;
        self
    }

    /// One more variable in Envoy's environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.run.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Envoy's log level; `info` by default.
    #[must_use]
    pub fn log_level(mut self, level: &str) -> Self {
        level.clone_into(&mut self.run.log_level);
        self
    }

    /// More of Envoy's own command line.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.run.arguments.extend(arguments.iter().map(|one| (*one).to_owned()));
        self
    }

    /// Ports to listen on.
    #[must_use]
    pub fn ports(mut self, ports: Ports) -> Self {
        self.ports = ports;
        self
    }

    /// Another analytics endpoint than the collector.
    #[must_use]
    pub fn upstream(mut self, address: SocketAddr) -> Self {
        self.upstream = Some(address);
        self
    }

    /// Lets the gate ask here for its list, and not at the control service.
    #[must_use]
    pub fn control(mut self, address: SocketAddr) -> Self {
        self.control = Some(address);
        self
    }

    /// Another module than the one that is shipped.
    #[must_use]
    pub fn module(mut self, file: PathBuf) -> Self {
        self.module = Some(file);
        self
    }

    /// Keeps all files here, and leaves them there.
    #[must_use]
    pub fn directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Does not wait until the gate has its list.
    #[must_use]
    pub fn without_list(mut self) -> Self {
        self.await_list = false;
        self
    }

    /// Starts everything, and waits until the gate has its list.
    ///
    /// # Errors
    /// Something was not built, a port is taken, or something does not start.
    pub fn start(self) -> Result<Stack> {
        let kept = match &self.directory {
            Some(_) => None,
            None => Some(crate::directory()?),
        };
        let directory = self.directory.as_deref().or(kept.as_ref().map(TempDir::path));
        let directory = directory.context("a directory")?.to_owned();

        let control = Control::start_at(loopback(self.ports.control), &directory)?;
        let [billing, crm] = seed(&control)?;
        let gateway_token = control.create_gateway_token()?;
        let collector = Collector::start_at(loopback(self.ports.collector), &directory)?;

        let mut config = EnvoyConfig::shipped(&self.config)?;
        for edit in self.edits {
            edit(&mut config)?;
        }
        let lease = match self.ports.listener {
            0 => Lease::any()?,
            port => Lease::of(port)?,
        };
        let mut site = Site {
            listen: lease.address(),
            admin_port: self.ports.admin,
            control: self.control.unwrap_or(control.address()),
            analytics: self.upstream.unwrap_or(collector.address()),
            module: self.module.map_or_else(artifacts::module, Ok)?,
            gateway_token: gateway_token.clone(),
            tls: None,
        };
        #[cfg(feature = "tls")]
        let tls = if config.speaks_tls()? {
            Some(Encryption::put_around(&mut config, &mut site, &directory)?)
        } else {
            None
        };
        #[cfg(not(feature = "tls"))]
        anyhow::ensure!(!config.speaks_tls()?, "{} needs the feature 'tls'", self.config);
        site.admin_port = self.ports.admin;

        let envoy = Envoy::start(config, &site, &self.run, lease, &directory)?;
        if self.await_list {
            envoy.wait_for_revision(crm.revision)?;
        }
        Ok(Stack {
            envoy,
            collector,
            control,
            billing,
            crm,
            gateway_token,
            #[cfg(feature = "tls")]
            tls,
            _directory: kept,
        })
    }
}

impl Stack {
    /// Control, collector and two workers of Envoy, as `demo.yaml` has them.
    ///
    /// # Errors
    /// See [`Builder::start`].
    pub fn start() -> Result<Self> {
        Builder::default().start()
    }

    /// The same, with wishes.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Sends a request to the gate, over a connection of its own; with TLS where it speaks TLS.
    ///
    /// # Errors
    /// There is no answer.
    pub fn send(&self, request: &Request) -> Result<Response> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.authority().http1(self.envoy.address(), LISTENER_NAME)?.send(request);
        }
        self.envoy.send(request)
    }

    /// Who signed this stack's certificates, where it speaks TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn authority(&self) -> Option<&crate::tls::Authority> {
        self.tls.as_ref().map(Encryption::authority)
    }

    /// Issues a key and waits until the gate has it.
    ///
    /// # Errors
    /// Control refuses, or the gate does not get it.
    pub fn issue(&self, sender: &str, streams: &[&str]) -> Result<IssuedKey> {
        let key = self.control.create_key(CONSUMER, sender, streams)?;
        self.envoy.wait_for_revision(key.revision)?;
        Ok(key)
    }

    /// Deletes a key and waits until the gate knows.
    ///
    /// # Errors
    /// Control refuses, or the gate does not get to know.
    pub fn revoke(&self, key: &IssuedKey) -> Result<()> {
        let revision = self.control.delete_key(&key.name)?;
        self.envoy.wait_for_revision(revision)
    }

    /// Creates a stream and waits until the gate has it.
    ///
    /// # Errors
    /// Control refuses, or the gate does not get it.
    pub fn add_stream(&self, stream: &str, mode: Option<&str>, upstream: &str) -> Result<()> {
        let revision = self.control.create_stream(CONSUMER, stream, mode, upstream)?;
        self.envoy.wait_for_revision(revision)
    }

    /// Sets a stream's mode and waits until the gate has the new list. A worker compiles its streams
    /// again within a tick (100 ms), so the first answers may still be of the old mode: poll.
    ///
    /// # Errors
    /// Control refuses, or the gate does not get it.
    pub fn set_mode(&self, stream: &str, mode: Option<&str>) -> Result<()> {
        let change = json!({"mode": mode});
        let revision = self.control.change_stream(CONSUMER, stream, &change)?;
        self.envoy.wait_for_revision(revision)
    }
}

/// The name in the certificate that a TLS listener shows.
#[cfg(feature = "tls")]
pub const LISTENER_NAME: &str = "gate.example.com";

/// A genuine event of a stream, with this secret.
#[must_use]
pub fn purchase(stream: &str, secret: &str) -> Request {
    let path = format!("/mp/collect?measurement_id={stream}&api_secret={secret}");
    Request::post(path).json(&purchase_body())
}

/// The body of [`purchase`].
#[must_use]
pub fn purchase_body() -> Value {
    json!({
        "client_id": "1234567890.1700000000",
        "events": [{
            "name": "purchase",
            "params": {
                "transaction_id": "T-1001",
                "currency": "EUR",
                "value": 42.5,
                "items": [{"item_id": "SKU-1", "price": 42.5, "quantity": 1}],
            },
        }],
    })
}

pub(crate) fn seed(control: &Control) -> Result<[IssuedKey; 2]> {
    control.create_consumer(CONSUMER)?;
    control.create_stream(CONSUMER, SHOP, None, "none")?;
    control.create_stream(CONSUMER, CLUB, None, "replace(GA4_API_SECRET)")?;
    let billing = control.create_key(CONSUMER, "billing", &[SHOP])?;
    let crm = control.create_key(CONSUMER, "crm", &[CLUB])?;
    Ok([billing, crm])
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
