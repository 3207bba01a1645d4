//! The figures of a soak as a line, a table, and a document.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mpgate_testbed::soak::{FirstLoad, Outcome, Turns, Weight};
use serde_json::{Value, json};

use super::Figures;

/// Between these the table stands.
const BEGIN: &str = "<!-- soak: begin -->\n";
const END: &str = "<!-- soak: end -->";

/// What a file has before and after the table.
///
/// # Errors
/// It has no place for one.
pub(super) fn place(text: &str) -> Result<(String, String)> {
    let (before, rest) = text.split_once(BEGIN).context("there is no '<!-- soak: begin -->'")?;
    let (_, after) = rest.split_once(END).context("there is no '<!-- soak: end -->'")?;
    Ok((format!("{before}{BEGIN}"), format!("{END}{after}")))
}

/// One row for the terminal.
pub(super) fn line(outcome: &Outcome) -> String {
    let (genuine, revoked) = (&outcome.genuine, &outcome.revoked);
    format!(
        "{:18} {} workers: {:5} sent, {} refused, {} lost; {:3} keys revoked, {} late, in force {}; {} x, recovery {}",
        outcome.case,
        outcome.workers,
        genuine.sent,
        genuine.refusals(),
        genuine.losses(),
        revoked.keys,
        revoked.late,
        time(revoked.in_force),
        outcome.disturbances,
        time(outcome.recovery()),
    )
}

/// One row of a list that was loaded.
pub(super) fn load_line(load: &FirstLoad) -> String {
    let times = |tally: &mpgate_testbed::soak::Tally| {
        let [half, most, all] = [50, 99, 100].map(|share| time(tally.percentile(share)));
        format!("{half} / {most} / {all} of {}", tally.sent)
    };
    format!(
        "first-load {} workers{}: {} keys in {} (pages of {}); answers p50 / p99 / max before {}, meanwhile {} ({} refused); turns over 5 ms: {} before, {} meanwhile",
        load.workers,
        if load.everywhere { ", every worker polls" } else { "" },
        load.keys,
        time(load.took),
        load.page_entries,
        times(&load.before),
        times(&load.meanwhile),
        load.meanwhile.refusals() + load.meanwhile.losses(),
        turns(load.turns_before),
        turns(load.turns_meanwhile),
    )
}

fn turns(turns: Turns) -> String {
    format!("{} of {} (longest below {})", turns.over, turns.all, time(turns.longest))
}

/// All tables as Markdown.
pub(super) fn tables(figures: &Figures) -> String {
    let mut tables = Vec::new();
    if !figures.outcomes.is_empty() {
        tables.push(table(&figures.outcomes));
    }
    if !figures.weights.is_empty() {
        tables.push(weights(&figures.weights));
    }
    if !figures.loads.is_empty() {
        tables.push(loads(&figures.loads));
    }
    tables.join("\n")
}

/// Resident memory, one row for each number of workers.
fn weights(weights: &[Weight]) -> String {
    let mut text = String::from(
        "| resident memory (of it given out by Envoy's heap), MiB | without the gate | 1 000 keys | 10 000 keys | 100 000 keys |\n|---|--:|--:|--:|--:|\n",
    );
    let mut workers: Vec<u32> = weights.iter().map(|weight| weight.workers).collect();
    workers.dedup();
    for workers in workers {
        let of: Vec<&Weight> = weights.iter().filter(|weight| weight.workers == workers).collect();
        let mebibytes = |kibibytes: u64| kibibytes.div_ceil(1_024);
        let cells = of.iter().map(|weight| {
            format!(" {} ({}) |", mebibytes(weight.resident_kib), mebibytes(weight.allocated_kib))
        });
        let plural = if workers == 1 { "worker" } else { "workers" };
        // A String takes everything.
        let _written = writeln!(text, "| {workers} {plural} |{}", cells.collect::<String>());
    }
    text
}

/// What requests felt while a list was loaded.
fn loads(loads: &[FirstLoad]) -> String {
    let mut text = String::from(
        "| 100 000 keys loaded | workers | pages of | took | requests meanwhile | refused or lost | p50 before, meanwhile | p99 | longest | event loop turns over 5 ms before | meanwhile |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for load in loads {
        let both = |share: usize| {
            let [before, meanwhile] =
                [&load.before, &load.meanwhile].map(|one| one.percentile(share));
            format!("{}, {}", time(before), time(meanwhile))
        };
        // A String takes everything.
        let _written = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            if load.everywhere { "by every worker" } else { "by one poller" },
            load.workers,
            load.page_entries,
            time(load.took),
            load.meanwhile.sent,
            load.meanwhile.refusals() + load.meanwhile.losses(),
            both(50),
            both(99),
            both(100),
            turns(load.turns_before),
            turns(load.turns_meanwhile),
        );
    }
    text
}

/// The table of the cases.
fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| what happens | workers | times | genuine sent | refused | lost | slowest answer | revoked keys | tries | accepted after 1 s | last accepted after | recovery: median | longest |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for outcome in outcomes {
        let (genuine, revoked) = (&outcome.genuine, &outcome.revoked);
        // A String takes everything.
        let _written = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            outcome.what,
            outcome.workers,
            outcome.disturbances,
            genuine.sent,
            genuine.refusals(),
            genuine.losses(),
            time(genuine.percentile(100)),
            revoked.keys,
            revoked.tries,
            revoked.late,
            time(revoked.in_force),
            time(median(outcome)),
            time(outcome.recovery()),
        );
    }
    text
}

/// The table with the machine, the day's command, and what else was noticed.
pub(super) fn told(figures: &Figures, command: &str) -> String {
    let outcomes = &figures.outcomes;
    let mut text = format!("`{command}`, on {}:\n\n{}", machine(), tables(figures));
    let notes: Vec<String> = outcomes
        .iter()
        .flat_map(|outcome| outcome.notes.iter().map(move |note| (outcome, note)))
        .map(|(outcome, note)| {
            format!("* {}, {} workers: {note}.\n", outcome.case, outcome.workers)
        })
        .collect();
    if !notes.is_empty() {
        text = format!("{text}\n{}", notes.concat());
    }
    text
}

/// All figures.
pub(super) fn json(figures: &Figures, seconds: u64, rate: u32) -> Value {
    let rows: Vec<Value> = figures
        .outcomes
        .iter()
        .map(|outcome| {
            let (genuine, revoked) = (&outcome.genuine, &outcome.revoked);
            let recoveries: Vec<f64> =
                outcome.recoveries.iter().map(Duration::as_secs_f64).collect();
            json!({
                "case": outcome.case,
                "workers": outcome.workers,
                "disturbances": outcome.disturbances,
                "genuine": {
                    "sent": genuine.sent,
                    "accepted": genuine.accepted,
                    "refused": genuine.refused,
                    "lost": genuine.lost,
                    "connections_closed": genuine.closed,
                    "p50_micros": genuine.percentile(50).as_micros(),
                    "p99_micros": genuine.percentile(99).as_micros(),
                    "max_micros": genuine.percentile(100).as_micros(),
                },
                "revoked": {
                    "keys": revoked.keys,
                    "tries": revoked.tries,
                    "accepted_late": revoked.late,
                    "last_accepted_after_seconds": revoked.in_force.as_secs_f64(),
                    "unanswered": revoked.lost,
                },
                "recovery_seconds": recoveries,
                "missing_at_the_upstream": outcome.missing,
                "faults": outcome.faults(),
                "notes": outcome.notes,
            })
        })
        .collect();
    let weights = figures.weights.iter().map(|weight| {
        json!({"workers": weight.workers, "keys": weight.keys, "resident_kib": weight.resident_kib, "allocated_kib": weight.allocated_kib})
    });
    let loads = figures.loads.iter().map(load_line);
    json!({
        "machine": machine(),
        "seconds": seconds,
        "rate": rate,
        "rows": rows,
        "memory": weights.collect::<Vec<_>>(),
        "first_load": loads.collect::<Vec<_>>(),
    })
}

fn median(outcome: &Outcome) -> Duration {
    let mut sorted = outcome.recoveries.clone();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn time(time: Duration) -> String {
    if time.is_zero() {
        return "0".to_owned();
    }
    if time < Duration::from_secs(1) {
        return format!("{} ms", time.as_micros().div_ceil(1_000));
    }
    format!("{:.2} s", time.as_secs_f64())
}

/// The machine, as far as it says what it is.
fn machine() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned());
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let kilobytes: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
    format!("{cores} cores ({model}), {} GiB", kilobytes / 1_048_576)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_goes_between_its_markers_and_nowhere_else() {
        let file = format!("# Page\n\n{BEGIN}old\n{END}\nrest\n");
        let (before, after) = place(&file).expect("a place");
        assert_eq!(format!("{before}new\n{after}"), file.replace("old", "new"));
        assert!(place("# Page\n").is_err());
    }

    #[test]
    fn times_are_rounded_up_to_what_can_be_read() {
        let rows =
            [(0, "0"), (1, "1 ms"), (1_001, "2 ms"), (999_000, "999 ms"), (1_234_000, "1.23 s")];
        for (micros, told) in rows {
            assert_eq!(time(Duration::from_micros(micros)), told);
        }
    }
}
