//! A secret is shown once. Where to is settled before it is made: one that nobody could write down would
//! be lost, and one in the log of a job would be everybody's.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::CliError;
use super::output::{self, Column, Format};
use crate::private_file::Reserved;

/// The options that say where a key's secret goes.
#[derive(Debug, Args)]
pub(super) struct SecretPlace {
    /// Write the secret to this new file (mode 0600, no newline) instead of showing it
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Show the secret although standard output is no terminal
    #[arg(long, conflicts_with = "secret_file")]
    show_secret: bool,
}

impl SecretPlace {
    pub(super) fn settle(&self) -> Result<Destination, CliError> {
        destination(self.secret_file.as_deref(), self.show_secret, "--secret-file")
    }
}

/// The options that say where a token goes.
#[derive(Debug, Args)]
pub(super) struct TokenPlace {
    /// Write the token to this new file (mode 0600, no newline) instead of showing it
    #[arg(long, value_name = "FILE")]
    token_to: Option<PathBuf>,
    /// Show the token although standard output is no terminal
    #[arg(long, conflicts_with = "token_to")]
    show_secret: bool,
}

impl TokenPlace {
    pub(super) fn settle(&self) -> Result<Destination, CliError> {
        destination(self.token_to.as_deref(), self.show_secret, "--token-to")
    }
}

/// Where a secret goes.
pub(super) enum Destination {
    /// Standard output.
    Here,
    /// This file, made already.
    File(Reserved, PathBuf),
}

/// Settles where the secret goes. `option` is the one that names a file.
fn destination(file: Option<&Path>, show: bool, option: &str) -> Result<Destination, CliError> {
    let Some(path) = file else {
        if show || io::stdout().is_terminal() {
            return Ok(Destination::Here);
        }
        return Err(CliError::Usage(format!(
            "standard output is no terminal, and what is issued is shown once: add {option} FILE to write it to a \
             new private file, or --show-secret to print it all the same. Nothing was issued"
        )));
    };
    match Reserved::new(path) {
        Ok(reserved) => Ok(Destination::File(reserved, path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(CliError::Usage(
            format!("{} is there already; name a new file, or move it away", path.display()),
        )),
        Err(error) => Err(CliError::Usage(format!(
            "cannot write {}: {error}; nothing was issued",
            path.display()
        ))),
    }
}

/// Shows a created resource and hands out the secret in `member`.
pub(super) fn show_once(
    mut answer: Value,
    member: &str,
    destination: Destination,
    columns: &[Column],
    format: Format,
) -> Result<(), CliError> {
    if answer[member].is_null() {
        // A request that was done before: what it issued was shown then.
        output::one(&answer, columns, format)?;
        return match destination {
            Destination::Here => Ok(()),
            Destination::File(_, path) => Err(CliError::Failed(format!(
                "{} was issued before, and its secret was shown then; nothing was written to {}",
                answer["name"].as_str().unwrap_or_default(),
                path.display()
            ))),
        };
    }
    let Destination::File(reserved, path) = destination else {
        output::one(&answer, columns, format)?;
        if format == Format::Table {
            let secret = answer[member].as_str().unwrap_or_default();
            output::print(&format!(
                "\n  {secret}\n\nThis secret is shown this once and stored nowhere. Hand it over now.\n"
            ))?;
        }
        return Ok(());
    };
    let secret = answer.as_object_mut().and_then(|members| members.remove(member));
    let secret = secret.as_ref().and_then(Value::as_str).unwrap_or_default();
    reserved.write(secret.as_bytes()).map_err(|error| {
        CliError::Failed(format!(
            "cannot write {}: {error}; the secret is lost, so delete what was created ({}) and try again",
            path.display(),
            answer["name"].as_str().unwrap_or_default()
        ))
    })?;
    output::one(&answer, columns, format)?;
    if format == Format::Table {
        let what = if member == "token" { "token" } else { "secret" };
        output::print(&format!("\nThe {what} is in {}.\n", path.display()))?;
    }
    Ok(())
}
