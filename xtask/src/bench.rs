//! `cargo xtask bench`: builds what the benchmark compares, and runs it. What follows the verb is the benchmark's own.

use std::process::Command;

use anyhow::{Result, ensure};
use mpgate_testbed::process;
use mpgate_testbed::toolchain::{WASM_TARGET, target_directory};

use crate::build::setup;
use crate::steps::{Steps, cargo};
use crate::terminal::Terminal;

/// Without its own words for help, so that the benchmark's are shown.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// The benchmark's own options: --help shows them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// What is only asked for and not measured needs neither Envoy nor a filter.
const ASKS: [&str; 3] = ["-h", "--help", "--list"];

pub(crate) fn run(options: &Options, terminal: Terminal) -> Result<()> {
    let asks = options.arguments.iter().any(|argument| ASKS.contains(&argument.as_str()));
    let mut steps = Steps::new(terminal, if asks { 1 } else { 3 });
    if !asks {
        setup(&mut steps)?;
        steps.step("the filter and the one that does nothing, as release modules", || {
            let packages = ["--package", "mpgate", "--package", "mpgate-bench-sdk"];
            let build = ["build", "--release", "--target", WASM_TARGET, "--lib"];
            cargo(&[&build[..], &packages].concat())
        })?;
    }
    steps.step("the benchmark", || {
        cargo(&["build", "--profile", "service", "--package", "mpgate-bench"])
    })?;
    let mut command = Command::new(target_directory().join("service/mpgate-bench"));
    command.args(&options.arguments);
    let status = process::run(command)?;
    ensure!(status.success(), "the benchmark ended with {status}");
    Ok(())
}
