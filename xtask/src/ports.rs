//! Which ports the demo listens on, and who has them if it cannot.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail, ensure};

/// A port with its name and the option that chooses another.
pub(crate) struct Wanted {
    pub(crate) port: u16,
    pub(crate) whose: &'static str,
    pub(crate) option: &'static str,
}

/// Checks that all are free and none is wanted twice; 0 takes any.
pub(crate) fn check(wanted: &[Wanted]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for Wanted { port, whose, option } in wanted.iter().filter(|wanted| wanted.port != 0) {
        ensure!(seen.insert(port), "port {port} is wanted twice: choose another with {option}");
        if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)) {
            let holder =
                holder(*port).map_or_else(|| format!("({error})"), |who| format!("by {who}"));
            bail!("port {port} ({whose}) is taken {holder}: choose another with {option}");
        }
    }
    Ok(())
}

/// The process that listens on a port, where /proc tells; nothing for somebody else's.
fn holder(port: u16) -> Option<String> {
    let socket = listening_socket(port)?;
    let wanted = format!("socket:[{socket}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        // Not /proc/self: the same process, under a name that says nothing.
        let id = process.file_name().to_string_lossy().into_owned();
        if id.parse::<u32>().is_err() {
            continue;
        }
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = |link: fs::DirEntry| {
            fs::read_link(link.path()).is_ok_and(|target| target.to_string_lossy() == wanted)
        };
        if descriptors.flatten().any(holds) {
            let name = fs::read_to_string(process.path().join("comm")).ok()?;
            return Some(format!("{} (process {id})", name.trim()));
        }
    }
    None
}

/// The inode of the listening socket: `  0: 0100007F:1F90 00000000:0000 0A … inode …`.
fn listening_socket(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let text = tables.into_iter().flatten().collect::<String>();
    let local = format!(":{port:04X}");
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&local) && *fields.get(3)? == "0A";
        listens.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(port: u16) -> Wanted {
        Wanted { port, whose: "a listener", option: "--port" }
    }

    #[test]
    fn a_taken_port_is_named_with_its_holder_and_the_way_out() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let error = check(&[wanted(port)]).expect_err("it is taken").to_string();
        for part in [&*port.to_string(), "a listener", "--port"] {
            assert!(error.contains(part), "{error}");
        }
        if cfg!(target_os = "linux") {
            assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        }
    }

    #[test]
    fn any_port_may_be_wanted_often_a_given_one_once() {
        assert!(check(&[wanted(0), wanted(0)]).is_ok());
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        assert!(check(&[wanted(port), wanted(port)]).is_err());
    }
}
