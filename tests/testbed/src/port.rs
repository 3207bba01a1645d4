//! Ports that stay free until their owner takes them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::net::sockopt::set_socket_reuseport;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use crate::poll;

/// A port of the loopback interface that nobody else is given.
///
/// A socket stays bound to it, with `SO_REUSEPORT`, and never listens. Envoy binds its listeners with
/// the same option, so it can take the port while the lease is held; everybody else, and the kernel
/// when it picks a port, passes it by.
#[derive(Debug)]
pub struct Lease {
    address: SocketAddr,
    _held: OwnedFd,
}

impl Lease {
    /// Any free port.
    ///
    /// # Errors
    /// There is none.
    pub fn any() -> Result<Self> {
        // Between finding a port and holding it somebody may come first: then another is tried.
        poll::until("a free port", Duration::from_secs(5), || {
            let found = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?.local_addr().ok()?;
            Self::hold(found).ok()
        })
    }

    /// This very port.
    ///
    /// # Errors
    /// Somebody has it; the error names the port.
    pub fn of(port: u16) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // Without SO_REUSEPORT first, so that a listener that set it is seen too.
        let free = TcpListener::bind(address);
        drop(free.with_context(|| format!("port {port} is taken"))?);
        Self::hold(address)
    }

    /// The address that is held.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn hold(address: SocketAddr) -> Result<Self> {
        // No child inherits it: the port is free when the lease ends, not when the last child does.
        let flags = SocketFlags::CLOEXEC;
        let held = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        set_socket_reuseport(&held, true)?;
        bind(&held, &address)?;
        Ok(Self { address, _held: held })
    }
}

/// The ports of the listeners that Envoy's operator has for himself.
#[derive(Debug)]
pub(crate) struct OwnPorts {
    pub(crate) admin: Lease,
    pub(crate) status: Lease,
    pub(crate) metrics: Lease,
}

impl OwnPorts {
    /// Free ones; the admin listener's may be a given one.
    pub(crate) fn lease(admin_port: u16) -> Result<Self> {
        let admin = if admin_port == 0 { Lease::any()? } else { Lease::of(admin_port)? };
        Ok(Self { admin, status: Lease::any()?, metrics: Lease::any()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leased_port_is_nobody_elses() {
        let lease = Lease::any().expect("a port");
        assert!(TcpListener::bind(lease.address()).is_err());
        assert!(Lease::of(lease.address().port()).is_err());
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let error = Lease::of(port).expect_err("it is taken");
        assert!(error.to_string().contains(&port.to_string()), "{error}");
    }
}
