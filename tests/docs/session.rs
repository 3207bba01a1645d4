//! One page, typed into one shell.

use std::fs;
use std::process::Command as Program;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mpgate_testbed::process::Process;

use crate::elsewhere::Elsewhere;
use crate::page::Command;

/// What all commands of a page may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// What stands before the output of a command, and before its exit status.
const BEGIN: char = '\u{1}';
const END: char = '\u{2}';

/// What is printed behind an output where the exit status is not 0.
pub(crate) const STATUS: &str = "(exit status ";

/// Types all commands of a page, and returns what each printed.
///
/// What they left running ends with what this returns.
pub(crate) fn play(
    commands: &[Command],
    elsewhere: &Elsewhere,
    environment: &[(String, String)],
) -> Result<(Process, Vec<Vec<String>>)> {
    let directory = elsewhere.directory();
    let typed = directory.join("typed");
    fs::create_dir(&typed)?;
    let mut script = format!("exec 2>&1\n{}\n", watcher());
    for (number, command) in commands.iter().enumerate() {
        let file = typed.join(format!("{number}.sh"));
        fs::write(&file, elsewhere.moved(&command.text) + "\n")?;
        // Read, not started: what a command sets and leaves running is the next one's too.
        let line = format!("printf '{BEGIN}'\n. '{}'\nprintf '{END}%d\\n' $?\n", file.display());
        script.push_str(&line);
    }
    // What the page left running ends with this process's group, in the test's hand.
    script.push_str("exec tail -f /dev/null\n");
    let file = typed.join("page.sh");
    fs::write(&file, script)?;

    let mut bash = Program::new("bash");
    bash.arg(file).current_dir(directory).envs(environment.iter().cloned());
    let path = std::env::var("PATH").context("PATH")?;
    bash.env("PATH", format!("{}:{path}", directory.join("bin").display()));
    // No settings of whoever runs the tests, and no colours.
    bash.env("HOME", directory)
        .env_remove("XDG_CONFIG_HOME")
        .env("NO_COLOR", "1")
        .env("LC_ALL", "C.UTF-8");
    let mut bash = Process::start("bash", bash, directory)?;
    let ended = |bash: &Process| bash.stdout().matches(END).count();
    let done = bash.wait_for("the end of the page", PATIENCE, |bash| {
        (ended(bash) == commands.len()).then_some(())
    });
    let printed = bash.stdout();
    done.with_context(|| {
        let at = commands.get(ended(&bash));
        at.map_or_else(String::new, |at| format!("line {}: $ {}", at.line, at.text))
    })?;
    let outputs = printed.split(BEGIN).skip(1).map(|one| lines(&elsewhere.back(one))).collect();
    Ok((bash, outputs))
}

/// Ends all that the page started when the test is killed: what runs in the background does not hear
/// of the end of the shell.
fn watcher() -> String {
    let test = std::process::id();
    format!(
        "(while kill -0 {test} 2> /dev/null; do sleep 0.2; done; kill -KILL -- -$$) > /dev/null &"
    )
}

fn lines(printed: &str) -> Vec<String> {
    let (output, status) = printed.rsplit_once(END).unwrap_or((printed, "0"));
    let mut lines: Vec<String> = output.lines().map(str::to_owned).collect();
    if status.trim() != "0" {
        lines.push(format!("{STATUS}{})", status.trim()));
    }
    lines
}
