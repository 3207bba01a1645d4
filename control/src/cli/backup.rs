//! `mpgate backup`: a snapshot of control's database, on control's own machine.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::CliError;
use super::database::{DatabaseArgs, expect_file};
use super::output::{self, Format};
use super::settings::Printing;
use crate::store::sqlite::{BackupError, backup};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mpgate backup --to mpgate-2026-11-21.sqlite
  mpgate backup --database /var/lib/mpgate/mpgate.sqlite --to /backup/mpgate.sqlite

It runs on control's own machine, beside `mpgate serve` or without it. The file is new, of mode 0600, and
looked through before it bears its name. It holds digests of secrets, and no secret. PostgreSQL is backed
up by its own means (docs/postgresql.md).")]
pub(super) struct BackupArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The new file
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    printing: Printing,
}

impl From<BackupError> for CliError {
    fn from(error: BackupError) -> Self {
        if error.is_usage() {
            Self::Usage(error.to_string())
        } else {
            Self::Failed(error.to_string())
        }
    }
}

pub(super) async fn run(arguments: &BackupArgs) -> Result<(), CliError> {
    let format = arguments.printing.format()?;
    let place = arguments.database.place()?;
    let instead = "back it up with pg_dump --format=custom --schema=mpgate";
    let done = backup(expect_file(&place, instead)?, &arguments.to).await?;
    let (database, to) = (place, arguments.to.display());
    if format == Format::Json {
        return output::json(&json!({
            "file": to.to_string(),
            "bytes": done.bytes,
            "epoch": done.standing.epoch,
            "revision": done.standing.head,
        }));
    }
    let revision = done.standing.head;
    output::print(&format!("{database} at revision {revision} is in {to}: {} bytes.\n", done.bytes))
}
