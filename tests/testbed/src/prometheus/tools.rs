//! `prometheus` and `promtool`: those on PATH, else Debian's, unpacked in the target directory. Nothing is
//! installed and nothing is started; root is not needed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::toolchain::{Tell, output, target_directory};

const NEEDS: &str = "Prometheus 2.42 or later, so that 'prometheus' and 'promtool' are on the PATH \
                     (Debian and Ubuntu: apt-get and dpkg-deb suffice, it is then unpacked by itself)";

/// The two programs.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The server.
    pub prometheus: PathBuf,
    /// Checks configurations and rules, and plays the rules' tests.
    pub promtool: PathBuf,
}

/// The two programs, got by apt where they are not here.
///
/// # Errors
/// They are not here and cannot be got; the error says what to install.
pub fn tools(tell: Tell<'_>) -> Result<Tools> {
    let on_path = Tools { prometheus: "prometheus".into(), promtool: "promtool".into() };
    if on_path.run() {
        return Ok(on_path);
    }
    let parent = target_directory();
    let place = parent.join("prometheus-debian");
    let unpacked = Tools {
        prometheus: place.join("usr/bin/prometheus"),
        promtool: place.join("usr/bin/promtool"),
    };
    if place.exists() {
        return Ok(unpacked);
    }
    fs::create_dir_all(&parent)?;
    // Tests run side by side, and the first one that comes gets it.
    let lock = File::create(parent.join("prometheus-debian.lock"))?;
    lock.lock().context("a lock in the target directory")?;
    if !place.exists() {
        unpack(&parent, &place, tell)?;
    }
    ensure!(unpacked.run(), "the Prometheus in {} does not run here", place.display());
    Ok(unpacked)
}

/// The same for a test. Where there is no apt to get them by, it is skipped, and says so.
///
/// # Errors
/// There is an apt, and it cannot get them: a machine that runs all tests shall not pass by less.
pub fn tools_or_skip(test: &str) -> Result<Option<Tools>> {
    match tools(&mut |step| eprintln!("{step}")) {
        Ok(tools) => Ok(Some(tools)),
        Err(_) if !has_apt() => {
            // Not by a macro: the output of a test that passes is not shown.
            writeln!(std::io::stderr(), "SKIPPED {test}: install {NEEDS}")?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Tools {
    fn run(&self) -> bool {
        [&self.prometheus, &self.promtool].iter().all(|program| {
            Command::new(program).arg("--version").output().is_ok_and(|told| told.status.success())
        })
    }
}

fn has_apt() -> bool {
    Command::new("apt-get").arg("--version").output().is_ok()
}

fn unpack(parent: &Path, place: &Path, tell: Tell<'_>) -> Result<()> {
    output("apt-get", &["--version"], NEEDS)?;
    let work = tempfile::Builder::new().prefix("prometheus-").tempdir_in(parent)?;
    tell("getting Prometheus from Debian's packages (about 20 MB)");
    let package = match download(work.path(), &[]) {
        Ok(package) => package,
        Err(_) => with_lists_of_our_own(work.path(), tell)?,
    };
    let root = work.path().join("root");
    let (package, unpacked) = (package.to_string_lossy(), root.to_string_lossy());
    output("dpkg-deb", &["--extract", &package, &unpacked], NEEDS)?;
    // The last step is a rename: who comes after an interruption finds all of it, or nothing.
    Ok(fs::rename(&root, place)?)
}

/// A fresh image has no list of packages, and only root may write the machine's.
fn with_lists_of_our_own(work: &Path, tell: Tell<'_>) -> Result<PathBuf> {
    tell("the list of packages is missing or old; getting one for this only");
    let (lists, cache) = (work.join("lists"), work.join("cache"));
    fs::create_dir_all(lists.join("partial"))?;
    fs::create_dir_all(cache.join("archives/partial"))?;
    let lists = format!("Dir::State::Lists={}", lists.display());
    let cache = format!("Dir::Cache={}", cache.display());
    let options = ["--option", &lists, "--option", &cache];
    output("apt-get", &[&options[..], &["--quiet", "update"]].concat(), NEEDS)?;
    download(work, &options)
}

/// `apt-get download` writes to the directory it is in, and checks the archive's signature.
fn download(work: &Path, options: &[&str]) -> Result<PathBuf> {
    let mut command = Command::new("apt-get");
    command.current_dir(work).args(options).args(["--quiet", "download", "prometheus"]);
    let told = command.output().context("cannot start apt-get")?;
    let complaint = String::from_utf8_lossy(&told.stderr);
    ensure!(told.status.success(), "apt-get download prometheus: {}\n{NEEDS}", complaint.trim());
    let mut found = fs::read_dir(work)?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_package = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "deb");
    found.find(is_package).context("apt-get told of success and left no package")
}
