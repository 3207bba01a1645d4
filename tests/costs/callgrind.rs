//! Instructions of one decision: this binary again, under callgrind, with a few and with many decisions. What
//! the many cost more is theirs, and nothing of the set-up.

use std::env;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

use crate::cases::Case;

/// `case:decisions`, for the run under callgrind.
const ASKED: &str = "MPGATE_COSTS_RUN";

const FEW: u64 = 20;
const MANY: u64 = 120;

/// Plays the case that the environment names, if it names one.
pub(crate) fn run_case_if_asked() -> Option<ExitCode> {
    let asked = env::var(ASKED).ok()?;
    let (case, decisions) = asked.split_once(':')?;
    let case = Case::named(case)?;
    let decisions = decisions.parse().ok()?;
    case.decide(decisions);
    Some(ExitCode::SUCCESS)
}

pub(crate) fn instructions(case: Case) -> Result<u64> {
    let few = collected(case, FEW)?;
    let many = collected(case, MANY)?;
    ensure!(many > few, "{}: {MANY} decisions cost no more than {FEW}", case.name());
    Ok((many - few) / (MANY - FEW))
}

fn collected(case: Case, decisions: u64) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(env::current_exe()?);
    command.env(ASKED, format!("{}:{decisions}", case.name()));
    let run = command.output();
    let run = run.context("'valgrind' is missing; install it (Debian: apt install valgrind)")?;
    let told = String::from_utf8_lossy(&run.stderr);
    ensure!(run.status.success(), "valgrind ended with {}: {told}", run.status);
    let line = told.lines().find_map(|line| line.split_once("Collected : "));
    let (_, count) = line.with_context(|| format!("callgrind says nothing: {told}"))?;
    Ok(count.trim().parse()?)
}
