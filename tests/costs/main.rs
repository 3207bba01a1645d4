//! Guards against getting slower: what a decision of `crates/guard` may cost in instructions and allocations.
//!
//! `cargo test --release --package mpgate-costs`. The bounds are in `bounds.json`, with those of the module, which
//! `tests/e2e/costs.rs` holds. Instructions are counted by callgrind, which runs this very binary: they do not
//! depend on how busy the machine is.

mod callgrind;
mod cases;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::cases::Case;

/// How far below its bound a figure may be before the bound has become meaningless.
const SLACK_PERCENT: u64 = 75;

#[derive(Deserialize)]
struct Bounds {
    decisions: Vec<DecisionBound>,
}

#[derive(Deserialize)]
struct DecisionBound {
    case: String,
    instructions: u64,
    allocations: u64,
}

/// One figure beside its bound.
struct Figure {
    what: String,
    measured: u64,
    bound: u64,
}

impl Figure {
    /// Nothing, or what is wrong with it.
    fn complaint(&self) -> Option<String> {
        let Self { what, measured, bound } = self;
        if measured > bound {
            return Some(format!("{what}: {measured} now, at most {bound} allowed"));
        }
        (measured * 100 < bound * SLACK_PERCENT)
            .then(|| format!("{what}: {measured} now, {bound} allowed: lower the bound"))
    }
}

fn main() -> ExitCode {
    if let Some(ran) = callgrind::run_case_if_asked() {
        return ran;
    }
    match measure() {
        Ok(figures) => judge(&figures),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<Vec<Figure>> {
    let bounds: Bounds = serde_json::from_str(include_str!("bounds.json"))?;
    let mut figures = Vec::new();
    for bound in &bounds.decisions {
        let case = Case::named(&bound.case).with_context(|| format!("no case '{}'", bound.case))?;
        let mut add = |what: &str, measured: u64, bound: u64| {
            figures.push(Figure { what: format!("{} {what}", case.name()), measured, bound });
        };
        add("allocations", case.allocations(), bound.allocations);
        if cfg!(debug_assertions) {
            continue;
        }
        add("instructions", callgrind::instructions(case)?, bound.instructions);
    }
    if cfg!(debug_assertions) {
        println!("instructions are counted with --release only: cargo xtask test --only costs");
    }
    Ok(figures)
}

fn judge(figures: &[Figure]) -> ExitCode {
    let mut is_good = true;
    for figure in figures {
        let complaint = figure.complaint();
        is_good &= complaint.is_none();
        let Figure { what, measured, bound } = figure;
        println!("{measured:>9} of {bound:>9}  {what}");
        if let Some(complaint) = complaint {
            println!("  FAILED  {complaint} (tests/costs/bounds.json)");
        }
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
