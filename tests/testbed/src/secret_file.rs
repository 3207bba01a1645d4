//! A secret in a file that Envoy watches, and the two ways in which another one takes its place.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result};

/// By rename, as an operator would.
pub(crate) fn replace(file: &Path, secret: &str) -> Result<()> {
    let next = file.with_extension("next");
    fs::write(&next, secret)?;
    Ok(fs::rename(next, file)?)
}

/// As the kubelet does in the volume of a Secret: the file is a link through `..data`, and that link is what is
/// swapped.
pub(crate) fn swap(file: &Path, secret: &str) -> Result<()> {
    let directory = file.parent().context("a file in a directory")?;
    let name = file.file_name().context("a file with a name")?;
    let version = tempfile::Builder::new().prefix("..").tempdir_in(directory)?.keep();
    fs::write(version.join(name), secret)?;
    let (data, next) = (directory.join("..data"), directory.join("..data_tmp"));
    symlink(version, &next)?;
    fs::rename(next, data)?;
    if !file.is_symlink() {
        let next = file.with_extension("next");
        symlink(Path::new("..data").join(name), &next)?;
        fs::rename(next, file)?;
    }
    Ok(())
}
