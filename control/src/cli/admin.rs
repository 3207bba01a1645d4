//! `mpgate admin`: administration recovered by whoever has control's own machine and its files.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;
use serde_json::json;

use super::CliError;
use super::output::{self, Format};
use super::settings::Printing;
use crate::serve::{ServeError, new_admin};
use crate::service::{Limits, Service};
use crate::store::Store as _;
use crate::store::sqlite::SqliteStore;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// End the first administrator's tokens and hand out a new one
    #[command(after_help = "\
Examples:
  mpgate admin reset
  mpgate admin reset --database /var/lib/mpgate/mpgate.sqlite --token-to admin.token

It runs on control's own machine, beside `mpgate serve` or without it, and is in force at once. The token goes
to the terminal or to a new file; to a pipe only with --show-secret. Other administrators keep theirs. It is
in the trail.")]
    Reset {
        /// Control's database file
        #[arg(long, env = "MPGATE_DATABASE", default_value = "mpgate.sqlite", value_name = "FILE")]
        database: PathBuf,
        /// Write the token to this new file (mode 0600, no newline) instead of showing it
        #[arg(long, value_name = "FILE")]
        token_to: Option<PathBuf>,
        /// Show the token although standard output is no terminal
        #[arg(long, conflicts_with = "token_to")]
        show_secret: bool,
        #[command(flatten)]
        printing: Printing,
    },
}

pub(super) async fn run(verb: &Verb) -> Result<(), CliError> {
    let Verb::Reset { database, token_to, show_secret, printing } = verb;
    let format = printing.format()?;
    if !database.is_file() {
        // Not made here: an administrator of an empty database next to the real one helps nobody.
        return Err(CliError::Usage(format!(
            "there is no database {}; name control's with --database",
            database.display()
        )));
    }
    if token_to.is_none() && !show_secret && !io::stdout().is_terminal() {
        return Err(CliError::Usage(
            "standard output is no terminal, and the token is shown once: add --token-to FILE to write it to a \
             new private file, or --show-secret to print it all the same. Nothing was changed"
                .to_owned(),
        ));
    }
    let failed =
        |error: String| CliError::Failed(format!("the database {}: {error}", database.display()));
    let store = SqliteStore::open(database).await.map_err(|error| failed(error.to_string()))?;
    let service = Service::new(Arc::new(store.clone()), Limits::default());
    let done = new_admin(&service, token_to.as_deref()).await;
    store.close().await;
    let (token, principal) = done.map_err(|error| match error {
        ServeError::TokenFile(path, error) => CliError::Usage(format!(
            "cannot write the token to {}: {error}; name a new file. Nothing was changed",
            path.display()
        )),
        error => failed(error.to_string()),
    })?;
    let name = format!("principals/{principal}");
    match (format, token_to) {
        (Format::Json, None) => output::json(&json!({"name": name, "token": token})),
        (Format::Json, Some(path)) => {
            output::json(&json!({"name": name, "tokenFile": path.display().to_string()}))
        }
        (Format::Table, Some(path)) => output::print(&format!(
            "The new token of {principal} is in {}. Its other tokens have ended.\n",
            path.display()
        )),
        (Format::Table, None) => {
            output::print(&format!(
                "The new token of {principal}, shown this once. Its other tokens have ended.\n\n"
            ))?;
            let mut out = io::stdout().lock();
            token.write_line(&mut out).and_then(|()| out.flush()).map_err(CliError::from)
        }
    }
}
