//! `mpgate backup`: a snapshot of control's database, on control's own machine.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::CliError;
use super::database::{DatabaseArgs, expect_file};
use super::output::{self, Format};
use super::settings::Printing;
use crate::store::sqlite::{BackupError, backup, send_backup};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mpgate backup --to mpgate-2026-11-21.sqlite
  mpgate backup --database /var/lib/mpgate/mpgate.sqlite --to /backup/mpgate.sqlite
  mpgate backup --to - | gzip > mpgate.sqlite.gz

It runs on control's own machine, beside `mpgate serve` or without it. The file is new, of mode 0600, and
looked through before it bears its name. With - it goes to standard output when all of it was looked through, and
what is told goes to standard error; what an end with a status other than 0 wrote is no backup. It holds digests of
secrets, and no secret. PostgreSQL is backed up by its own means (docs/postgresql.md).")]
pub(super) struct BackupArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The new file, or - for standard output
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
    let file = expect_file(&place, instead)?;
    let (done, to) = if is_stream(&arguments.to) {
        expect_no_terminal(io::stdout().is_terminal(), "output", "--to")?;
        (send_backup(file, &mut io::stdout()).await?, "standard output".to_owned())
    } else {
        (backup(file, &arguments.to).await?, arguments.to.display().to_string())
    };
    let told = match format {
        Format::Json => output::pretty(&json!({
            "file": arguments.to.display().to_string(),
            "bytes": done.bytes,
            "epoch": done.standing.epoch,
            "revision": done.standing.head,
        }))?,
        Format::Table => {
            format!(
                "{place} at revision {} is in {to}: {} bytes.\n",
                done.standing.head, done.bytes
            )
        }
    };
    if is_stream(&arguments.to) {
        return Ok(io::stderr().write_all(told.as_bytes())?);
    }
    output::print(&told)
}

/// `-`, as elsewhere, is no file.
pub(super) fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// A backup is no text.
pub(super) fn expect_no_terminal(
    is_terminal: bool,
    stream: &str,
    option: &str,
) -> Result<(), CliError> {
    if is_terminal {
        return Err(CliError::Usage(format!(
            "standard {stream} is a terminal, and a backup is no text: redirect it to a file or a pipe, or name a \
             file with {option}"
        )));
    }
    Ok(())
}
