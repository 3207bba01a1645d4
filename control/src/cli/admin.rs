//! `mpgate admin`: administration recovered by whoever has control's own machine and its files.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use serde_json::json;

use super::CliError;
use super::database::DatabaseArgs;
use super::output::{self, Format};
use super::settings::Printing;
use crate::serve::{ServeError, new_admin};
use crate::service::{Limits, Service};
use crate::store::place::Place;
use crate::store::{Standing, Store};

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
        #[command(flatten)]
        database: DatabaseArgs,
        /// Write the token to this new file (mode 0600, no newline) instead of showing it
        #[arg(long, value_name = "FILE")]
        token_to: Option<PathBuf>,
        /// Show the token although standard output is no terminal
        #[arg(long, conflicts_with = "token_to")]
        show_secret: bool,
        #[command(flatten)]
        printing: Printing,
    },
    /// Begin a new epoch: every gateway starts over
    #[command(after_help = "\
Examples:
  mpgate admin new-epoch
  mpgate admin new-epoch --database postgres://mpgate@db.example/mpgate

For a database that went back in time where nobody could see it: a snapshot of its disk was put back. What
`mpgate restore` does, a standby that takes over and a dump that is restored begin a new epoch by themselves.
It is in the trail.")]
    NewEpoch {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        printing: Printing,
    },
}

pub(super) async fn run(verb: &Verb) -> Result<(), CliError> {
    match verb {
        Verb::Reset { database, token_to, show_secret, printing } => {
            reset(database, token_to.as_deref(), *show_secret, printing).await
        }
        Verb::NewEpoch { database, printing } => new_epoch(database, printing).await,
    }
}

/// The database, which is there.
async fn open(database: &DatabaseArgs) -> Result<(Arc<dyn Store>, Place), CliError> {
    let place = database.place()?;
    if place.file().is_some_and(|path| !path.is_file()) {
        // Not made here: an administrator of an empty database next to the real one helps nobody.
        let what = format!("there is no database {place}; name control's with --database");
        return Err(CliError::Usage(what));
    }
    let store = place.open().await;
    Ok((store.map_err(|error| failed(&place, &error))?, place))
}

fn failed(place: &Place, error: &dyn core::error::Error) -> CliError {
    CliError::Failed(format!("the database {place}: {error}"))
}

async fn new_epoch(database: &DatabaseArgs, printing: &Printing) -> Result<(), CliError> {
    let format = printing.format()?;
    let (store, place) = open(database).await?;
    let done = Service::new(Arc::clone(&store), Limits::default()).begin_epoch().await;
    store.close().await;
    let Standing { epoch, head } = done.map_err(|error| failed(&place, &error))?;
    if format == Format::Json {
        return output::json(&json!({"epoch": epoch, "revision": head}));
    }
    output::print(&format!("{place} is at revision {head} of the new epoch {epoch}.\n"))
}

async fn reset(
    database: &DatabaseArgs,
    token_to: Option<&Path>,
    show_secret: bool,
    printing: &Printing,
) -> Result<(), CliError> {
    let format = printing.format()?;
    if token_to.is_none() && !show_secret && !io::stdout().is_terminal() {
        return Err(CliError::Usage(
            "standard output is no terminal, and the token is shown once: add --token-to FILE to write it to a \
             new private file, or --show-secret to print it all the same. Nothing was changed"
                .to_owned(),
        ));
    }
    let (store, place) = open(database).await?;
    let service = Service::new(Arc::clone(&store), Limits::default());
    let done = new_admin(&service, token_to).await;
    store.close().await;
    let (token, principal) = done.map_err(|error| match error {
        ServeError::TokenFile(path, error) => CliError::Usage(format!(
            "cannot write the token to {}: {error}; name a new file. Nothing was changed",
            path.display()
        )),
        error => failed(&place, &error),
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
