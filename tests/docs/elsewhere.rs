//! Where the addresses and paths of the docs are while a test plays them. This is all that differs
//! from what a reader types.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mpgate_testbed::port::Lease;
use mpgate_testbed::{artifacts, poll, toolchain};
use regex::Regex;

/// The ports of the docs: the demo's gate, control and collector; control's own, and its metrics; Envoy's
/// admin listener and the status page; the gate of `production.yaml`.
const PORTS: [u16; 9] = [8080, 8081, 8082, 8430, 8443, 9430, 9901, 9902, 9903];

/// The machines of `production.md`. Both are this one.
const CONTROL: &str = "control.example.com";
const GATE: &str = "gate.example.com";
const HERE: &str = "localhost";

/// Directories outside a reader's checkout.
const DIRECTORIES: [&str; 6] =
    ["/backup", "/etc/envoy", "/etc/mpgate", "/run/mpgate", "/var/lib/mpgate", "/var/log/envoy"];

/// What is copied, with the addresses changed; everything else of the checkout is linked.
const COPIED: [&str; 3] = ["deploy", "docs", "envoy"];

/// One reader's machine.
pub(crate) struct Elsewhere {
    directory: PathBuf,
    ports: Vec<(u16, u16)>,
    /// Whether what is printed of this machine is of control's in the docs.
    is_control: bool,
}

impl Elsewhere {
    pub(crate) fn new(directory: &Path, page: &str) -> Result<Self> {
        let is_control = page.contains(&format!("MPGATE_URL=https://{CONTROL}"));
        Ok(Self { directory: directory.to_owned(), ports: free_ports()?, is_control })
    }

    /// Makes a checkout, with `mpgate`, `mpgate-collector` and `envoy` in its `bin`.
    pub(crate) fn furnish(&self) -> Result<()> {
        let directory = &self.directory;
        let root = toolchain::root();
        for entry in fs::read_dir(&root)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let (from, to) = (root.join(&name), directory.join(&name));
            if COPIED.contains(&&*name) {
                self.copy(&from, &to)?;
            } else if name != ".git" && name != "target" {
                link(&from, &to)?;
            }
        }
        let target = directory.join("target");
        fs::create_dir_all(&target)?;
        for built in fs::read_dir(toolchain::target_directory())? {
            let built = built?;
            link(&built.path(), &target.join(built.file_name()))?;
        }
        for outside in DIRECTORIES {
            fs::create_dir_all(self.path(outside))?;
        }
        let bin = directory.join("bin");
        fs::create_dir(&bin)?;
        link(&artifacts::control()?, &bin.join("mpgate"))?;
        link(&artifacts::collector()?, &bin.join("mpgate-collector"))?;
        let envoy = toolchain::envoy(&mut |step| eprintln!("{step}"))?;
        link(&envoy, &bin.join("envoy"))
    }

    /// Something that runs already has this port of the docs.
    pub(crate) fn is_at(&mut self, documented: u16, here: u16) {
        self.ports.retain(|(known, _)| *known != documented);
        self.ports.push((documented, here));
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a port of the docs is on this machine.
    pub(crate) fn address(&self, documented: u16) -> Result<SocketAddr> {
        let found = self.ports.iter().find(|(known, _)| *known == documented);
        let (_, here) = found.with_context(|| format!("{documented} is no port of the docs"))?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, *here)))
    }

    /// From the docs to here.
    pub(crate) fn moved(&self, text: &str) -> String {
        // Envoy would try the other family's address of the same name.
        let text = text.replace(&format!("address: {CONTROL}"), "address: 127.0.0.1");
        let mut text = text.replace(CONTROL, HERE).replace(GATE, HERE);
        for (documented, here) in &self.ports {
            text = replaced(&text, &documented.to_string(), &here.to_string());
        }
        for outside in DIRECTORIES {
            text = text.replace(outside, &self.path(outside).to_string_lossy());
        }
        text
    }

    /// From here to the docs.
    pub(crate) fn back(&self, text: &str) -> String {
        let mut text = if self.is_control { text.replace(HERE, CONTROL) } else { text.to_owned() };
        for outside in DIRECTORIES {
            text = text.replace(&*self.path(outside).to_string_lossy(), outside);
        }
        for (documented, here) in &self.ports {
            text = replaced(&text, &here.to_string(), &documented.to_string());
        }
        text.replace(&format!("{}/", self.directory.display()), "")
    }

    fn path(&self, outside: &str) -> PathBuf {
        self.directory.join("outside").join(outside.trim_start_matches('/'))
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        if from.is_dir() {
            fs::create_dir_all(to)?;
            for entry in fs::read_dir(from)? {
                let name = entry?.file_name();
                self.copy(&from.join(&name), &to.join(&name))?;
            }
            return Ok(());
        }
        fs::copy(from, to).with_context(|| from.display().to_string())?;
        if let Ok(text) = fs::read_to_string(from) {
            fs::write(to, self.moved(&text))?;
        }
        Ok(())
    }
}

fn replaced(text: &str, old: &str, new: &str) -> String {
    let whole = Regex::new(&format!(r"\b{old}\b")).expect("a number is a pattern");
    whole.replace_all(text, new).into_owned()
}

fn link(from: &Path, to: &Path) -> Result<()> {
    std::os::unix::fs::symlink(from, to).with_context(|| to.display().to_string())
}

/// Free ports below those that the system gives out, so that nobody else is given one meanwhile.
fn free_ports() -> Result<Vec<(u16, u16)>> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 10_000;
    let mut ports = Vec::new();
    for documented in PORTS {
        let here = poll::until("a free port", Duration::from_secs(5), || {
            let turn = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            // Another process of these tests begins elsewhere.
            let port = FIRST + (std::process::id() * 97 + turn) % COUNT;
            let lease = Lease::of(u16::try_from(port).ok()?).ok()?;
            Some(lease.address().port())
        })?;
        ports.push((documented, here));
    }
    Ok(ports)
}
