//! Programs from Debian's packages, unpacked in the target directory. Nothing is installed and nothing is started;
//! root is not needed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::toolchain::{Tell, output, target_directory};

/// Options of apt.
type Options = Vec<String>;

/// Whether packages can be had.
#[must_use]
pub fn has_apt() -> bool {
    Command::new("apt-get").arg("--version").output().is_ok()
}

/// A directory of this name under the target directory that holds what the packages hold. `packages` names them,
/// with options of apt.
///
/// # Errors
/// They cannot be had; the error says what is needed.
pub fn unpacked(
    name: &str,
    needs: &str,
    tell: Tell<'_>,
    packages: impl Fn(&[String]) -> Result<Vec<String>>,
) -> Result<PathBuf> {
    let parent = target_directory();
    let place = parent.join(name);
    if place.exists() {
        return Ok(place);
    }
    fs::create_dir_all(&parent)?;
    // Tests run side by side, and the first one that comes gets it.
    let lock = File::create(parent.join(format!("{name}.lock")))?;
    lock.lock().context("a lock in the target directory")?;
    if place.exists() {
        return Ok(place);
    }
    output("apt-get", &["--version"], needs)?;
    tell(&format!("getting {name} from Debian's packages"));
    let work = tempfile::Builder::new().prefix("debian-").tempdir_in(&parent)?;
    let download = |options: &[String]| download(work.path(), options, &packages(options)?, needs);
    if download(&[]).is_err() {
        tell("the list of packages is missing or old; getting one for this only");
        download(&lists_of_our_own(work.path(), needs)?)?;
    }
    let root = work.path().join("root");
    for package in archives(work.path())? {
        let (package, root) = (package.to_string_lossy(), root.to_string_lossy());
        output("dpkg-deb", &["--extract", &package, &root], needs)?;
    }
    // The last step is a rename: who comes after an interruption finds all of it, or nothing.
    fs::rename(&root, &place)?;
    Ok(place)
}

/// A fresh image has no list of packages, and only root may write the machine's.
fn lists_of_our_own(work: &Path, needs: &str) -> Result<Options> {
    let (lists, cache) = (work.join("lists"), work.join("cache"));
    fs::create_dir_all(lists.join("partial"))?;
    fs::create_dir_all(cache.join("archives/partial"))?;
    let options: Options = [
        "--option".to_owned(),
        format!("Dir::State::Lists={}", lists.display()),
        "--option".to_owned(),
        format!("Dir::Cache={}", cache.display()),
    ]
    .into();
    let update: Vec<_> = options.iter().map(String::as_str).chain(["--quiet", "update"]).collect();
    output("apt-get", &update, needs)?;
    Ok(options)
}

/// `apt-get download` writes to the directory it is in, and checks the archives' signatures.
fn download(work: &Path, options: &[String], packages: &[String], needs: &str) -> Result<()> {
    ensure!(!packages.is_empty(), "apt knows none of the packages\n{needs}");
    let mut command = Command::new("apt-get");
    command.current_dir(work).args(options).args(["--quiet", "download"]).args(packages);
    let told = command.output().context("cannot start apt-get")?;
    let complaint = String::from_utf8_lossy(&told.stderr);
    ensure!(told.status.success(), "apt-get download: {}\n{needs}", complaint.trim());
    ensure!(!archives(work)?.is_empty(), "apt-get told of success and left no package");
    Ok(())
}

fn archives(work: &Path) -> Result<Vec<PathBuf>> {
    let found = fs::read_dir(work)?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_package = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "deb");
    Ok(found.filter(is_package).collect())
}
