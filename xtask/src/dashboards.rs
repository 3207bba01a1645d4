//! `cargo xtask dashboards`: writes Grafana's pages from their source, and pictures of them from a real run.

use std::fs;

use anyhow::{Context as _, Result};
use mpgate_testbed::dashboards::{dashboards, directory};

use crate::build::{BUILD_STEPS, build, setup};
use crate::steps::Steps;
use crate::terminal::Terminal;

mod chart;
mod draw;
mod record;
mod unit;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also run a gate, control, senders and a Prometheus for some minutes, ask the panels' own queries, and draw
    /// what they answer into docs/images.
    #[arg(long)]
    draw: bool,
}

pub(crate) fn run(options: &Options, terminal: Terminal) -> Result<()> {
    for page in dashboards()? {
        let file = directory().join("dashboards").join(format!("{}.json", page.uid));
        fs::write(&file, page.written()?).with_context(|| file.display().to_string())?;
        println!("{} {} ({} panels)", terminal.good("✓"), file.display(), page.panels.len());
    }
    if !options.draw {
        return Ok(());
    }
    let mut steps = Steps::new(terminal, 2 + BUILD_STEPS);
    setup(&mut steps)?;
    build(&mut steps)?;
    steps.step("pictures of a real run", || draw::pages(&record::run()?))
}
