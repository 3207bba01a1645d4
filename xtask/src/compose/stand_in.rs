//! Stand-ins for public images, where there is no registry: a Debian root file system by debootstrap,
//! and in it this machine's Rust toolchain, the Envoy that the tests use, or Debian's Prometheus or PostgreSQL.
//!
//! A build inside has no network to count on, so the crates come along, by `cargo vendor`. What can be
//! kept for the next run is kept in the target directory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use mpgate_testbed::toolchain::{self, WASM_TARGET};

use super::engine::{Engine, output, shown};
use super::go_on;

/// The Debian of all stand-ins; a test compares it with what the Dockerfile names.
pub(super) const SUITE: &str = "bookworm";

/// Where the stand-in's toolchain lies. A folder of its own, as no path may come twice in an image.
const RUST: &str = "usr/local/rust";
const CARGO_HOME: &str = "usr/local/cargo";

/// Where Debian has PostgreSQL's programs; the stand-in's entrypoint, and what it runs.
const POSTGRES_BIN: &str = "usr/lib/postgresql/15/bin";
const POSTGRES: [&str; 3] = [
    "ENV PGDATA=/var/lib/postgresql/data",
    r#"ENTRYPOINT ["/usr/local/bin/docker-entrypoint.sh"]"#,
    r#"CMD ["postgres", "-c", "listen_addresses=*"]"#,
];

/// Makes an image of this name.
pub(super) fn make(engine: &Engine, name: &str) -> Result<()> {
    let debian = debian()?;
    let mut tar = Command::new("tar");
    tar.args(["--create", "--numeric-owner", "--directory"]);
    let mut changes: &[&str] = &[];
    match name.split_once(':').map(|(repository, _)| repository) {
        Some("debian") => tar.arg(debian).arg("."),
        Some("envoyproxy/envoy") => {
            let layer = envoy()?;
            tar.arg(debian).arg(".").arg("--directory").arg(layer).arg("usr/local/bin/envoy")
        }
        Some("prom/prometheus") => tar.arg(with_prometheus(&debian)?).arg("."),
        Some("postgres") => {
            changes = &POSTGRES;
            let (root, layer) = (with_postgres(&debian)?, directory("postgres")?);
            program(&layer, "docker-entrypoint.sh", |path| {
                Ok(fs::write(path, include_str!("postgres.sh"))?)
            })?;
            tar.arg(root)
                .arg(".")
                .arg("--directory")
                .arg(layer)
                .arg("usr/local/bin/docker-entrypoint.sh")
        }
        Some("rust") => {
            let (root, layer, sysroot) = (with_c_compiler(&debian)?, crates()?, sysroot()?);
            tar.arg(root)
                .arg(".")
                .arg("--directory")
                .arg(layer)
                .args([CARGO_HOME, "usr/local/bin/rustup"]);
            tar.arg("--directory").arg(sysroot);
            tar.arg(format!("--transform=flags=r;s,^(bin|lib)(/|$),{RUST}/&,x"));
            tar.args(["bin/cargo", "bin/rustc", "lib"])
        }
        _ => bail!("nothing is known that could stand in for {name}; 'docker pull {name}' first"),
    };
    import(engine, tar, name, changes)
}

/// One layer, from an archive that is never stored.
fn import(engine: &Engine, mut tar: Command, name: &str, changes: &[&str]) -> Result<()> {
    go_on()?;
    let path = format!(
        "ENV PATH=/{RUST}/bin:/{POSTGRES_BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    );
    let cargo_home = format!("ENV CARGO_HOME=/{CARGO_HOME}");
    let mut archive = tar.stdout(Stdio::piped()).spawn().context("cannot start tar")?;
    let stream = archive.stdout.take().context("tar's output")?;
    let mut import = engine.docker(&["import"]);
    for change in [&*path, &*cargo_home].iter().chain(changes) {
        import.args(["--change", change]);
    }
    let imported = import.args(["-", name]).stdin(stream).stdout(Stdio::null()).status();
    let archived = archive.wait()?;
    ensure!(imported?.success() && archived.success(), "cannot import {name}");
    Ok(())
}

/// A minimal Debian.
fn debian() -> Result<PathBuf> {
    kept("debian", |root| {
        println!("  debootstrap {SUITE}, a minute or two; kept for the next run");
        // In a mount namespace of its own: what it mounts goes with it, however it ends.
        let mut command = Command::new("unshare");
        command.args(["--mount", "debootstrap", "--variant=minbase", SUITE]).arg(root);
        shown(command).context(
            "a stand-in needs root, debootstrap (Debian: apt install debootstrap) and Debian's archive; \
             or pull the image first",
        )
    })
}

/// The same with what a `rust` image has for linking.
fn with_c_compiler(debian: &Path) -> Result<PathBuf> {
    let install = "DEBIAN_FRONTEND=noninteractive \
                   apt-get install -qq --no-install-recommends gcc libc6-dev && apt-get clean";
    grown(debian, "debian-gcc", "a C compiler", install)
}

/// The same with Prometheus. Only its program: no image has a service manager, and a package that has files in /lib would
/// put a directory in the place of that link.
fn with_prometheus(debian: &Path) -> Result<PathBuf> {
    let install = "cd /tmp && apt-get download -qq prometheus && \
                   dpkg-deb --fsys-tarfile prometheus_*.deb > files.tar && \
                   tar --extract --file=files.tar --directory=/ ./usr/bin/prometheus && \
                   rm files.tar prometheus_*.deb";
    grown(debian, "debian-prometheus", "Prometheus", install)
}

/// The same with PostgreSQL, whose user has the number that it has in the image. Without a database, which the package
/// would make and start.
fn with_postgres(debian: &Path) -> Result<PathBuf> {
    let install = "groupadd --system --gid 999 postgres && \
                   useradd --system --gid postgres --uid 999 --home-dir /var/lib/postgresql postgres && \
                   export DEBIAN_FRONTEND=noninteractive && \
                   apt-get install -qq --no-install-recommends postgresql-common && \
                   echo 'create_main_cluster = false' >> /etc/postgresql-common/createcluster.conf && \
                   apt-get install -qq --no-install-recommends postgresql-15 && apt-get clean && \
                   install --directory --owner=postgres --group=postgres /var/lib/postgresql/data";
    grown(debian, "debian-postgres", "PostgreSQL", install)
}

/// A copy of a minimal Debian with something more in it, by a command that has its archive at hand.
fn grown(debian: &Path, name: &str, what: &str, install: &str) -> Result<PathBuf> {
    kept(name, |root| {
        println!("  {what} into a copy of it; kept for the next run");
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--no-target-directory"]).arg(debian).arg(root);
        shown(copy)?;
        let script = format!("apt-get update -qq && {install} && rm -r /var/lib/apt/lists/*");
        let mut command = Command::new("chroot");
        command.arg(root).args(["sh", "-c", &script]);
        shown(command)
    })
}

/// The crates of Cargo.lock where cargo looks for them, and a rustup that has nothing left to do.
fn crates() -> Result<PathBuf> {
    let layer = directory("rust")?;
    let home = layer.join(CARGO_HOME);
    fs::create_dir_all(&home)?;
    let mut vendor = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    vendor.current_dir(toolchain::root()).args([
        "vendor",
        "--quiet",
        "--locked",
        "--versioned-dirs",
    ]);
    output(vendor.arg(home.join("vendor")))?;
    let config = format!(
        "[source.crates-io]\nreplace-with = \"vendored\"\n\n\
         [source.vendored]\ndirectory = \"/{CARGO_HOME}/vendor\"\n"
    );
    fs::write(home.join("config.toml"), config)?;
    let rustup = format!("#!/bin/sh\n[ \"$*\" = 'target add {WASM_TARGET}' ]\n");
    program(&layer, "rustup", |path| Ok(fs::write(path, &rustup)?))?;
    Ok(layer)
}

/// Envoy where the public image has it.
fn envoy() -> Result<PathBuf> {
    let layer = directory("envoy")?;
    let envoy = toolchain::envoy(&mut |step| println!("  {step}"))?;
    program(&layer, "envoy", |path| {
        fs::copy(&envoy, path).with_context(|| envoy.display().to_string())?;
        Ok(())
    })?;
    Ok(layer)
}

fn program(layer: &Path, name: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = layer.join("usr/local/bin");
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    write(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// This machine's toolchain, with the module's target.
fn sysroot() -> Result<String> {
    toolchain::rust_target(toolchain::WASM_TARGET, &mut |step| println!("  {step}"))?;
    let mut rustc = Command::new("rustc");
    let told = output(rustc.current_dir(toolchain::root()).args(["--print", "sysroot"]))?;
    Ok(told.trim().to_owned())
}

/// A directory that is there whole, or not at all.
fn kept(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let directory = directory("")?;
    let path = directory.join(name);
    if path.exists() {
        return Ok(path);
    }
    let unfinished = directory.join(format!("{name}.unfinished"));
    let mut remove = Command::new("rm");
    remove.args(["--recursive", "--force", "--one-file-system"]).arg(&unfinished);
    shown(remove)?;
    make(&unfinished)?;
    fs::rename(&unfinished, &path)?;
    Ok(path)
}

fn directory(name: &str) -> Result<PathBuf> {
    let path = toolchain::target_directory().join("compose-test").join(name);
    fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    Ok(path)
}
