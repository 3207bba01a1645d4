//! `cargo xtask <verb>`: what a person runs, and what CI runs. The same thing.
//!
//! Nothing is built or installed behind anybody's back: each step is named before it runs, its output
//! is shown while it runs, and its time is told after.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::terminal::Terminal;

mod bench;
mod build;
mod compose;
mod dashboards;
mod demo;
mod dist;
mod oci;
mod ports;
mod release;
mod soak;
mod steps;
mod terminal;
mod test;
mod time;
mod tour;

/// Set-up, build, demo and tests of mpgate.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Get what is missing: Envoy and the wasm target.
    Setup,
    /// Build the filter (release module), the control service and the collector.
    Build,
    /// Watch genuine events pass and spoofed ones bounce off a real Envoy.
    Demo(demo::Options),
    /// Run all tests: format, lints, unit and table tests, and a real Envoy with the release module.
    Test(test::Options),
    /// Change everything while requests flow through a real Envoy, and measure what becomes of them.
    Soak(soak::Options),
    /// Write Grafana's pages, `deploy/grafana/dashboards`, from their source beside them.
    Dashboards(dashboards::Options),
    /// Write the filter and the control service as OCI images; needs no container engine.
    Oci {
        /// Where to put them; target/oci by default
        #[arg(long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
    /// Build everything that a release consists of: module, static control, images, bills of materials, sums.
    Dist(dist::Options),
    /// Compare what ways to check an API key cost, side by side on one Envoy: bench --help.
    Bench(bench::Options),
    /// Run docker-compose.yml, then docker-compose.fleet.yml, with real containers; skipped where there is no Docker engine.
    ComposeTest,
}

fn main() -> ExitCode {
    let command = Command::parse();
    let terminal = Terminal::detect();
    let done = match command.verb {
        Verb::Setup => build::setup_only(terminal),
        Verb::Build => build::build_only(terminal),
        Verb::Demo(options) => demo::run(&options, terminal),
        Verb::Test(options) => test::run(&options, terminal),
        Verb::Soak(options) => soak::run(&options, terminal),
        Verb::Dashboards(options) => dashboards::run(&options, terminal),
        Verb::Oci { directory } => dist::images(directory.as_deref(), terminal),
        Verb::Dist(options) => dist::run(&options, terminal),
        Verb::Bench(options) => bench::run(&options, terminal),
        Verb::ComposeTest => compose::run(terminal),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{} {error:#}", terminal.bad("✗"));
            ExitCode::FAILURE
        }
    }
}
