//! docker-compose.yml as a project of this run's own: its name, its ports, its containers.
//!
//! The file is used as it is, in a copy of the checkout: five images are built one after the other, and
//! all shall be of the same source, whoever edits a file meanwhile. An override file has no part in it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mpgate_testbed::stack::UPSTREAM_SECRET;
use mpgate_testbed::{poll, toolchain};
use serde_json::Value;

use super::engine::{Engine, lines, output, shown, shown_to_the_end};
use super::go_on;

/// For Envoy's start, the module's compilation and the first list.
const START: Duration = Duration::from_secs(90);

/// Everything that compose makes under one name.
pub(super) struct Project<'a> {
    engine: &'a Engine,
    name: String,
    source: PathBuf,
}

impl<'a> Project<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        let name = format!("mpgate-compose-test-{}", process::id());
        let source = toolchain::target_directory().join("compose-test").join(&name);
        Self { engine, name, source }
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

    /// Starts Prometheus and what it depends on, and waits until the gate is healthy, which it is with a list.
    /// Not Grafana, whose image is its maker's as it is, and which nothing here can stand in for.
    pub(super) fn up(&self) -> Result<()> {
        shown(self.compose(&["up", "--detach", "--no-build", "prometheus"]))?;
        poll::until_ok("a healthy gate", START, || {
            go_on()?;
            let gate = self.containers(&["gate"])?;
            let health = gate.first().and_then(|gate| gate["State"]["Health"]["Status"].as_str());
            match health {
                Some("healthy") => Ok(Some(())),
                Some("unhealthy") => bail!("the gate is unhealthy"),
                _ => Ok(None),
            }
        })
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
        command.arg("--file").arg(self.source.join("docker-compose.yml")).args(arguments);
        // 0 lets the engine choose.
        for service in ["", "COLLECTOR_", "PROMETHEUS_", "GRAFANA_"] {
            command.env(format!("MPGATE_{service}PORT"), "0");
        }
        command.env("GA4_API_SECRET", UPSTREAM_SECRET).env_remove("COMPOSE_PROFILES");
        command.stdin(Stdio::null());
        command
    }
}
