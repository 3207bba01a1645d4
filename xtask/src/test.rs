//! `cargo xtask test`: everything that has to hold, in the order in which it fails soonest.

use anyhow::Result;
use clap::ValueEnum;
use mpgate_testbed::toolchain::WASM_TARGET;

use crate::build::{TEST_BUILD_STEPS, build_for_tests, clients, setup};
use crate::steps::{Steps, cargo, cargo_with};
use crate::terminal::Terminal;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run one part and what it needs.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Handed to the tests of that part: filters, and options such as --nocapture.
    #[arg(last = true, requires = "only")]
    arguments: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// rustfmt, for every crate.
    Format,
    /// clippy, for this machine and for the module's target.
    Lint,
    /// Unit and table tests, and the control service's API tests.
    Unit,
    /// What a decision may cost in instructions and allocations.
    Costs,
    /// The end-to-end tests: a real Envoy and the release module.
    E2e,
}

pub(crate) fn run(options: &Options, terminal: Terminal) -> Result<()> {
    let wanted = |part| options.only.is_none_or(|only| only == part);
    // The test bed's own tests show the shipped configurations to Envoy, so unit needs a module too.
    let module = wanted(Part::Unit) || wanted(Part::E2e);
    let count = usize::from(wanted(Part::Format))
        + 2 * usize::from(wanted(Part::Lint))
        + TEST_BUILD_STEPS * usize::from(module)
        + 3 * usize::from(wanted(Part::Unit))
        + usize::from(wanted(Part::Costs))
        + usize::from(wanted(Part::E2e));
    let mut steps = Steps::new(terminal, 1 + count);

    setup(&mut steps)?;
    if wanted(Part::Format) {
        steps.step("format", || cargo(&["fmt", "--all", "--check"]))?;
    }
    if wanted(Part::Lint) {
        lint(&mut steps)?;
    }
    if module {
        build_for_tests(&mut steps)?;
    }
    if wanted(Part::Unit) {
        clients(&mut steps)?;
        let others = ["--exclude", "mpgate-e2e", "--exclude", "mpgate-costs"];
        let unit = [&["test", "--workspace"][..], &others, &["--all-features"]].concat();
        steps.step("unit and table tests", || cargo(&handed(&unit, options)))?;
        steps.step("control's API on PostgreSQL", || {
            let api = [&unit[..], &["--test", "api"]].concat();
            let mut api = handed(&api, options);
            if options.arguments.is_empty() {
                api.push("--");
            }
            // Backups are files'; the others are on PostgreSQL in the step above already.
            api.extend(["--skip", "backup::", "--skip", "conformance::", "--skip", "postgres::"]);
            cargo_with(&[("MPGATE_TEST_DATABASE", "postgres")], &api)
        })?;
    }
    if wanted(Part::Costs) {
        // In release, as the module is built.
        let costs = ["test", "--release", "--package", "mpgate-costs"];
        steps.step("what a decision costs", || cargo(&handed(&costs, options)))?;
    }
    if wanted(Part::E2e) {
        let e2e = ["test", "--package", "mpgate-e2e"];
        steps.step("end to end, with a real Envoy", || cargo(&handed(&e2e, options)))?;
    }
    steps.table();
    Ok(())
}

fn lint(steps: &mut Steps) -> Result<()> {
    steps.step("clippy", || {
        let all = ["clippy", "--workspace", "--all-targets", "--all-features"];
        cargo(&[&all[..], &["--", "--deny", "warnings"]].concat())
    })?;
    // What is only compiled for the module's target is not seen by the step above.
    steps.step("clippy, for the module", || {
        let module = ["clippy", "--target", WASM_TARGET, "--package", "mpgate"];
        cargo(&[&module[..], &["--", "--deny", "warnings"]].concat())
    })
}

fn handed<'a>(cargo: &[&'a str], options: &'a Options) -> Vec<&'a str> {
    let mut arguments = cargo.to_vec();
    if !options.arguments.is_empty() {
        arguments.push("--");
        arguments.extend(options.arguments.iter().map(String::as_str));
    }
    arguments
}
