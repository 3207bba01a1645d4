//! Side by side on one real Envoy: what ways to check an API key cost, in CPU time of the Envoy process for each
//! request, against the bare proxy right before and after. `cargo xtask bench` builds and runs it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use mpgate_testbed::process::end_all;
use mpgate_testbed::toolchain;

use crate::figures::Row;
use crate::instructions::Count;
use crate::measure::{Plan, Visit, visit};
use crate::report::Run;
use crate::surroundings::Surroundings;
use crate::variants::{BARE, SDK, VARIANTS, Variant};

mod authorizer;
mod chart;
mod config;
mod envoy;
mod events;
mod figures;
mod instructions;
mod keys;
mod load;
mod measure;
mod raw;
mod report;
mod server;
mod surroundings;
mod variants;

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench --quick                    three minutes: which way the wind blows
  cargo xtask bench                            the table, about twelve minutes
  cargo xtask bench --record                   the same, into docs/benchmarks.md and docs/benchmarks/
  cargo xtask bench --list                     the names of the rows
  cargo xtask bench --only 'mpgate: secret' --only 'ext_authz' --generations 5
  cargo xtask bench --instructions             instructions, which hardly change from machine to machine
  cargo xtask bench --explain                  what single callbacks and host calls cost";

#[derive(Parser)]
#[command(bin_name = "cargo xtask bench", about, after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Options {
    /// Short slices, one pair of processes a row.
    #[arg(long)]
    quick: bool,
    /// The row of this name, or else the rows whose names contain this; may be given several times.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// The rows that take a filter apart, instead of the table.
    #[arg(long)]
    explain: bool,
    /// Count instructions under callgrind instead of measuring time: half a minute a row.
    #[arg(long)]
    instructions: bool,
    /// Pairs of fresh processes for each row.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    generations: u16,
    /// Slices of a row in one pair of processes.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Put table and chart into docs/.
    #[arg(long)]
    record: bool,
    /// List the rows and end.
    #[arg(long)]
    list: bool,
}

impl Options {
    fn plan(&self) -> Plan {
        let milliseconds = Duration::from_millis;
        let plan = Plan {
            generations: usize::from(self.generations),
            rounds: usize::from(self.rounds),
            slice: milliseconds(400),
            warm_up: milliseconds(400),
            senders: 8,
            latencies: 1_000,
        };
        if !self.quick {
            return plan;
        }
        Plan { generations: 1, slice: milliseconds(250), latencies: 300, ..plan }
    }

    fn rows(&self) -> Result<Vec<&'static Variant>> {
        let is_wanted = |variant: &&Variant| {
            let is_a_row = |part: &str| VARIANTS.iter().any(|other| other.name == part);
            let is_meant = |part: &String| {
                variant.name == part || (variant.name.contains(part.as_str()) && !is_a_row(part))
            };
            let named = self.only.iter().any(is_meant);
            let is_base = self.explain && [BARE, SDK].contains(&variant.name);
            if self.only.is_empty() { variant.explains == self.explain || is_base } else { named }
        };
        let rows: Vec<&Variant> = VARIANTS.iter().filter(is_wanted).collect();
        ensure!(!rows.is_empty(), "no row is named so; cargo xtask bench --list names them");
        Ok(rows)
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    if options.list {
        for variant in VARIANTS {
            println!("{}", variant.name);
        }
        return Ok(());
    }
    ctrlc::set_handler(|| {
        end_all();
        std::process::exit(130);
    })?;
    let (rows, plan) = (options.rows()?, options.plan());
    envoy::leave_the_envoys_core()?;
    let around = Surroundings::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let command = format!("cargo xtask bench {command}").trim_end().to_owned();
    if options.instructions {
        let counts = runtime.block_on(count(&rows, &around))?;
        let table = instructions::markdown(&counts, &command, &machine());
        println!("{table}");
        if options.record {
            let page = toolchain::root().join("docs/benchmarks.md");
            report::put_into(&page, instructions::COMMAND, &table)?;
        }
        return Ok(());
    }
    let rows = runtime.block_on(all(&rows, &plan, &around))?;

    let explains = options.explain;
    let run = Run { command, machine: machine(), plan: &plan, rows: &rows, explains };
    println!("{}", run.markdown());
    let directory = toolchain::target_directory().join("bench");
    run.write(&directory)?;
    println!("written: {}", directory.display());
    if options.record {
        let docs = toolchain::root().join("docs");
        run.write(&docs.join("benchmarks"))?;
        run.put_into(&docs.join("benchmarks.md"))?;
        println!("recorded: docs/benchmarks.md and docs/benchmarks/");
    }
    Ok(())
}

/// Counts all rows, one after the other.
async fn count(rows: &[&'static Variant], around: &Surroundings) -> Result<Vec<Count>> {
    let profiles = toolchain::target_directory().join("bench/profiles");
    let mut counts = Vec::with_capacity(rows.len());
    for (done, variant) in rows.iter().enumerate() {
        let count = instructions::count(variant, around, &profiles).await;
        let count = count.with_context(|| variant.name.to_owned())?;
        let (done, total, instructions) = (done + 1, rows.len(), count.instructions);
        eprintln!("[{done}/{total}] {:44} {instructions:9} instructions", variant.name);
        counts.push(count);
    }
    println!("profiles, for callgrind_annotate: {}", profiles.display());
    Ok(counts)
}

/// Visits all rows once a generation, each time in another order.
async fn all(rows: &[&'static Variant], plan: &Plan, around: &Surroundings) -> Result<Vec<Row>> {
    let mut visits: Vec<Vec<Visit>> = vec![Vec::new(); rows.len()];
    let total = rows.len() * plan.generations;
    let began = Instant::now();
    let mut done = 0;
    for _ in 0..plan.generations {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        fastrand::shuffle(&mut order);
        for index in order {
            let variant = rows[index];
            let visited = visit(variant, plan, around).await;
            let visited = visited.with_context(|| variant.name.to_owned())?;
            done += 1;
            let percent = 100.0 * figures::median(visited.shares());
            let left = began.elapsed() / done * (u32::try_from(total)?.saturating_sub(done));
            eprintln!(
                "[{done}/{total}] {:44} {percent:+7.1} %   {} s left",
                variant.name,
                left.as_secs()
            );
            visits[index].push(visited);
        }
    }
    Ok(figures::rows(rows, visits))
}

/// The processor and the system, as far as they say.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(PathBuf::from(path)).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let system = read("/proc/sys/kernel/osrelease");
    format!("{model}, {cores} cores, Linux {}, Envoy {}", system.trim(), toolchain::ENVOY_VERSION)
}
