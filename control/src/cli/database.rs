//! Which database: by flag, else by `MPGATE_DATABASE`, else by `DATABASE_URL`, else a file in this directory.

use core::fmt;
use std::env;
use std::path::Path;

use clap::Args;

use super::CliError;
use super::settings::variable;
use crate::store::place::{Place, PlaceError};

const VARIABLE: &str = "MPGATE_DATABASE";
const URL_VARIABLE: &str = "DATABASE_URL";
const DEFAULT: &str = "mpgate.sqlite";

#[derive(Args)]
pub(super) struct DatabaseArgs {
    /// Control's database: a file, for SQLite, made with mode 0600 if it is missing, or
    /// `postgres://USER@HOST/DATABASE`. Without this and its variable, `DATABASE_URL`, and without that
    /// mpgate.sqlite
    #[arg(long, env = VARIABLE, hide_env_values = true, value_name = "FILE|URL")]
    database: Option<String>,
}

/// It may hold a password.
impl fmt::Debug for DatabaseArgs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("DatabaseArgs")
    }
}

impl DatabaseArgs {
    /// The place that was named.
    pub(super) fn place(&self) -> Result<Place, CliError> {
        let (text, origin) = match (&self.database, variable(URL_VARIABLE)) {
            (Some(text), _) if env::var(VARIABLE).is_ok_and(|set| set == *text) => {
                (text.clone(), VARIABLE)
            }
            (Some(text), _) => {
                expect_no_password(text)?;
                (text.clone(), "--database")
            }
            (None, Some(url)) if !url.contains("://") => {
                return Err(fault(URL_VARIABLE, &PlaceError::Scheme));
            }
            (None, Some(url)) => (url, URL_VARIABLE),
            (None, None) => (DEFAULT.to_owned(), ""),
        };
        Place::parse(&text).map_err(|error| fault(origin, &error))
    }
}

/// Where a command is for files only.
pub(super) fn expect_file<'a>(place: &'a Place, instead: &str) -> Result<&'a Path, CliError> {
    place.file().ok_or_else(|| {
        CliError::Usage(format!("{place} is not a file: {instead}; see docs/postgresql.md"))
    })
}

fn fault(origin: &str, error: &PlaceError) -> CliError {
    CliError::Usage(format!("{origin} {error}"))
}

/// Arguments are seen by every user of the machine.
fn expect_no_password(text: &str) -> Result<(), CliError> {
    let authority = text.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    let user = authority.and_then(|authority| authority.rsplit_once('@')).map(|(user, _)| user);
    if user.is_some_and(|user| user.contains(':')) || text.contains("password=") {
        return Err(CliError::Usage(format!(
            "--database holds a password, which every user of this machine can see: put the URL into {VARIABLE} \
             or {URL_VARIABLE}, or the password into ~/.pgpass (mode 0600) or PGPASSWORD"
        )));
    }
    Ok(())
}
