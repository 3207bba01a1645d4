//! What is told: a table for people, and the same for files.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::chart;
use crate::figures::{Row, noise, targets};
use crate::measure::Plan;

/// What a run was made with.
pub(crate) struct Run<'a> {
    pub(crate) command: String,
    pub(crate) machine: String,
    pub(crate) plan: &'a Plan,
    pub(crate) rows: &'a [Row],
    /// Whether the rows take a filter apart, instead of being the table.
    pub(crate) explains: bool,
}

impl Run<'_> {
    /// The tables, the targets and the closing line, in Markdown, which terminals show well enough.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        table(&mut text, self.rows);
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
        let name = if self.explains { "explain" } else { "results" };
        fs::write(directory.join(format!("{name}.md")), self.markdown())?;
        fs::write(directory.join(format!("{name}.json")), self.json()?)?;
        Ok(fs::write(directory.join(format!("{name}.svg")), chart::svg(self.rows))?)
    }

    /// Puts the table between the markers of a page.
    pub(crate) fn put_into(&self, page: &Path) -> Result<()> {
        let command =
            if self.explains { "cargo xtask bench --explain" } else { "cargo xtask bench" };
        put_into(page, command, &self.markdown())
    }
}

/// Puts a table between the markers that a page has for a command.
pub(crate) fn put_into(page: &Path, command: &str, table: &str) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let placed = placed(&text, command, table);
    let placed = placed.with_context(|| page.display().to_string())?;
    Ok(fs::write(page, placed)?)
}

/// The page with another table between the markers of a command.
fn placed(page: &str, command: &str, table: &str) -> Result<String> {
    let [begin, end] = ["begin", "end"].map(|side| format!("<!-- {command}: {side} -->"));
    let (before, rest) = page.split_once(&begin).with_context(|| format!("no '{begin}'"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("no '{end}'"))?;
    Ok(format!("{before}{begin}\n\n{}\n\n{end}{after}", table.trim()))
}

fn table(text: &mut String, rows: &[Row]) {
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

pub(crate) fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _written = writeln!(text, "{words}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_goes_between_its_markers() {
        let page = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n";
        let placed = placed(page, "x", "\nnew\n").expect("placed");
        assert_eq!(placed, "a\n<!-- x: begin -->\n\nnew\n\n<!-- x: end -->\nb\n");
        assert!(super::placed(page, "y", "new").is_err());
    }
}
