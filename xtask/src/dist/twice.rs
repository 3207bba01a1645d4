//! The same commit in two clean checkouts, of different names in different depths: the same bytes?

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use mpgate_testbed::toolchain;

use super::{Part, collect};
use crate::build::setup_release;
use crate::release::{Source, told};
use crate::steps::Steps;
use crate::terminal::Terminal;

/// Builds these parts of HEAD twice and compares all files.
pub(crate) fn run(parts: &[Part], terminal: Terminal) -> Result<()> {
    let mut steps = Steps::new(terminal, 4);
    setup_release(parts, &mut steps)?;
    let parent = toolchain::target_directory();
    fs::create_dir_all(&parent)?;
    let work = tempfile::Builder::new().prefix("twice-").tempdir_in(parent)?;
    let places = [work.path().join("a"), work.path().join("another-name/of a checkout")];
    let mut sums = Vec::new();
    for (number, place) in places.iter().enumerate() {
        let what = format!("checkout {}, built from nothing", number + 1);
        sums.push(steps.step(&what, || built(parts, place))?);
    }
    steps.step("the same bytes", || same(&places, &sums))?;
    steps.table();
    for (name, sum) in &sums[0] {
        println!("{sum}  {name}");
    }
    Ok(())
}

fn built(parts: &[Part], place: &Path) -> Result<BTreeMap<String, String>> {
    let mut clone = Command::new("git");
    clone.args(["clone", "--quiet", "--local", "--no-hardlinks"]);
    told(clone.arg(toolchain::root()).arg(place))?;
    let source = Source::of(place)?;
    let target = place.join("target");
    let built: Result<Vec<(Part, PathBuf)>> =
        parts.iter().map(|&part| Ok((part, part.build(place, &target)?))).collect();
    collect(&source, &built?, &place.join("dist"))
}

fn same(places: &[PathBuf], sums: &[BTreeMap<String, String>]) -> Result<()> {
    let [first, second] = sums else { return Ok(()) };
    ensure!(
        !first.is_empty() && first.keys().eq(second.keys()),
        "other files: {first:?} {second:?}"
    );
    let differing: Vec<&str> = first
        .iter()
        .filter(|(name, sum)| second.get(*name) != Some(sum))
        .map(|(name, _)| name.as_str())
        .collect();
    ensure!(
        differing.is_empty(),
        "{} differ between {} and {}",
        differing.join(", "),
        places[0].display(),
        places[1].display()
    );
    Ok(())
}
