//! A real Prometheus: as a child process with the shipped configuration and rules, other targets and a scrape each
//! second, or one that somebody else started.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::message::Request;
use crate::process::Process;
use crate::{http1, toolchain};

mod tools;

pub use tools::{Tools, tools, tools_or_skip};

const START: Duration = Duration::from_secs(30);

/// Where the shipped configuration and its rules are.
const SHIPPED: &str = "deploy/prometheus";

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    _process: Option<Process>,
}

impl Prometheus {
    /// One that runs there.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { address, _process: None }
    }

    /// Starts it with the shipped configuration, whose jobs go to these targets, and keeps its data in
    /// `directory`.
    ///
    /// # Errors
    /// It does not start, or the shipped configuration has no such job.
    pub fn start(tools: &Tools, targets: &[(&str, SocketAddr)], directory: &Path) -> Result<Self> {
        let file = directory.join("prometheus.json");
        fs::write(&file, configuration(targets)?.to_string())?;
        let mut command = Command::new(&tools.prometheus);
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.join("prometheus").display()));
        command.arg("--web.listen-address=127.0.0.1:0");
        let mut process = Process::start("prometheus", command, directory)?;
        let address = process.wait_for("Prometheus's address", START, |process| {
            let log = process.stderr();
            let line = log.lines().find(|line| line.contains(r#"msg="Listening on""#))?;
            line.rsplit_once("address=")?.1.trim().parse().ok()
        })?;
        process.wait_for("Prometheus to be ready", START, |_| {
            let answer = http1::send(address, &Request::get("/-/ready")).ok()?;
            (answer.status == 200).then_some(())
        })?;
        Ok(Self { address, _process: Some(process) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The result of an expression now: `data.result`.
    ///
    /// # Errors
    /// Prometheus refuses the expression; the error holds what it says.
    pub fn query(&self, expression: &str) -> Result<Value> {
        let data = self.get(&format!("/api/v1/query?query={}", encoded(expression)))?;
        Ok(data["result"].clone())
    }

    /// The result of an expression over a time, in seconds since 1970: `data.result`.
    ///
    /// # Errors
    /// Prometheus refuses the expression.
    pub fn query_range(&self, expression: &str, from: u64, to: u64, step: u64) -> Result<Value> {
        let query = encoded(expression);
        let path = format!("/api/v1/query_range?query={query}&start={from}&end={to}&step={step}");
        Ok(self.get(&path)?["result"].clone())
    }

    /// Any call of its API: `data` of the answer.
    ///
    /// # Errors
    /// It does not answer with success.
    pub fn get(&self, path: &str) -> Result<Value> {
        let answer = http1::send(self.address, &Request::get(path))?;
        let told = answer.json().with_context(|| answer.text())?;
        ensure!(told["status"] == "success", "{path}: {}", told["error"]);
        Ok(told["data"].clone())
    }
}

/// The shipped file with other targets, an interval of a second and its rules by whole paths.
fn configuration(targets: &[(&str, SocketAddr)]) -> Result<Value> {
    let shipped = toolchain::root().join(SHIPPED);
    let mut file = yaml(&shipped.join("prometheus.yml"))?;
    let global =
        json!({"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"});
    file["global"] = global;
    file["rule_files"] = json!([shipped.join("rules/*.yml")]);
    let jobs = file["scrape_configs"].as_array_mut().context("no scrape_configs")?;
    for (name, address) in targets {
        let job = jobs.iter_mut().find(|job| job["job_name"] == *name);
        let job = job.with_context(|| format!("no job '{name}'"))?;
        job["static_configs"] = json!([{"targets": [address.to_string()]}]);
    }
    ensure!(jobs.len() == targets.len(), "a job has no target here");
    Ok(file)
}

/// A YAML file as a document.
///
/// # Errors
/// It is not there, or no YAML.
pub fn yaml(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_saphyr::from_str(&text).with_context(|| path.display().to_string())
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
