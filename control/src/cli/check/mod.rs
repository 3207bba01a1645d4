//! `mpgate check`: reads configurations as those would who get them, and says what is wrong before they
//! do. Offline: it opens the files it is given and nothing else.

mod client_certificates;
mod connection_manager;
mod envoy;
mod filter;
mod finding;
mod kubernetes;
mod log_format;
mod logs;
mod node;
mod plugin;
mod retries;
mod service;
mod shared;
mod stats;
mod told;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use self::finding::{Finding, Severity};
use super::CliError;
use super::output::{self, Format};
use super::settings::{self, Printing};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mpgate check envoy.yaml
  mpgate check plugin.json
  kubectl kustomize deploy/kubernetes/overlays/sqlite | mpgate check /dev/stdin
  mpgate check ~/.config/mpgate/config.toml control.env --output json

A file is taken for what it holds or is called:
  *.toml   settings of this command line
  *.env    the environment of `mpgate serve`, as NAME=VALUE lines
  JSON with \"gate\" or \"control\" at its top: the gate's plugin configuration
  others   an Envoy configuration, or a part of one, in YAML or JSON; every mpgate filter in it is checked.
           Kubernetes resources: those that carry such a part, or the gate's plugin configuration

A fault is what the gate or control refuses: exit status 1. A warning is what they take, and what is
dangerous all the same: a missing tripwire, a filter that fails open, a path that lands in a log.
Unread is a resource, or a part of one, that was not looked into.")]
pub(super) struct CheckArgs {
    /// What to check
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    printing: Printing,
}

/// Checks the files. `serve` is the command whose settings an environment file holds.
pub(super) fn run(arguments: &CheckArgs, serve: &clap::Command) -> Result<(), CliError> {
    let format = arguments.printing.format()?;
    let mut findings = Vec::new();
    for file in &arguments.files {
        let text = fs::read_to_string(file)
            .map_err(|error| CliError::Usage(format!("cannot read {}: {error}", file.display())))?;
        let name = file.display().to_string();
        findings.extend(look(file, &text, serve).into_iter().map(|found| (name.clone(), found)));
    }
    let faults = findings.iter().filter(|(_, found)| found.severity == Severity::Fault).count();
    let unread = findings.iter().filter(|(_, found)| found.severity == Severity::Unread).count();
    let warnings = findings.len() - faults - unread;
    if format == Format::Json {
        let all: Vec<_> = findings.iter().map(|(file, found)| found.to_json(file)).collect();
        let counts =
            json!({"findings": all, "faults": faults, "warnings": warnings, "unread": unread});
        output::json(&counts)?;
    } else {
        for (file, found) in &findings {
            output::print(&found.to_text(file))?;
        }
    }
    let count = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let files = count(arguments.files.len(), "file");
    let mut summary =
        format!("{files} checked: {}, {}", count(faults, "fault"), count(warnings, "warning"));
    if unread > 0 {
        summary = format!("{summary}, {unread} unread");
    }
    if faults > 0 {
        return Err(CliError::Failed(summary));
    }
    if format == Format::Table { output::print(&format!("{summary}\n")) } else { Ok(()) }
}

/// What is wrong with one file.
fn look(file: &Path, text: &str, serve: &clap::Command) -> Vec<Finding> {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let mut findings = match ending {
        "toml" => settings::check(text)
            .map_err(|fault| {
                Finding::fault(fault.line, "settings of the command line", fault.what)
                    .next("the members are url, token_file, ca_file, consumer and output")
            })
            .err()
            .into_iter()
            .collect(),
        "env" => service::check(text, serve),
        _ if plugin::is_one(ending, text) => plugin::check(text, 1, "plugin configuration"),
        _ => envoy::check(text),
    };
    findings.sort_by_key(|found| found.line);
    // What an alias repeats is wrong once.
    findings.dedup_by(|one, other| {
        one.line == other.line && one.resource == other.resource && one.what == other.what
    });
    findings
}
