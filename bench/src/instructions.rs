//! Instructions instead of time: Envoy under callgrind, which says the same on a quick machine and a slow one. It counts what the
//! process executes, V8's code too, and not the kernel.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::envoy::{Envoy, PROFILE, Run};
use crate::events;
use crate::load::latencies;
use crate::report::line;
use crate::surroundings::Surroundings;
use crate::variants::{Sent, Variant};

/// Where the page has its table.
pub(crate) const COMMAND: &str = "cargo xtask bench --instructions";

/// Events of a lone sender: as many before the first that counts, and again with the counting on, so that V8's
/// code, Envoy's pools and the simulated cache are there.
const EVENTS: usize = 300;

/// Where 100 kB are sent.
const EVENTS_LARGE: usize = 30;

/// What one request takes.
pub(crate) struct Count {
    pub(crate) name: &'static str,
    /// The row that sends the same through nothing.
    pub(crate) bare: &'static str,
    /// Instructions.
    pub(crate) instructions: u64,
    /// Of these, in code that V8 generated.
    pub(crate) generated: u64,
    /// Fetches of instructions that miss a first-level cache of this processor's size.
    pub(crate) misses: u64,
}

/// Counts one row, and keeps callgrind's profile of it.
pub(crate) async fn count(
    variant: &Variant,
    around: &Surroundings,
    profiles: &Path,
) -> Result<Count> {
    let envoy = Envoy::start(variant.filter, variant.workers, around, Run::Counted)?;
    let event = events::of(variant.sent);
    let events = if variant.sent == Sent::Large { EVENTS_LARGE } else { EVENTS };
    let send = async || latencies(envoy.address, variant.protocol, &event, events).await;
    send().await?;
    control(&envoy, "--instr=on")?;
    send().await?;
    control(&envoy, "--zero")?;
    let began = Instant::now();
    send().await?;
    control(&envoy, "--dump")?;
    // What it does in that time by itself, ticks above all, is not the requests'.
    tokio::time::sleep(began.elapsed()).await;
    control(&envoy, "--dump")?;
    let profile = |number| envoy.directory().join(format!("{PROFILE}.{number}"));
    fs::create_dir_all(profiles)?;
    let kept = profiles.join(format!("{}.callgrind", variant.name.replace(['/', ' '], "-")));
    fs::copy(profile(1), kept).context("callgrind wrote no profile")?;
    let (all, idle) = (Sums::of(&profile(1))?, Sums::of(&profile(2))?);
    let each = |of: fn(&Sums) -> u64| of(&all).saturating_sub(of(&idle)) / events as u64;
    Ok(Count {
        name: variant.name,
        bare: variant.bare(),
        instructions: each(|sums| sums.instructions),
        generated: each(|sums| sums.generated),
        misses: each(|sums| sums.misses),
    })
}

fn control(envoy: &Envoy, order: &str) -> Result<()> {
    let mut command = Command::new("callgrind_control");
    let output = command.arg(order).arg(envoy.id().to_string()).output();
    let output =
        output.context("valgrind is missing; install it (Debian: apt install valgrind)")?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && !told.contains("Error"), "callgrind_control: {told}");
    Ok(())
}

/// The table. What a row adds is held against the bare proxy that is sent the same.
pub(crate) fn markdown(counts: &[Count], command: &str, machine: &str) -> String {
    let bare = |own: &Count| counts.iter().find(|count| count.name == own.bare);
    let less = |own: u64, bare: u64| i128::from(own) - i128::from(bare);
    let mut text = String::from("| what | adds, instructions | of them generated | misses |\n");
    text.push_str("|---|---:|---:|---:|\n");
    for count in counts {
        let Count { name, instructions, generated, misses, .. } = count;
        match bare(count).filter(|bare| bare.name != *name) {
            Some(bare) => {
                let adds = less(*instructions, bare.instructions);
                let (generated, misses) =
                    (less(*generated, bare.generated), less(*misses, bare.misses));
                line(
                    &mut text,
                    format_args!("| {name:44} | {adds:+} | {generated:+} | {misses:+} |"),
                );
            }
            None => {
                line(
                    &mut text,
                    format_args!("| {name:44} | {instructions} in all | | {misses} in all |"),
                );
            }
        }
    }
    line(
        &mut text,
        format_args!(
            "\n`{command}` on {machine}: {EVENTS} events of one sender for each row, {EVENTS_LARGE} where they have 100 kB."
        ),
    );
    text
}

/// What a profile adds up to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    instructions: u64,
    generated: u64,
    misses: u64,
}

impl Sums {
    fn of(profile: &Path) -> Result<Self> {
        let text = fs::read_to_string(profile).with_context(|| profile.display().to_string())?;
        let sums = Self::read(&text);
        ensure!(sums.instructions > 0, "callgrind counted nothing");
        Ok(sums)
    }

    /// Adds up a profile in callgrind's format: what stands in no file of the process was generated.
    fn read(profile: &str) -> Self {
        let mut sums = Self::default();
        let mut nowhere = None;
        let (mut is_generated, mut is_call) = (false, false);
        for line in profile.lines() {
            if let Some(object) = line.strip_prefix("ob=").or_else(|| line.strip_prefix("cob=")) {
                let (id, name) = object.split_once(' ').unwrap_or((object, ""));
                if name == "???" {
                    nowhere = Some(id);
                }
                if line.starts_with("ob=") {
                    is_generated = nowhere == Some(id);
                }
            } else if line.starts_with("calls=") {
                is_call = true;
            } else if line
                .starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first))
            {
                // The line after a call is what was called took, and is counted there.
                if !std::mem::take(&mut is_call) {
                    // Ir, Dr, Dw, I1mr.
                    let mut costs = line.split(' ').skip(1).map(|cost| cost.parse().unwrap_or(0));
                    let instructions = costs.next().unwrap_or(0);
                    sums.instructions += instructions;
                    sums.generated += if is_generated { instructions } else { 0 };
                    sums.misses += costs.nth(2).unwrap_or(0);
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_added_up_without_what_was_called() {
        let profile = "events: Ir Dr Dw I1mr\n\nob=(1) /usr/bin/envoy\nfl=(1)\nfn=(1) main\n0 10 1 1 2\n\
            +3 5\ncob=(2) ???\ncfn=(2) 0x1\ncalls=1 0\n0 100 1 1 50\n\nob=(2)\nfn=(2)\n0 100 1 1 7\n\ntotals: 115\n";
        assert_eq!(Sums::read(profile), Sums { instructions: 115, generated: 100, misses: 9 });
    }

    #[test]
    fn rows_are_held_against_the_bare_proxy_that_is_sent_the_same() {
        let count =
            |name, bare, instructions| Count { name, bare, instructions, generated: 1, misses: 2 };
        let counts = [
            count("bare", "bare", 100),
            count("a", "bare", 130),
            count("bare, HTTP/2", "bare, HTTP/2", 50),
            count("a, HTTP/2", "bare, HTTP/2", 40),
        ];
        let table = markdown(&counts, "c", "m");
        let second: Vec<&str> =
            table.lines().skip(2).take(4).filter_map(|row| row.split('|').nth(2)).collect();
        assert_eq!(second, [" 100 in all ", " +30 ", " 50 in all ", " -10 "]);
    }
}
