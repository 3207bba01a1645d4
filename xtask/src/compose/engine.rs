//! The container engine and its compose tool: finds them and runs them. Knows nothing of what for.

use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use mpgate_testbed::process;

use super::go_on;

/// `docker`, and `docker-compose` or the plugin.
pub(super) struct Engine {
    version: String,
    compose: Compose,
    compose_version: String,
}

#[derive(Clone, Copy)]
enum Compose {
    /// Version 1, on its own.
    Program,
    /// The current one, a plugin of docker's.
    Plugin,
}

impl fmt::Display for Engine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, compose, compose_version } = self;
        let name = match compose {
            Compose::Program => "docker-compose",
            Compose::Plugin => "docker compose",
        };
        write!(out, "Docker engine {version}, {name} {compose_version}")
    }
}

impl Engine {
    /// What is here, or the sentence that says what is not.
    pub(super) fn find() -> Result<Self, &'static str> {
        let asked = |mut command: Command| output(command.stderr(Stdio::null()));
        let mut docker = Command::new("docker");
        docker.args(["version", "--format", "{{.Server.Version}}"]);
        let version = asked(docker).map_err(|_| "there is no Docker engine here")?;
        for compose in [Compose::Program, Compose::Plugin] {
            let mut command = compose.command();
            command.args(["version", "--short"]);
            if let Ok(compose_version) = asked(command) {
                let trimmed = |text: String| text.trim().to_owned();
                let (version, compose_version) = (trimmed(version), trimmed(compose_version));
                return Ok(Self { version, compose, compose_version });
            }
        }
        Err("there is a Docker engine, but neither docker-compose nor docker compose")
    }

    /// A command of docker's.
    #[expect(clippy::unused_self, reason = "who has an engine has found docker")]
    pub(super) fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(arguments);
        command
    }

    /// A command of compose's.
    pub(super) fn compose(&self, arguments: &[&str]) -> Command {
        let mut command = self.compose.command();
        command.args(arguments);
        command
    }
}

impl Compose {
    fn command(self) -> Command {
        match self {
            Self::Program => Command::new("docker-compose"),
            Self::Plugin => {
                let mut command = Command::new("docker");
                command.arg("compose");
                command
            }
        }
    }
}

/// Runs it with its output in view.
pub(super) fn shown(command: Command) -> Result<()> {
    go_on()?;
    shown_to_the_end(command)
}

/// The same while everything is taken down.
pub(super) fn shown_to_the_end(command: Command) -> Result<()> {
    let told = told(&command);
    let status = process::run(command)?;
    ensure!(status.success(), "'{told}' ended with {status}");
    Ok(())
}

/// What it writes to standard output. That may be a secret, so no error shows it.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let told = told(command);
    // In a group of its own: the terminal's Ctrl-C is for this program to handle.
    let run = command.process_group(0).stdin(Stdio::null()).output();
    let run = run.with_context(|| format!("cannot start '{told}'"))?;
    let complaint = String::from_utf8_lossy(&run.stderr);
    ensure!(run.status.success(), "'{told}' ended with {}: {}", run.status, complaint.trim());
    Ok(String::from_utf8_lossy(&run.stdout).into_owned())
}

/// The lines that it writes.
pub(super) fn lines(command: &mut Command) -> Result<Vec<String>> {
    Ok(output(command)?.lines().map(str::to_owned).collect())
}

fn told(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
