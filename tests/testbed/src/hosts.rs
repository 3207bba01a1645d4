//! Several hosts on one machine: network namespaces with an address each, joined by a switch, and the means to
//! cut one off. It takes root and Debian's iproute2.

use core::fmt;
use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context as _, Result, ensure};
use rustix::process::geteuid;

use crate::{leftovers, skip};

/// What it takes, for whoever lacks it.
const NEEDED: &str = "hosts of their own need root and 'ip' (Debian's package iproute2)";

/// A switch with its hosts. Everything goes when it is dropped.
#[derive(Debug)]
pub struct Network {
    /// What the names of its namespaces begin with.
    name: String,
    subnet: u8,
    hosts: Vec<String>,
}

/// This process may not make hosts.
#[derive(Debug)]
pub struct NotPermitted(String);

impl fmt::Display for NotPermitted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}; {NEEDED}", self.0)
    }
}

impl core::error::Error for NotPermitted {}

/// Whether hosts of their own may be made here. Where not, `what` is skipped, and says so.
///
/// # Errors
/// It is permitted and fails all the same, or nothing may be skipped.
pub fn permitted_or_skip(what: &str) -> Result<bool> {
    match Network::start() {
        Ok(_) => Ok(true),
        Err(error) if error.is::<NotPermitted>() => {
            skip(what, &format!("{error:#}")).map(|()| false)
        }
        Err(error) => Err(error),
    }
}

/// One host: whatever runs there sees its own loopback interface, and the others by their addresses.
#[derive(Clone, Debug)]
pub struct Host {
    namespace: String,
    address: Ipv4Addr,
}

impl Network {
    /// A switch that this process is connected to, too.
    ///
    /// # Errors
    /// [`NotPermitted`], or no `ip`.
    pub fn start() -> Result<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        ensure!(geteuid().is_root(), NotPermitted("this is not root".to_owned()));
        leftovers::remove_once();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Names of interfaces have 15 characters at most; ids of processes seven digits.
        let name = format!("{}{}x{number}", leftovers::NAMESPACES, std::process::id());
        let subnet = u8::try_from(std::process::id() % 200)?.wrapping_add(number);
        let network = Self { name, subnet, hosts: Vec::new() };
        let switch = network.namespace("switch");
        // The switch has a namespace of its own: rules of this machine's firewall (Docker's) are not for it.
        ip(&["netns", "add", &switch])?;
        ip(&["-n", &switch, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &switch, "link", "set", "bridge", "up"])?;
        let own = &network.name;
        ip(&["link", "add", own, "type", "veth", "peer", "name", "own", "netns", &switch])?;
        ip(&["-n", &switch, "link", "set", "own", "master", "bridge", "up"])?;
        ip(&["addr", "add", &format!("{}/24", network.own()), "dev", own])?;
        ip(&["link", "set", own, "up"])?;
        Ok(network)
    }

    /// Another host, with the last part of its address.
    ///
    /// # Errors
    /// The name or the number is taken.
    pub fn host(&mut self, name: &str, number: u8) -> Result<Host> {
        let (switch, namespace) = (self.namespace("switch"), self.namespace(name));
        ip(&["netns", "add", &namespace])?;
        self.hosts.push(namespace.clone());
        let host = Host { namespace, address: self.address(number) };
        let inside = ["-n", &host.namespace];
        let pair = ["type", "veth", "peer", "name", name, "netns", &switch];
        ip(&[&inside[..], &["link", "add", "eth0"], &pair].concat())?;
        ip(&["-n", &switch, "link", "set", name, "master", "bridge", "up"])?;
        let address = format!("{}/24", host.address);
        ip(&[&inside[..], &["addr", "add", &address, "dev", "eth0"]].concat())?;
        for interface in ["eth0", "lo"] {
            ip(&[&inside[..], &["link", "set", interface, "up"]].concat())?;
        }
        Ok(host)
    }

    /// This process's own address there.
    #[must_use]
    pub const fn own(&self) -> Ipv4Addr {
        self.address(1)
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    const fn address(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.subnet, number)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What is left of it is told by `ip`; there is nobody else to tell.
        let _gone = ip(&["link", "del", &self.name]);
        for namespace in self.hosts.iter().chain([&self.namespace("switch")]) {
            let _gone = ip(&["netns", "del", namespace]);
        }
    }
}

impl Host {
    /// Its address, by which the others and this process reach it.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A port of its address.
    #[must_use]
    pub const fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(self.address), port)
    }

    /// A command that runs there.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// From now on nothing that it sends to the other arrives, and nobody says so.
    ///
    /// # Errors
    /// It was cut off already.
    pub fn cut_from(&self, other: &Self) -> Result<()> {
        ip(&["-n", &self.namespace, "route", "add", "blackhole", &other.route()])
    }

    /// It reaches the other again.
    ///
    /// # Errors
    /// It was not cut off.
    pub fn heal(&self, other: &Self) -> Result<()> {
        ip(&["-n", &self.namespace, "route", "del", "blackhole", &other.route()])
    }

    fn route(&self) -> String {
        format!("{}/32", self.address)
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let run = Command::new("ip").args(arguments).env("LC_ALL", "C").output().context(NEEDED)?;
    let told = String::from_utf8_lossy(&run.stderr);
    let told = format!("ip {}: {}", arguments.join(" "), told.trim());
    // As root in a container that lacks the capabilities.
    let is_forbidden = ["not permitted", "Permission denied"].iter().any(|it| told.contains(it));
    ensure!(run.status.success() || !is_forbidden, NotPermitted(told));
    ensure!(run.status.success(), "{told}; {NEEDED}");
    Ok(())
}
