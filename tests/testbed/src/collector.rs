//! The collector as a child process: the witness of what came through the gate.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::http1;
use crate::message::Request;
use crate::process::Process;
use crate::{artifacts, poll};

const START: Duration = Duration::from_secs(20);

/// A running `mpgate-collector`.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    process: Process,
}

/// One request that reached the collector.
#[derive(Clone, Debug)]
pub struct Event(Value);

impl Event {
    /// The target of the request line, query included.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0["path"].as_str().unwrap_or_default()
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.0["method"].as_str().unwrap_or_default()
    }

    /// The body, as far as it was kept (8 KiB).
    #[must_use]
    pub fn body(&self) -> &str {
        self.0["body"].as_str().unwrap_or_default()
    }

    /// The whole body's size.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.0["body_bytes"].as_u64().unwrap_or_default()
    }

    /// The first header of this (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.0["headers"].as_array()?;
        headers.iter().find(|pair| pair[0] == name)?[1].as_str()
    }

    /// Whether this text occurs anywhere in it: path, headers or body.
    #[must_use]
    pub fn contains(&self, needle: &str) -> bool {
        self.0.to_string().contains(needle)
    }
}

impl Collector {
    /// Starts a collector on a free port.
    ///
    /// # Errors
    /// It was not built, or does not start.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), directory)
    }

    /// Starts a collector on this address.
    ///
    /// # Errors
    /// It was not built, or does not start; the address may be taken.
    pub fn start_at(listen: SocketAddr, directory: &Path) -> Result<Self> {
        let mut command = Command::new(artifacts::collector()?);
        command.arg("--listen").arg(listen.to_string());
        let mut process = Process::start("collector", command, directory)?;
        let address = process.wait_for("the collector's address", START, announced)?;
        Ok(Self { address, process })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests it has, oldest first.
    ///
    /// # Errors
    /// It does not answer.
    pub fn events(&self) -> Result<Vec<Event>> {
        let shown = http1::send(self.address, &Request::get("/events"))?.json()?;
        let events = shown["events"].as_array().context("no events in the answer")?;
        Ok(events.iter().cloned().map(Event).collect())
    }

    /// Waits until it has at least so many requests, and returns them.
    ///
    /// # Errors
    /// They do not come in time.
    pub fn wait_for_events(&self, count: usize) -> Result<Vec<Event>> {
        poll::until_ok(&format!("{count} events at the collector"), START, || {
            let events = self.events()?;
            Ok((events.len() >= count).then_some(events))
        })
    }

    /// Forgets what came so far.
    ///
    /// # Errors
    /// It does not answer.
    pub fn forget(&self) -> Result<()> {
        let answer = http1::send(self.address, &Request::new("DELETE", "/events"))?;
        ensure!(answer.status == 204, "the collector answered {}", answer.status);
        Ok(())
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The address of a line `listening on http://127.0.0.1:1234`.
pub(crate) fn announced(process: &Process) -> Option<SocketAddr> {
    let out = process.stdout();
    let mut lines = out.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.find_map(|line| line.trim().strip_prefix("listening on http://")?.parse().ok())
}
