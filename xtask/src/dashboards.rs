//! `cargo xtask dashboards`: writes Grafana's pages from their source.

use std::fs;

use anyhow::{Context as _, Result};
use mpgate_testbed::dashboards::{dashboards, directory};

use crate::terminal::Terminal;

pub(crate) fn run(terminal: Terminal) -> Result<()> {
    for page in dashboards()? {
        let file = directory().join("dashboards").join(format!("{}.json", page.uid));
        fs::write(&file, page.written()?).with_context(|| file.display().to_string())?;
        println!("{} {} ({} panels)", terminal.good("✓"), file.display(), page.panels.len());
    }
    Ok(())
}
