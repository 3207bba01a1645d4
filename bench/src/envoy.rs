//! One Envoy, alone on its core.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mpgate_testbed::port::Lease;
use mpgate_testbed::process::Process;
use mpgate_testbed::{Request, http1, toolchain};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::ClockId;
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::config;
use crate::keys::Feed;
use crate::surroundings::Surroundings;
use crate::variants::{Filter, Variant};

const START: Duration = Duration::from_mins(5);

/// The core of the Envoys, and the one of everything else.
const ENVOY_CORE: &str = "0";
const OTHER_CORE: usize = 1;

/// Keeps this process off the Envoys' core, with all threads it will start.
pub(crate) fn leave_the_envoys_core() -> Result<()> {
    let mut set = CpuSet::new();
    set.set(OTHER_CORE)?;
    let kept = sched_setaffinity(Pid::from_raw(0), &set);
    kept.context("two cores are needed: one for Envoy, one for everything else")
}

/// A running Envoy. It ends when it is dropped.
pub(crate) struct Envoy {
    process: Process,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    _lease: Lease,
    directory: TempDir,
}

/// The file of an Envoy that is counted, before a number.
pub(crate) const PROFILE: &str = "callgrind.out";

/// How an Envoy is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    Plain,
    /// Under callgrind, which does not count yet.
    Counted,
}

impl Envoy {
    /// Starts an Envoy with this filter and waits until it serves; a gate has its list by then.
    pub(crate) fn start(
        filter: Filter,
        workers: u32,
        around: &Surroundings,
        run: Run,
    ) -> Result<Self> {
        let directory = mpgate_testbed::directory()?;
        let lease = Lease::any()?;
        let address = lease.address();
        let config = config::envoy(filter, address, around, directory.path())?;
        let file = directory.path().join("envoy.json");
        fs::write(&file, serde_json::to_vec(&config)?)?;
        let admin_file = directory.path().join("admin");
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", ENVOY_CORE]);
        if run == Run::Counted {
            command.args(["valgrind", "--tool=callgrind", "--instr-atstart=no", "--cache-sim=yes"]);
            let out = directory.path().join(PROFILE);
            command.arg(format!("--callgrind-out-file={}", out.display()));
        }
        command.arg(toolchain::envoy(&mut |step| eprintln!("{step}"))?);
        command.arg("--config-path").arg(file).arg("--admin-address-path").arg(&admin_file);
        command.args(["--concurrency", &workers.to_string(), "--log-level", "warning"]);
        command.arg("--disable-hot-restart");
        if let Filter::Gate(gate) = filter {
            around.publish(Feed::new(gate.keys, gate.grant));
        }
        let mut process = Process::start("envoy", command, directory.path())
            .context("'taskset' keeps Envoy on its core (Debian: apt install util-linux)")?;
        let admin = process.wait_for("Envoy's admin address", START, |_| {
            fs::read_to_string(&admin_file).ok()?.trim().parse().ok()
        })?;
        let is_ready = |_: &Process| {
            let ready = http1::send(admin, &Request::get("/ready")).ok()?.status == 200;
            ready.then_some(())
        };
        process.wait_for("Envoy to be ready", START, is_ready)?;
        if let Filter::Gate(gate) = filter {
            let head = Feed::new(gate.keys, gate.grant).head();
            process.wait_for("the list", START, |_| (revision(admin)? >= head).then_some(()))?;
        }
        Ok(Self { process, address, admin, _lease: lease, directory })
    }

    /// As a row has it.
    pub(crate) fn of(variant: &Variant, around: &Surroundings) -> Result<Self> {
        Self::start(variant.filter, variant.workers, around, Run::Plain)
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it has its files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// CPU time of the whole process so far.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let id = Pid::from_raw(i32::try_from(self.process.id())?);
        let time = ClockId::pid_cpu_clock_id(id)?.now()?;
        Ok(Duration::from(time))
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")).context("no VmRSS")?;
        Ok(kilobytes.trim().parse()?)
    }

    /// Envoy's complaints, for the error of a slice that went wrong.
    pub(crate) fn log(&self) -> String {
        format!("{} (admin {})", self.process.stderr(), self.admin)
    }
}

/// The revision that the gate shows, whatever labels follow the name.
fn revision(admin: SocketAddr) -> Option<usize> {
    let page = http1::send(admin, &Request::get("/stats/prometheus")).ok()?.text();
    let line = page.lines().find(|line| line.starts_with("mpgate_allowlist_revision"))?;
    line.rsplit(' ').next()?.parse().ok()
}
