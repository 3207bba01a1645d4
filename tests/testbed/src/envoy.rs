//! A real Envoy as a child process.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::config::{self, EnvoyConfig, Site};
use crate::discovery::{self, Plugin};
use crate::message::{Request, Response};
use crate::metrics::Metrics;
use crate::port::{Lease, OwnPorts};
use crate::process::Process;
use crate::{http1, poll, secret_file, toolchain};

/// A loaded machine compiles the module slowly.
const START: Duration = Duration::from_mins(3);

/// For what a running Envoy does by itself: a poll, a log line.
const SOON: Duration = Duration::from_secs(20);

/// How one Envoy is run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Worker threads.
    pub concurrency: u32,
    /// Environment variables, for `host_env_keys`.
    pub environment: Vec<(String, String)>,
    /// Envoy's log level.
    pub log_level: String,
    /// More of Envoy's own command line.
    pub arguments: Vec<String>,
}

impl Default for Run {
    fn default() -> Self {
        let log_level = "info".to_owned();
        Self { concurrency: 2, environment: Vec::new(), log_level, arguments: Vec::new() }
    }
}

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    address: SocketAddr,
    own: OwnPorts,
    directory: PathBuf,
    file: PathBuf,
    run: Run,
    _lease: Lease,
}

impl Envoy {
    /// Starts Envoy with this configuration, moved to `site`, and waits until it is ready. Its files
    /// are kept in `directory`. Whether the gate has a list by then is another question:
    /// [`Self::wait_for_list`].
    ///
    /// `lease` holds the port of `site.listen`.
    ///
    /// # Errors
    /// There is no Envoy, or it does not become ready.
    pub fn start(
        config: EnvoyConfig,
        site: &Site,
        run: &Run,
        lease: Lease,
        directory: &Path,
    ) -> Result<Self> {
        let own = OwnPorts::lease(site.admin_port)?;
        let file = config.settle(site, &own, directory)?;
        let (process, _) = launch(&file, run, directory)?;
        let directory = directory.to_owned();
        let (address, run) = (site.listen, run.clone());
        Ok(Self { process, address, own, directory, file, run, _lease: lease })
    }

    /// Kills it and starts it again, with the same configuration at the same addresses; what lay in its
    /// memory is gone.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill();
        (self.process, _) = launch(&self.file, &self.run, &self.directory)?;
        Ok(())
    }

    /// Where senders send.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The admin listener.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.own.admin.address()
    }

    /// The listener for Prometheus.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        self.own.metrics.address()
    }

    /// The listener of the status page.
    #[must_use]
    pub fn status_address(&self) -> SocketAddr {
        self.own.status.address()
    }

    /// What the status page says.
    ///
    /// # Errors
    /// It does not answer, or with something else.
    pub fn status(&self) -> Result<Value> {
        let answer = http1::send(self.status_address(), &Request::get("/mpgate/status"))?;
        ensure!(answer.status == 200, "/mpgate/status: {}", answer.status);
        answer.json()
    }

    /// Sends a request over a connection of its own.
    ///
    /// # Errors
    /// There is no answer.
    pub fn send(&self, request: &Request) -> Result<Response> {
        http1::send(self.address, request)
    }

    /// What `/stats/prometheus` says.
    ///
    /// # Errors
    /// The admin listener does not answer.
    pub fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics::parse(&self.metrics_text()?))
    }

    /// The same, as it is said.
    ///
    /// # Errors
    /// The admin listener does not answer.
    pub fn metrics_text(&self) -> Result<String> {
        let answer = http1::send(self.admin(), &Request::get("/stats/prometheus"))?;
        ensure!(answer.status == 200, "/stats/prometheus: {}", answer.status);
        Ok(answer.text())
    }

    /// One of Envoy's own counters or gauges, by its name in `/stats`; 0 where there is none.
    ///
    /// # Errors
    /// The admin listener does not answer.
    pub fn stat(&self, name: &str) -> Result<u64> {
        let answer = http1::send(self.admin(), &Request::get("/stats"))?;
        let text = answer.text();
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        Ok(lines.find(|(known, _)| *known == name).and_then(|(_, n)| n.parse().ok()).unwrap_or(0))
    }

    /// Waits until a metric's sum has at least this value.
    ///
    /// # Errors
    /// It does not get there in time.
    pub fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], least: f64) -> Result<()> {
        let what = format!("{name}{labels:?} to reach {least}");
        poll::until_ok(&what, SOON, || {
            Ok((self.metrics()?.sum(name, labels) >= least).then_some(()))
        })
        .with_context(|| self.tail())
    }

    /// Waits until the gate has a list.
    ///
    /// # Errors
    /// It gets none in time.
    pub fn wait_for_list(&self) -> Result<()> {
        self.wait_for_gauge("mpgate_allowlist_last_sync_timestamp_seconds", 1.0)
    }

    /// Waits until the gate has this revision of the list, for all workers.
    ///
    /// # Errors
    /// It does not come in time.
    pub fn wait_for_revision(&self, revision: u64) -> Result<()> {
        #[expect(clippy::cast_precision_loss, reason = "a test's revisions are small numbers")]
        let least = revision as f64;
        self.wait_for_gauge("mpgate_allowlist_revision", least)
    }

    fn wait_for_gauge(&self, name: &str, least: f64) -> Result<()> {
        let what = format!("{name} to reach {least}");
        poll::until_ok(&what, SOON, || Ok((self.metrics()?.most(name) >= least).then_some(())))
            .with_context(|| self.tail())
    }

    /// The access log as it stands, one document a request.
    ///
    /// # Errors
    /// A line is not JSON.
    pub fn access_log(&self) -> Result<Vec<Value>> {
        let text = self.access_log_text();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// The access log's text.
    #[must_use]
    pub fn access_log_text(&self) -> String {
        fs::read_to_string(config::access_log_file(&self.directory)).unwrap_or_default()
    }

    /// Waits until the access log has at least so many lines, and returns them.
    ///
    /// # Errors
    /// They do not come in time.
    pub fn wait_for_access_log(&self, lines: usize) -> Result<Vec<Value>> {
        poll::until_ok(&format!("{lines} lines in the access log"), SOON, || {
            let log = self.access_log()?;
            Ok((log.len() >= lines).then_some(log))
        })
    }

    /// Envoy's own log, the module's lines included.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// Replaces the gateway's token for control, by rename. Envoy reads it without a restart.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn replace_gateway_token(&self, token: &str) -> Result<()> {
        secret_file::replace(&config::token_file(&self.directory), token)
    }

    /// Replaces the token as the kubelet replaces a Secret that is mounted as a directory.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn swap_gateway_token(&self, token: &str) -> Result<()> {
        secret_file::swap(&config::token_file(&self.directory), token)
    }

    /// Pushes another configuration of the gate's filter, where Envoy discovers one.
    ///
    /// # Errors
    /// It discovers none, or the file cannot be written.
    pub fn push(&self, edit: impl FnOnce(&mut Plugin<'_>) -> Result<()>) -> Result<()> {
        discovery::push(&self.directory, edit)
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }
}

/// Starts Envoy with this file and waits until it is ready; also answers where its admin listener is.
pub(crate) fn launch(file: &Path, run: &Run, directory: &Path) -> Result<(Process, SocketAddr)> {
    let admin_file = directory.join("admin-address");
    let envoy = toolchain::envoy(&mut |step| eprintln!("{step}"))?;
    let mut command = arranged(Command::new(envoy), file, run);
    // Where the system chooses the admin port, Envoy tells here which.
    command.arg("--admin-address-path").arg(&admin_file);
    let mut process = Process::start("envoy", command, directory)?;
    let admin = process.wait_for("Envoy's admin address", START, |_| {
        fs::read_to_string(&admin_file).ok()?.trim().parse().ok()
    })?;
    process.wait_for("Envoy to be ready", START, |_| is_ready(admin).then_some(()))?;
    Ok((process, admin))
}

/// The command with the arguments of a run.
pub(crate) fn arranged(mut envoy: Command, file: &Path, run: &Run) -> Command {
    envoy.arg("--config-path").arg(file);
    envoy.args(["--concurrency", &run.concurrency.to_string()]);
    envoy.args(["--log-level", &run.log_level]);
    // Each Envoy for itself: the shared memory of hot restart has one name per machine.
    envoy.arg("--disable-hot-restart");
    // The default keeps access log lines back for ten seconds.
    envoy.args(["--file-flush-interval-msec", "50"]);
    envoy.args(&run.arguments);
    envoy.envs(run.environment.iter().cloned());
    envoy
}

/// Whether Envoy accepts this file: `envoy --mode validate`.
///
/// # Errors
/// It does not, or with warnings; the error holds what Envoy says.
pub fn validate_file(file: &Path) -> Result<()> {
    let mut command = Command::new(toolchain::envoy(&mut |step| eprintln!("{step}"))?);
    command.args(["--mode", "validate", "--log-level", "warning", "--config-path"]).arg(file);
    let told = command.output()?;
    let text = String::from_utf8_lossy(&told.stderr).into_owned();
    ensure!(told.status.success(), "{text}");
    ensure!(!text.contains("[warning]"), "valid, with warnings: {text}");
    Ok(())
}

fn is_ready(admin: SocketAddr) -> bool {
    http1::send(admin, &Request::get("/ready")).is_ok_and(|answer| answer.status == 200)
}

/// Whether Envoy accepts the configuration as it would be run: `envoy --mode validate`.
///
/// # Errors
/// It does not; the error holds what Envoy says.
pub fn validate(config: EnvoyConfig, site: &Site, directory: &Path) -> Result<()> {
    let own = OwnPorts::lease(site.admin_port)?;
    let file = config.settle(site, &own, directory)?;
    validate_file(&file)
}

/// An address on which nobody listens: what a control or an upstream that is down looks like.
///
/// # Errors
/// No port is free.
pub fn nowhere() -> Result<(SocketAddr, Lease)> {
    let lease = Lease::any()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, lease.address().port()));
    Ok((address, lease))
}
