//! Every command in the docs is run: each page is typed into a shell, against the real control and
//! the real Envoy, and what is printed is compared with what the page shows.
//!
//! `MPGATE_DOCS=bless cargo test --package mpgate-e2e --test docs` writes what was seen into the pages.

use std::fs;
use std::process;
use std::thread;

use anyhow::{Context as _, Result, bail};
use mpgate_testbed::toolchain;

use elsewhere::Elsewhere;
use page::{Block, Command};
use settings::Setting;

mod elsewhere;
mod page;
mod prose;
mod rules;
mod senders;
mod session;
mod settings;
mod shape;

/// The pages, as paths from the root: what git tracks or would track.
fn pages() -> Vec<String> {
    let listed = process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.md"])
        .current_dir(toolchain::root())
        .output()
        .expect("git");
    assert!(listed.status.success(), "git ls-files failed: is this a checkout?");
    let text = String::from_utf8(listed.stdout).expect("paths are text");
    text.lines().filter(|page| toolchain::root().join(page).is_file()).map(str::to_owned).collect()
}

fn read(page: &str) -> Result<String> {
    fs::read_to_string(toolchain::root().join(page)).with_context(|| page.to_owned())
}

fn blocks(page: &str) -> Result<Vec<Block>> {
    page::blocks(&read(page)?).with_context(|| page.to_owned())
}

fn commands(page: &str) -> Result<Vec<Command>> {
    let blocks = blocks(page)?;
    let transcripts = blocks.iter().filter(|block| block.is_transcript());
    let commands: Result<Vec<_>> = transcripts.map(Block::commands).collect();
    Ok(commands.with_context(|| page.to_owned())?.into_iter().flatten().collect())
}

#[test]
fn every_command_in_the_docs_does_what_the_docs_show() {
    // The pages do not wait for one another: most of their time they wait for a gate.
    let failures: Vec<String> = thread::scope(|scope| {
        let pages: Vec<String> = pages();
        let plays: Vec<_> =
            pages.into_iter().map(|page| scope.spawn(move || (play(&page), page))).collect();
        let played = plays.into_iter().map(|play| play.join().expect("a page"));
        played.filter_map(|(result, page)| Some(format!("{page}: {:#}", result.err()?))).collect()
    });
    assert!(
        failures.is_empty(),
        "{}\n\nMPGATE_DOCS=bless writes what was seen into the pages.",
        failures.join("\n\n")
    );
}

fn play(page: &str) -> Result<()> {
    let commands = commands(page)?;
    if commands.is_empty() {
        return Ok(());
    }
    let text = read(page)?;
    let kept = mpgate_testbed::directory()?;
    let directory = fs::canonicalize(kept.path())?;
    let mut elsewhere = Elsewhere::new(&directory, &text)?;
    let setting = Setting::of(&text, &mut elsewhere)?;
    elsewhere.furnish()?;
    let environment = setting.environment(&elsewhere);
    let (running, seen) = session::play(&commands, &elsewhere, &environment)?;
    let finished = setting.finish(&elsewhere);
    drop(running);
    let differing: Vec<(&Command, Vec<String>)> = commands
        .iter()
        .zip(seen)
        .filter(|(command, seen)| !shape::fits(&command.output, seen, command.numbers_vary))
        .collect();
    if differing.is_empty() {
        return finished;
    }
    let seen = differing
        .into_iter()
        .map(|(command, seen)| (command, seen.iter().map(|line| shape::showable(line)).collect()));
    let seen: Vec<(&Command, Vec<String>)> = seen.collect();
    if std::env::var("MPGATE_DOCS").is_ok_and(|wish| wish == "bless") {
        fs::write(toolchain::root().join(page), page::with_outputs(&text, &seen))?;
        return finished;
    }
    let told = seen.iter().map(|(command, seen)| {
        let (shown, seen) = (command.output.join("\n  "), seen.join("\n  "));
        format!(
            "line {}: $ {}\n the page shows\n  {shown}\n this was printed\n  {seen}",
            command.line, command.text
        )
    });
    let told = told.chain(finished.err().map(|error| format!("{error:#}")));
    bail!("{}", told.collect::<Vec<_>>().join("\n\n"))
}
