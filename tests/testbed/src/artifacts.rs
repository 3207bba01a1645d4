//! What was built: the module and the programs that the test bed starts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::toolchain::{WASM_TARGET, target_directory};

/// The release module: tests run exactly what is shipped. `MPGATE_MODULE` names another.
///
/// # Errors
/// It was not built.
pub fn module() -> Result<PathBuf> {
    let file = format!("{WASM_TARGET}/release/mpgate.wasm");
    find("MPGATE_MODULE", &file)
}

/// Where in the target directory the module with a trap is built.
pub const TRAP_PLACE: &str = "trap-for-tests";

/// A module that a page can kill, otherwise as it is shipped. `MPGATE_TRAP_MODULE` names another.
///
/// # Errors
/// It was not built.
pub fn trap_module() -> Result<PathBuf> {
    find("MPGATE_TRAP_MODULE", &format!("{TRAP_PLACE}/{WASM_TARGET}/release/mpgate.wasm"))
}

/// The module again, with a number in a custom section at its end: the same code, and to Envoy another module, of which it
/// makes new VMs. It lies in `directory`.
///
/// # Errors
/// The module was not built, or the copy cannot be written.
pub fn other_module(number: u64, directory: &Path) -> Result<PathBuf> {
    let file = directory.join(format!("mpgate-{number}.wasm"));
    // Section 0, its size, the name's size, the name, and one byte.
    let mark = [0, 6, 4, b's', b'o', b'a', b'k', u8::try_from(number % 100)?];
    fs::write(&file, [fs::read(module()?)?.as_slice(), &mark].concat())?;
    Ok(file)
}

/// The control service and command line. `MPGATE_CONTROL` names another.
///
/// # Errors
/// It was not built.
pub fn control() -> Result<PathBuf> {
    find("MPGATE_CONTROL", "debug/mpgate")
}

/// The collector. `MPGATE_COLLECTOR` names another.
///
/// # Errors
/// It was not built.
pub fn collector() -> Result<PathBuf> {
    find("MPGATE_COLLECTOR", "debug/mpgate-collector")
}

fn find(variable: &str, built: &str) -> Result<PathBuf> {
    let path =
        std::env::var_os(variable).map_or_else(|| target_directory().join(built), PathBuf::from);
    ensure!(path.exists(), "{} is not there: run 'cargo xtask build'", path.display());
    Ok(path)
}
