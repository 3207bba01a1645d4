//! Numbered, timed steps. The first that fails ends the row.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mpgate_testbed::{process, toolchain};

use crate::terminal::Terminal;

/// A row of steps.
pub(crate) struct Steps {
    terminal: Terminal,
    total: usize,
    done: Vec<(String, Duration)>,
}

impl Steps {
    pub(crate) fn new(terminal: Terminal, total: usize) -> Self {
        Self { terminal, total, done: Vec::with_capacity(total) }
    }

    /// Announces a step, runs it, and tells how long it took.
    pub(crate) fn step<T>(&mut self, name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let number = format!("[{}/{}]", self.done.len() + 1, self.total);
        println!("{} {}", self.terminal.faint(&number), self.terminal.strong(name));
        let started = Instant::now();
        let result = run().with_context(|| format!("{number} {name} failed"))?;
        let took = started.elapsed();
        println!("{} {name} {}", self.terminal.good("✓"), self.terminal.faint(&seconds(took)));
        self.done.push((name.to_owned(), took));
        Ok(result)
    }

    /// A closing table with the time of each step.
    pub(crate) fn table(&self) {
        let width = self.done.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        println!();
        for (name, took) in &self.done {
            println!("{} {name:width$}  {:>9}", self.terminal.good("✓"), seconds(*took));
        }
        let all = self.done.iter().map(|(_, took)| *took).sum();
        println!("  {:width$}  {:>9}", "", seconds(all));
    }
}

/// Runs cargo with its output in view.
pub(crate) fn cargo(arguments: &[&str]) -> Result<()> {
    cargo_with(&[], arguments)
}

/// The same with more variables in its environment.
pub(crate) fn cargo_with(environment: &[(&str, &str)], arguments: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(toolchain::root()).envs(environment.iter().copied()).args(arguments);
    let status = process::run(command)?;
    ensure!(status.success(), "cargo {} ended with {status}", arguments.join(" "));
    Ok(())
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}
