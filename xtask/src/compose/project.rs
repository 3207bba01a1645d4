//! A compose file as a project of this run's own: its name, its ports, its containers.
//!
//! The file is used as it is, in a copy of the checkout: several images are built one after the other, and
//! all shall be of the same source, whoever edits a file meanwhile. An override file has no part in it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mpgate_testbed::http1::Http1;
use mpgate_testbed::stack::UPSTREAM_SECRET;
use mpgate_testbed::{Request, Response, poll, toolchain};
use serde_json::Value;

use super::engine::{Engine, lines, output, shown, shown_to_the_end};
use super::go_on;
use super::inside::Inside;

/// For Envoy's start, the module's compilation and the first list.
const START: Duration = Duration::from_secs(90);

/// A compose file, and what of it is started.
pub(super) struct Play {
    pub(super) file: &'static str,
    /// What its projects' names begin with.
    name: &'static str,
    /// Started, with what it depends on.
    last: &'static str,
    /// Healthy once they have a list.
    pub(super) gates: &'static [&'static str],
}

/// Without Grafana, whose image is its maker's as it is, and which nothing here can stand in for.
pub(super) const ONE_OF_EACH: Play = Play {
    file: "docker-compose.yml",
    name: "mpgate-compose-test",
    last: "prometheus",
    gates: &["gate"],
};

/// All of it.
pub(super) const FLEET: Play = Play {
    file: "docker-compose.fleet.yml",
    name: "mpgate-fleet-test",
    last: "balancer",
    gates: &["gate-1", "gate-2"],
};

/// Everything that compose makes under one name.
pub(super) struct Project<'a> {
    engine: &'a Engine,
    play: &'static Play,
    name: String,
    source: PathBuf,
}

impl<'a> Project<'a> {
    pub(super) fn new(engine: &'a Engine, play: &'static Play) -> Self {
        let name = format!("{}-{}", play.name, process::id());
        let source = toolchain::target_directory().join("compose-test").join(&name);
        Self { engine, play, name, source }
    }

    pub(super) fn build(&self) -> Result<()> {
        self.copy_source()?;
        shown(self.compose(&["build"]))
    }

    /// What git tracks or would track.
    fn copy_source(&self) -> Result<()> {
        let mut git = Command::new("git");
        git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
        for path in lines(git.current_dir(toolchain::root()))? {
            let (from, to) = (toolchain::root().join(&path), self.source.join(&path));
            // Deleted, and not yet committed so.
            if !from.is_file() {
                continue;
            }
            fs::create_dir_all(to.parent().context("a file is in a directory")?)?;
            fs::copy(&from, &to).with_context(|| path)?;
        }
        Ok(())
    }

    /// Starts it and waits until its gates are healthy.
    pub(super) fn up(&self) -> Result<()> {
        shown(self.compose(&["up", "--detach", "--no-build", self.play.last]))?;
        self.play.gates.iter().try_for_each(|gate| self.is_healthy(gate))
    }

    /// Waits until a service's container is healthy.
    fn is_healthy(&self, service: &str) -> Result<()> {
        poll::until_ok(&format!("{service} to be healthy"), START, || {
            go_on()?;
            let container = self.containers(&[service])?;
            let health = container.first().map(|it| &it["State"]["Health"]["Status"]);
            match health.and_then(Value::as_str) {
                Some("healthy") => Ok(Some(())),
                Some("unhealthy") => bail!("{service} is unhealthy"),
                _ => Ok(None),
            }
        })
    }

    /// Ends a service's container as a lost machine would.
    pub(super) fn kill(&self, service: &str) -> Result<()> {
        shown(self.compose(&["kill", service]))
    }

    /// Starts one that was killed, and waits until it is healthy.
    pub(super) fn start(&self, service: &str) -> Result<()> {
        shown(self.compose(&["start", service]))?;
        self.is_healthy(service)
    }

    pub(super) fn stop(&self) -> Result<()> {
        shown(self.compose(&["stop"]))
    }

    /// Where a service's port is published.
    pub(super) fn address(&self, service: &str, port: &str) -> Result<SocketAddr> {
        let told = output(&mut self.compose(&["port", service, port]))?;
        told.trim().parse().with_context(|| format!("{service} is published at '{}'", told.trim()))
    }

    /// Runs a command in a service's container. Its output is in no log.
    pub(super) fn exec(&self, service: &str, command: &[&str]) -> Result<String> {
        let mut exec = self.compose(&["exec", "-T", service]);
        output(exec.args(command))
    }

    /// One request to a port of a container's own, from inside.
    pub(super) fn ask(&self, service: &str, port: &str, request: &Request) -> Result<Response> {
        go_on()?;
        let mut exec = self.compose(&["exec", "-T", service, "bash", "-c"]);
        exec.arg(Inside::relay(port));
        let request = request.clone().header("connection", "close");
        Http1::over(Inside::over(exec)?, "localhost").send(&request)
    }

    /// What docker knows about the containers of these services; of all without a name.
    pub(super) fn containers(&self, services: &[&str]) -> Result<Vec<Value>> {
        let mut list = self.compose(&["ps", "--quiet", "--all"]);
        let ids = lines(list.args(services))?;
        let inspected = output(self.engine.docker(&["inspect"]).args(ids))?;
        serde_json::from_str(&inspected).context("docker inspect")
    }

    /// What all services have written.
    pub(super) fn logs(&self) -> Result<String> {
        output(&mut self.compose(&["logs", "--no-color"]))
    }

    /// The last words of each service, for whoever looks for the fault.
    pub(super) fn show_ending(&self) {
        if go_on().is_ok() {
            // There may be none yet.
            shown(self.compose(&["logs", "--tail", "40"])).ok();
        }
    }

    /// Removes containers, networks, volumes, and the images that were built.
    pub(super) fn down(&self) -> Result<()> {
        let arguments =
            ["down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "10"];
        if self.source.exists() {
            shown_to_the_end(self.compose(&arguments))?;
            fs::remove_dir_all(&self.source)?;
        }
        Ok(())
    }

    /// Whether nothing carries the project's name any more.
    pub(super) fn is_gone(&self) -> Result<()> {
        let label = format!("label=com.docker.compose.project={}", self.name);
        let reference = format!("reference={}*", self.name);
        let looks: [(&str, &[&str]); 4] = [
            ("containers", &["container", "ls", "--all", "--quiet", "--filter", &label]),
            ("networks", &["network", "ls", "--quiet", "--filter", &label]),
            ("volumes", &["volume", "ls", "--quiet", "--filter", &label]),
            ("images", &["image", "ls", "--quiet", "--filter", &reference]),
        ];
        for (what, arguments) in looks {
            let left = lines(&mut self.engine.docker(arguments))?;
            ensure!(left.is_empty(), "{what} of {} are left: {}", self.name, left.join(", "));
        }
        Ok(())
    }

    fn compose(&self, arguments: &[&str]) -> Command {
        let mut command = self.engine.compose(&["--project-name", &self.name]);
        command.arg("--file").arg(self.source.join(self.play.file)).args(arguments);
        // 0 lets the engine choose.
        for service in ["", "COLLECTOR_", "PROMETHEUS_", "GRAFANA_"] {
            command.env(format!("MPGATE_{service}PORT"), "0");
        }
        command.env("GA4_API_SECRET", UPSTREAM_SECRET).env_remove("COMPOSE_PROFILES");
        command.stdin(Stdio::null());
        command
    }
}
