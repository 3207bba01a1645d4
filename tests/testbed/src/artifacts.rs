//! What was built: the module and the programs that the test bed starts.

use std::path::PathBuf;

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
