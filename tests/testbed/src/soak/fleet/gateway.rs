//! One Envoy on a host of its own, in front of two controls, with everybody who sends to it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::config::{EnvoyConfig, Site, at, socket_address};
use crate::envoy::{Run, arranged};
use crate::hosts::Host;
use crate::message::Request;
use crate::metrics::Metrics;
use crate::port::OwnPorts;
use crate::process::Process;
use crate::soak::line::Line;
use crate::soak::load::event;
use crate::soak::probes::Probes;
use crate::soak::scene::RECOVERY;
use crate::stack::{SHOP, UPSTREAM_SECRET};
use crate::{artifacts, http1, poll, replicas, toolchain};

/// A loaded machine compiles the module slowly.
const START: Duration = Duration::from_mins(3);

/// Where it listens on its host: for senders, and for Prometheus.
const PORT: u16 = 8080;
const METRICS_PORT: u16 = 9903;

/// Where a gateway finds the others.
pub(super) struct Surroundings {
    pub(super) controls: Vec<SocketAddr>,
    pub(super) analytics: SocketAddr,
    pub(super) token: String,
    pub(super) workers: u32,
    /// More of its environment.
    pub(super) environment: Vec<(String, String)>,
}

pub(super) struct Gateway {
    pub(super) name: &'static str,
    pub(super) host: Host,
    pub(super) probes: Probes,
    line: Line,
    _process: Process,
}

impl Gateway {
    pub(super) fn start(
        name: &'static str,
        host: Host,
        surroundings: Surroundings,
        directory: &Path,
    ) -> Result<Self> {
        let file = configure(&host, &surroundings, directory)?;
        let secret = ("GA4_API_SECRET".to_owned(), UPSTREAM_SECRET.to_owned());
        let run = Run {
            concurrency: surroundings.workers,
            environment: [vec![secret], surroundings.environment].concat(),
            arguments: vec!["--service-node".to_owned(), name.to_owned()],
            ..Run::default()
        };
        let process = launch(&host, &file, &run, directory)?;
        let address = host.at(PORT);
        let workers = usize::try_from(surroundings.workers)?;
        let probes = Probes::start(address, workers);
        Ok(Self { name, host, probes, line: Line::new(address), _process: process })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.host.at(PORT)
    }

    pub(super) fn wait_for_revision(&self, revision: u64) -> Result<()> {
        #[expect(clippy::cast_precision_loss, reason = "a test's revisions are small numbers")]
        let least = revision as f64;
        poll::until_ok(&format!("{} to have revision {revision}", self.name), RECOVERY, || {
            Ok((self.metrics()?.most("mpgate_allowlist_revision") >= least).then_some(()))
        })
    }

    /// Waits until so many controls are healthy, in its view.
    pub(super) fn wait_for_controls(&self, count: u32) -> Result<()> {
        let label = [("envoy_cluster_name", "mpgate_control")];
        let what = format!("{} to see {count} healthy controls", self.name);
        poll::until_ok(&what, RECOVERY, || {
            let healthy = self.metrics()?.sum("envoy_cluster_membership_healthy", &label);
            Ok(((healthy - f64::from(count)).abs() < 0.5).then_some(()))
        })
    }

    /// Waits until a key is accepted; answers when it was.
    pub(super) fn use_key(&mut self, secret: &str) -> Result<Instant> {
        let request = event(self.address(), SHOP, secret);
        let mut last = String::new();
        let used = poll::until("a key to be accepted", RECOVERY, || {
            let seen = self.line.exchange(&request);
            last = seen.told();
            seen.is_accepted().then(|| seen.ended())
        });
        used.with_context(|| format!("{}: the last answer: {last}", self.name))
    }

    /// Requests that reached the upstream and were taken there.
    pub(super) fn forwarded(&self) -> Result<u64> {
        let label = [("envoy_cluster_name", "analytics"), ("envoy_response_code_class", "2")];
        let count = self.metrics()?.sum("envoy_cluster_upstream_rq_xx", &label);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small count"
        )]
        Ok(count as u64)
    }

    fn metrics(&self) -> Result<Metrics> {
        metrics(&self.host)
    }
}

fn metrics(host: &Host) -> Result<Metrics> {
    let answer = http1::send(host.at(METRICS_PORT), &Request::get("/stats/prometheus"))?;
    ensure!(answer.status == 200, "/stats/prometheus: {}", answer.status);
    Ok(Metrics::parse(&answer.text()))
}

fn launch(host: &Host, file: &Path, run: &Run, directory: &Path) -> Result<Process> {
    let envoy = toolchain::envoy(&mut |step| eprintln!("{step}"))?;
    let mut process = Process::start("envoy", arranged(host.command(envoy), file, run), directory)?;
    process.wait_for("Envoy's metrics", START, |_| metrics(host).ok())?;
    Ok(process)
}

/// The demo's configuration, on this host, in front of all controls.
fn configure(host: &Host, surroundings: &Surroundings, directory: &Path) -> Result<PathBuf> {
    let mut config = EnvoyConfig::shipped("demo.yaml")?;
    replicas::balance(&mut config, "mpgate_control", &surroundings.controls)?;
    let control = config.cluster("mpgate_control")?;
    // As production.yaml has it: a control that hangs does not close its connections, but Envoy's ping finds out.
    let http = "/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\
                /explicit_http_config";
    let keepalive = json!({"interval": "5s", "timeout": "2s"});
    *at(control, http)? = json!({"http2_protocol_options": {"connection_keepalive": keepalive}});
    let site = Site {
        listen: host.at(PORT),
        admin_port: 0,
        control: *surroundings.controls.first().context("a control")?,
        analytics: surroundings.analytics,
        module: artifacts::module()?,
        gateway_token: surroundings.token.clone(),
        tls: None,
    };
    let file = config.settle(&site, &OwnPorts::lease(0)?, directory)?;
    // Prometheus reads from another host.
    let mut document: Value = serde_json::from_slice(&fs::read(&file)?)?;
    let listeners = document["static_resources"]["listeners"].as_array_mut();
    let mut listeners = listeners.context("no listeners")?.iter_mut();
    let listener = listeners.find(|listener| listener["name"] == "mpgate_metrics");
    listener.context("no listener for metrics")?["address"] = socket_address(host.at(METRICS_PORT));
    fs::write(&file, serde_json::to_vec_pretty(&document)?)?;
    Ok(file)
}
