//! `cargo xtask soak`: everything changes while requests flow. Prints a table of what was refused, lost
//! or accepted too late, and how long things took to come right; writes it where it is wanted.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mpgate_testbed::hosts::permitted_or_skip;
use mpgate_testbed::process::end_all;
use mpgate_testbed::soak::{
    CASES, Case, FirstLoad, Outcome, Plan, Weight, first_load, play_fleet, weigh,
};
use mpgate_testbed::toolchain;

use crate::build::{TEST_BUILD_STEPS, build_for_tests, setup};
use crate::dist::{Part, twice};
use crate::steps::{Steps, cargo};
use crate::terminal::Terminal;

mod report;

const EXAMPLES: &str = "\
Examples:
  cargo xtask soak                                  all cases, with 2 and with 4 workers
  cargo xtask soak --list                           the names of the cases
  cargo xtask soak --case control-killed --workers 4 --seconds 60
  cargo xtask soak --case lds-settings --case ecds-settings
  cargo xtask soak --case memory --case first-load  what a list costs
  cargo xtask soak --case fleet --workers 2         three gateways, two controls, PostgreSQL: each a host of its own
  cargo xtask soak --case series                    how many series strangers make
  cargo xtask soak --case two-builds                a release, twice, from two checkouts
  cargo xtask soak --write docs/promises.md        the table, in its place in that file";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Play this case only; may be given several times.
    #[arg(long = "case", value_name = "NAME", value_parser = named)]
    cases: Vec<Row>,
    /// Envoy's workers; may be given several times.
    #[arg(long, value_name = "N", default_values_t = [2, 4], value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: Vec<u32>,
    /// How long each case begins new rounds; one round is played in any case.
    #[arg(long, value_name = "S", default_value_t = 10)]
    seconds: u64,
    /// Genuine requests a second, all senders together.
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = clap::value_parser!(u32).range(24..=5_000))]
    rate: u32,
    /// Entries in a page of the first load; without it what the gate asks for by itself.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    page_entries: Option<u32>,
    /// Put the table between the markers of this Markdown file.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// List the cases and end.
    #[arg(long)]
    list: bool,
}

/// As many keys as one gateway is measured with, and as many strangers.
const LARGE: usize = 100_000;

/// What is measured.
#[derive(Clone, Copy)]
enum Row {
    Case(&'static Case),
    Memory,
    FirstLoad,
    Series,
    TwoBuilds,
    Fleet,
}

impl Row {
    fn all() -> Vec<Self> {
        let cases = CASES.iter().map(Row::Case);
        cases
            .chain([Row::Memory, Row::FirstLoad, Row::Series, Row::TwoBuilds, Row::Fleet])
            .collect()
    }

    const fn name(self) -> &'static str {
        match self {
            Row::Case(case) => case.name,
            Row::Memory => "memory",
            Row::FirstLoad => "first-load",
            Row::Series => "series",
            Row::TwoBuilds => "two-builds",
            Row::Fleet => "fleet",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Row::Case(case) => case.what,
            Row::Memory => "what an Envoy weighs, by keys and workers",
            Row::FirstLoad => "what requests feel of 100 000 keys that are loaded",
            Row::Series => "how many series 100 000 strangers make",
            Row::Fleet => {
                "three gateways, two controls, one PostgreSQL, each a host of its own (needs root)"
            }
            Row::TwoBuilds => "whether two checkouts give the same release, byte for byte",
        }
    }
}

fn named(name: &str) -> Result<Row, String> {
    let names = || Row::all().into_iter().map(Row::name).collect::<Vec<_>>().join(", ");
    let row = Row::all().into_iter().find(|row| row.name() == name);
    row.ok_or_else(|| format!("there are: {}", names()))
}

pub(crate) fn run(options: &Options, terminal: Terminal) -> Result<()> {
    if options.list {
        for row in Row::all() {
            println!("{:18} {}", row.name(), row.what());
        }
        return Ok(());
    }
    // A file without a place for the table is told of before the hour, not after it.
    if let Some(file) = &options.write {
        report::place(&read(file)?).with_context(|| file.display().to_string())?;
    }
    ctrlc::set_handler(|| {
        end_all();
        std::process::exit(130);
    })?;
    let mut steps = Steps::new(terminal, 1 + TEST_BUILD_STEPS);
    setup(&mut steps)?;
    build_for_tests(&mut steps)?;

    let figures = play(options, terminal)?;
    let tables = report::tables(&figures);
    println!("\n{tables}");
    let kept = toolchain::target_directory().join("soak.json");
    fs::write(&kept, format!("{:#}\n", report::json(&figures, options.seconds, options.rate)))?;
    println!("{}", terminal.faint(&format!("all figures: {}", kept.display())));
    if let Some(file) = &options.write {
        let told = report::told(&figures, &command(options));
        let (before, after) = report::place(&read(file)?)?;
        fs::write(file, format!("{before}{told}{after}"))?;
        println!("{}", terminal.faint(&format!("written to {}", file.display())));
    }
    let failed = figures.outcomes.iter().filter(|outcome| !outcome.faults().is_empty()).count();
    if failed > 0 {
        bail!("{failed} of {} rows did not hold", figures.outcomes.len());
    }
    Ok(())
}

/// What was measured.
#[derive(Default)]
struct Figures {
    outcomes: Vec<Outcome>,
    weights: Vec<Weight>,
    loads: Vec<FirstLoad>,
}

/// Plays each row. A case that does not come right again ends the run: what it left behind is worth
/// looking at.
fn play(options: &Options, terminal: Terminal) -> Result<Figures> {
    let rows = if options.cases.is_empty() { Row::all() } else { options.cases.clone() };
    let time = Duration::from_secs(options.seconds);
    let mut figures = Figures::default();
    for row in rows {
        match row {
            Row::Case(case) => {
                for &workers in &options.workers {
                    let outcome = case.run(Plan { workers, time, rate: options.rate })?;
                    tell(&outcome, terminal);
                    figures.outcomes.push(outcome);
                }
            }
            Row::Memory => figures.weights = weigh_all(terminal)?,
            Row::FirstLoad => figures.loads = load_all(options, terminal)?,
            Row::Series => bound_series()?,
            Row::Fleet => {
                // Asked for by its name, it fails; among all it is told of.
                if options.cases.is_empty() && !permitted_or_skip("fleet")? {
                    continue;
                }
                for &workers in &options.workers {
                    let plan = Plan { workers, time, rate: options.rate };
                    figures.outcomes.extend(play_fleet(plan, |outcome| tell(outcome, terminal))?);
                }
            }
            Row::TwoBuilds => twice::run(&Part::ALL, terminal)?,
        }
    }
    Ok(figures)
}

fn tell(outcome: &Outcome, terminal: Terminal) {
    let faults = outcome.faults();
    let sign = if faults.is_empty() { terminal.good("✓") } else { terminal.bad("✗") };
    println!("{sign} {}", report::line(outcome));
    for told in faults.iter().chain(&outcome.notes) {
        println!("    {}", terminal.faint(told));
    }
}

fn weigh_all(terminal: Terminal) -> Result<Vec<Weight>> {
    let mut weights = Vec::new();
    for workers in [1, 4] {
        for keys in [None, Some(1_000), Some(10_000), Some(LARGE)] {
            let weight = weigh(workers, keys)?;
            println!("{} memory: {weight:?}", terminal.good("✓"));
            weights.push(weight);
        }
    }
    Ok(weights)
}

fn load_all(options: &Options, terminal: Terminal) -> Result<Vec<FirstLoad>> {
    let mut loads = Vec::new();
    for &workers in &options.workers {
        for everywhere in [false, true] {
            let load = first_load(workers, LARGE, everywhere, options.page_entries)?;
            println!("{} {}", terminal.good("✓"), report::load_line(&load));
            loads.push(load);
        }
    }
    Ok(loads)
}

/// The end-to-end test that plays it in short, with as many strangers as there may be.
fn bound_series() -> Result<()> {
    let strangers = format!("env.MPGATE_BOUNDED='{LARGE}'");
    let test =
        ["--package", "mpgate-e2e", "--test", "e2e", "--", "--nocapture", "metrics::bounded"];
    cargo(&[&["test", "--config", &strangers], &test[..]].concat())
}

fn read(file: &PathBuf) -> Result<String> {
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

fn command(options: &Options) -> String {
    let workers = options.workers.iter().map(|workers| format!(" --workers {workers}"));
    let cases = options.cases.iter().map(|row| format!(" --case {}", row.name()));
    let rest: String = workers.chain(cases).collect();
    format!("cargo xtask soak --seconds {} --rate {}{rest}", options.seconds, options.rate)
}
