//! The gateway's token for control, as files: by rename, or as the kubelet swaps it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Result;

const NAME: &str = "gateway-token";

pub(crate) fn file(directory: &Path) -> PathBuf {
    directory.join(NAME)
}

/// Puts another token in place, by rename, as an operator would.
pub(crate) fn replace(directory: &Path, token: &str) -> Result<()> {
    let next = directory.join("gateway-token.next");
    fs::write(&next, token)?;
    Ok(fs::rename(next, file(directory))?)
}

/// Puts another token in place as the kubelet does in the volume of a Secret: the file is a link through `..data`,
/// and that link is what is swapped.
pub(crate) fn swap(directory: &Path, token: &str) -> Result<()> {
    let version = tempfile::Builder::new().prefix("..").tempdir_in(directory)?.keep();
    fs::write(version.join(NAME), token)?;
    let (data, next) = (directory.join("..data"), directory.join("..data_tmp"));
    symlink(version, &next)?;
    fs::rename(next, data)?;
    if !file(directory).is_symlink() {
        let next = directory.join("gateway-token.next");
        symlink(Path::new("..data").join(NAME), &next)?;
        fs::rename(next, file(directory))?;
    }
    Ok(())
}
