//! What a release is built from, and how it is built so that it comes out the same elsewhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use mpgate_testbed::process;
use mpgate_testbed::toolchain::WASM_TARGET;
use sha2::{Digest as _, Sha256};

use crate::time;

/// The version of all of the workspace.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What control is built for: static, and with a resolver that loads nothing of the machine it runs on (decision 15).
pub(crate) const CONTROL_TARGET: &str = "x86_64-unknown-linux-musl";

/// A checkout.
pub(crate) struct Source {
    pub(crate) root: PathBuf,
    /// The commit.
    pub(crate) revision: String,
    /// The commit's time, in seconds since 1970: the time of everything that has one.
    pub(crate) time: u64,
    /// Whether it holds what is not committed.
    pub(crate) is_dirty: bool,
}

impl Source {
    /// The checkout in this directory. `SOURCE_DATE_EPOCH` sets another time than the commit's.
    pub(crate) fn of(root: &Path) -> Result<Self> {
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            told(command.current_dir(root).args(arguments))
        };
        let revision = git(&["rev-parse", "HEAD"]).context("a release is built from a checkout")?;
        let time = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(time) => time,
            Err(_) => git(&["log", "-1", "--format=%ct"])?,
        };
        let time = time.parse().with_context(|| format!("SOURCE_DATE_EPOCH: '{time}'"))?;
        let is_dirty = !git(&["status", "--porcelain"])?.is_empty();
        Ok(Self { root: root.to_owned(), revision, time, is_dirty })
    }

    /// Its time in RFC 3339.
    pub(crate) fn created(&self) -> String {
        time::rfc3339(self.time)
    }
}

/// What a command prints.
pub(crate) fn told(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {}", error.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The places of this machine that compilers write into what they make, and what stands for them. Of two that
/// fit the later one counts.
pub(crate) fn places(root: &Path, target: &Path) -> Result<Vec<(PathBuf, String)>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let registry = home.context("neither CARGO_HOME nor a home directory")?.join("registry/src");
    let sysroot = told(Command::new("rustc").current_dir(root).args(["--print", "sysroot"]))?;
    let version = told(Command::new("rustc").current_dir(root).arg("-vV"))?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
    let commit = commit.context("rustc does not name its commit")?;
    Ok(vec![
        (root.to_owned(), "/mpgate".to_owned()),
        (target.to_owned(), "/target".to_owned()),
        (registry, "/cargo".to_owned()),
        // Where the component rust-src is installed, rustc finds the library there.
        (Path::new(&sysroot).join("lib/rustlib/src/rust"), format!("/rustc/{commit}")),
    ])
}

/// Builds the module of a checkout as it is shipped.
pub(crate) fn module(root: &Path, target: &Path) -> Result<PathBuf> {
    let arguments = ["--release", "--target", WASM_TARGET, "--package", "mpgate", "--lib"];
    build(root, target, &arguments)?;
    Ok(target.join(WASM_TARGET).join("release/mpgate.wasm"))
}

/// Builds the control service of a checkout, as one static program.
pub(crate) fn control(root: &Path, target: &Path) -> Result<PathBuf> {
    let arguments =
        ["--profile", "service", "--target", CONTROL_TARGET, "--package", "mpgate-control"];
    build(root, target, &[&arguments[..], &["--bin", "mpgate"]].concat())?;
    Ok(target.join(CONTROL_TARGET).join("service/mpgate"))
}

fn build(root: &Path, target: &Path, arguments: &[&str]) -> Result<()> {
    let places = places(root, target)?;
    let remapped = |flag: &str| {
        let each = places.iter().map(|(from, to)| format!("{flag}={}={to}", from.display()));
        each.collect::<Vec<_>>()
    };
    let rust = remapped("--remap-path-prefix");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["build", "--locked"]).args(arguments);
    command.arg("--target-dir").arg(target);
    command.env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}"));
    // SQLite, ring and the allocator are C. A place may have a space in its name.
    let c: Vec<_> = remapped("-ffile-prefix-map").iter().map(|flag| format!("'{flag}'")).collect();
    command.env("CFLAGS", c.join(" ")).env("CC_SHELL_ESCAPED_FLAGS", "1");
    // What __DATE__ and __TIME__ are: the allocator has them. Not the commit's: what is built already stays as it is.
    command.env("SOURCE_DATE_EPOCH", "0");
    let status = process::run(command)?;
    ensure!(status.success(), "cargo build {} ended with {status}", arguments.join(" "));
    Ok(())
}
