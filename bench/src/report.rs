//! What is told: a table for people, and the same for files.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::chart;
use crate::figures::{Row, noise, targets};
use crate::measure::Plan;

const BEGIN: &str = "<!-- cargo xtask bench: begin -->";
const END: &str = "<!-- cargo xtask bench: end -->";

/// What a run was made with.
pub(crate) struct Run<'a> {
    pub(crate) command: String,
    pub(crate) machine: String,
    pub(crate) plan: &'a Plan,
    pub(crate) rows: &'a [Row],
}

impl Run<'_> {
    /// The tables, the targets and the closing line, in Markdown, which terminals show well enough.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        for explains in [false, true] {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.explains == explains).collect();
            if !rows.is_empty() {
                table(&mut text, &rows);
            }
        }
        let targets = targets(self.rows);
        if !targets.is_empty() {
            text.push_str("\n| target | measured | at most | |\n|---|---:|---:|---|\n");
        }
        for target in &targets {
            let met = if target.is_met() { "met" } else { "**not met**" };
            let (what, measured, at_most) = (&target.what, target.measured, target.at_most);
            line(&mut text, format_args!("| {what} | {measured:.2} | {at_most:.2} | {met} |"));
        }
        line(&mut text, format_args!("\n{}", self.closing()));
        let Plan { generations, rounds, slice, senders, .. } = self.plan;
        line(
            &mut text,
            format_args!(
                "\n`{}` on {}: {generations} pairs of processes for each row, {rounds} slices of {slice:?} in each, {senders} senders.",
                self.command, self.machine
            ),
        );
        text
    }

    fn closing(&self) -> String {
        noise(self.rows).map_or_else(
            || "The bare proxy was not held against itself, so nothing can be said of the noise.".to_owned(),
            |noise| {
                format!(
                    "The bare proxy against itself came out as far as {noise:.1} us from zero: differences below that say nothing."
                )
            },
        )
    }

    fn json(&self) -> Result<String> {
        let document = json!({
            "command": self.command,
            "machine": self.machine,
            "plan": self.plan,
            "unit": "microseconds of CPU time of the Envoy process for one request",
            "noise": noise(self.rows),
            "targets": targets(self.rows),
            "rows": self.rows,
        });
        Ok(serde_json::to_string_pretty(&document)?)
    }

    /// Writes table, JSON and chart.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        fs::write(directory.join("results.md"), self.markdown())?;
        fs::write(directory.join("results.json"), self.json()?)?;
        Ok(fs::write(directory.join("chart.svg"), chart::svg(self.rows))?)
    }

    /// Puts the table between the markers of a page.
    pub(crate) fn put_into(&self, page: &Path) -> Result<()> {
        let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
        let placed = placed(&text, &self.markdown()).with_context(|| page.display().to_string())?;
        Ok(fs::write(page, placed)?)
    }
}

fn placed(page: &str, table: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("no '{BEGIN}'"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no '{END}'"))?;
    Ok(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

fn table(text: &mut String, rows: &[&Row]) {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    text.push_str("\n| what | adds, us of CPU | range | ratio to bare | p50, us | memory, MiB |\n");
    text.push_str("|---|---:|---:|---:|---:|---:|\n");
    for row in rows {
        let Row { name, extra, least, most, p50_extra, resident_extra, .. } = row;
        let (ratio, memory) = (row.ratio(), resident_extra / 1_024);
        line(
            text,
            format_args!(
                "| {name:width$} | {extra:+.1} | {least:+.1} to {most:+.1} | {ratio:.2} | {p50_extra:+.0} | {memory:+} |"
            ),
        );
    }
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _written = writeln!(text, "{words}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_goes_between_its_markers() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let placed = placed(&page, "new\n").expect("placed");
        assert_eq!(placed, format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert!(super::placed("none", "new").is_err());
    }
}
