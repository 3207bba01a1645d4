//! A Python of the tests' own, with clients from `PyPI` that nobody here wrote. It stands in the target
//! directory, is made once, and is made anew when the list of packages changes.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::toolchain::{Tell, output, target_directory};

/// Each with its version.
const REQUIREMENTS: &str = include_str!("../python-requirements.txt");

const NEEDS: &str = "python3 (3.10 or later) with venv and pip (Debian: apt install python3-venv python3-pip), and a way to PyPI";

/// The interpreter, which has the packages of `python-requirements.txt`.
///
/// # Errors
/// It is not there and cannot be made; the error says what is missing.
pub fn python(tell: Tell<'_>) -> Result<PathBuf> {
    let digest = hex::encode(Sha256::digest(REQUIREMENTS));
    let name = format!("python-{}", digest.get(..12).unwrap_or_default());
    let parent = target_directory();
    let place = parent.join(&name);
    let python = place.join("bin").join("python");
    let whole = place.join("whole");
    if whole.exists() {
        return Ok(python);
    }
    fs::create_dir_all(&parent)?;
    // Tests run side by side, and the first one that comes makes it.
    let lock = File::create(parent.join(format!("{name}.lock")))?;
    lock.lock().context("a lock in the target directory")?;
    if whole.exists() {
        return Ok(python);
    }
    // What is there without being whole was interrupted.
    fs::remove_dir_all(&place).ok();
    let path = place.to_string_lossy().into_owned();
    tell("making a Python for the tests, with clients from PyPI (about 45 MB to download)");
    output("python3", &["-m", "venv", &path], NEEDS)?;
    let list = place.join("requirements.txt");
    fs::write(&list, REQUIREMENTS)?;
    let list = list.to_string_lossy().into_owned();
    let interpreter = python.to_string_lossy().into_owned();
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
    let packages = ["--only-binary=:all:", "--requirement", &list];
    output(&interpreter, &[&pip[..], &packages].concat(), NEEDS)?;
    File::create(&whole)?;
    Ok(python)
}
