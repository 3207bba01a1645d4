//! `prometheus` and `promtool`: those on PATH, else Debian's, unpacked in the target directory. Nothing is
//! installed and nothing is started; root is not needed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::toolchain::Tell;
use crate::{debian, skip};

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
    let packages = |_: &[String]| Ok(vec!["prometheus".to_owned()]);
    let place = debian::unpacked("prometheus-debian", NEEDS, tell, packages)?;
    let unpacked = Tools {
        prometheus: place.join("usr/bin/prometheus"),
        promtool: place.join("usr/bin/promtool"),
    };
    ensure!(unpacked.run(), "the Prometheus in {} does not run here", place.display());
    Ok(unpacked)
}

/// The same for a test. Where there is no apt to get them by, it is skipped, and says so.
///
/// # Errors
/// There is an apt, and it cannot get them: a machine that runs all tests shall not pass by less. Or nothing may be
/// skipped.
pub fn tools_or_skip(test: &str) -> Result<Option<Tools>> {
    match tools(&mut |step| eprintln!("{step}")) {
        Ok(tools) => Ok(Some(tools)),
        Err(_) if !debian::has_apt() => skip(test, &format!("install {NEEDS}")).map(|()| None),
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
