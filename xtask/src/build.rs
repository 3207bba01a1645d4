//! Setting up and building: the steps that the demo and the tests share.

use anyhow::Result;
use mpgate_testbed::toolchain::{self, WASM_TARGET};
use mpgate_testbed::{artifacts, postgres, prometheus, python};

use crate::dist::Part;
use crate::release;
use crate::steps::{Steps, cargo};
use crate::terminal::Terminal;

/// How many steps [`build`] takes.
pub(crate) const BUILD_STEPS: usize = 2;

pub(crate) fn setup_only(terminal: Terminal) -> Result<()> {
    let mut steps = Steps::new(terminal, 2);
    setup(&mut steps)?;
    clients(&mut steps)
}

/// How many steps [`build_for_tests`] takes.
pub(crate) const TEST_BUILD_STEPS: usize = 1 + BUILD_STEPS;

pub(crate) fn build_only(terminal: Terminal) -> Result<()> {
    let mut steps = Steps::new(terminal, 1 + TEST_BUILD_STEPS);
    setup(&mut steps)?;
    build_for_tests(&mut steps)
}

/// The same as [`build`], and the module that a test can kill.
pub(crate) fn build_for_tests(steps: &mut Steps) -> Result<()> {
    build(steps)?;
    steps.step("the filter with a trap, for tests", || {
        let module =
            ["build", "--release", "--target", WASM_TARGET, "--package", "mpgate", "--lib"];
        // In a place of its own: it may never be taken for the one that is shipped.
        let place = toolchain::target_directory().join(artifacts::TRAP_PLACE);
        let place = place.to_string_lossy().into_owned();
        cargo(&[&module[..], &["--features", "trap-for-tests", "--target-dir", &place]].concat())
    })
}

/// Gets what is missing, or says what to install.
pub(crate) fn setup(steps: &mut Steps) -> Result<()> {
    steps.step("set-up", || {
        let mut tell = |step: &str| println!("  {step}");
        toolchain::c_compiler()?;
        toolchain::rust_target(WASM_TARGET, &mut tell)?;
        let envoy = toolchain::envoy(&mut tell)?;
        println!("  Envoy {} at {}", toolchain::ENVOY_VERSION, envoy.display());
        Ok(())
    })
}

/// What a release needs, and no Envoy.
pub(crate) fn setup_release(parts: &[Part], steps: &mut Steps) -> Result<()> {
    steps.step("set-up", || {
        for part in parts {
            match part {
                Part::Module => toolchain::c_compiler()?,
                Part::Control => toolchain::musl_compiler()?,
            }
            toolchain::rust_target(part.package().1, &mut |step| println!("  {step}"))?;
        }
        Ok(())
    })
}

/// Gets the clients that the tests of control drive it with.
pub(crate) fn clients(steps: &mut Steps) -> Result<()> {
    steps.step("clients for the tests", || {
        let python = python::python(&mut |step| println!("  {step}"))?;
        println!("  Python at {}", python.display());
        let postgres = postgres::programs(&mut |step| println!("  {step}"))?;
        println!("  PostgreSQL at {}", postgres.display());
        match prometheus::tools_or_skip("what needs Prometheus")? {
            Some(tools) => println!("  Prometheus at {}", tools.prometheus.display()),
            None => println!("  no Prometheus: the tests of alerts and dashboards will be skipped"),
        }
        Ok(())
    })
}

/// Builds the module as it is shipped, and the programs around it.
pub(crate) fn build(steps: &mut Steps) -> Result<()> {
    steps.step("the filter, as a release module", || {
        release::module(&toolchain::root(), &toolchain::target_directory()).map(drop)
    })?;
    steps.step("control service and collector", || {
        cargo(&["build", "--package", "mpgate-control", "--package", "mpgate-collector"])
    })
}
