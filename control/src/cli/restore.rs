//! `mpgate restore`: control's database takes over what a backup holds, on control's own machine.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::CliError;
use super::backup::{expect_no_terminal, is_stream};
use super::database::{DatabaseArgs, expect_file};
use super::output::{self, Format};
use super::settings::Printing;
use crate::store::place::Place;
use crate::store::sqlite::{Restored, receive_backup, restore};
use crate::time;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mpgate restore --from mpgate-2026-11-21.sqlite
  mpgate restore --database /var/lib/mpgate/mpgate.sqlite --from /backup/mpgate.sqlite --yes
  gunzip < mpgate.sqlite.gz | mpgate restore --from -

It runs on control's own machine, beside `mpgate serve` or without it, and is done at once or not at all. The
list begins a new epoch, which every gateway takes up by itself. What is out of force stays out of force,
whatever the backup says, and the trail stays. Where something would be lost, it says so and does nothing
without --yes.")]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The backup, or - for standard input
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Lose what came after the backup, or, if the backup is another database's, what there is
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    printing: Printing,
}

pub(super) async fn run(arguments: &RestoreArgs) -> Result<(), CliError> {
    let format = arguments.printing.format()?;
    let RestoreArgs { database, from, yes, .. } = arguments;
    let place = database.place()?;
    let instead = "restore a dump with pg_restore into an empty database";
    let file = expect_file(&place, instead)?;
    let (done, from) = if is_stream(from) {
        expect_no_terminal(io::stdin().is_terminal(), "input", "--from")?;
        let name = Path::new("standard input");
        (receive_backup(file, &mut io::stdin(), name, *yes, time::now()).await?, name)
    } else {
        (restore(file, from, *yes, time::now()).await?, from.as_path())
    };
    if format == Format::Json {
        return output::json(&json!({
            "epoch": done.epoch,
            "revision": done.head,
            "earlierState": done.same_line,
            "keysKeptOut": done.keys_kept_out,
            "keysGone": done.keys_gone,
            "hasAdmin": done.has_admin,
        }));
    }
    output::print(&words(&place, from, &done))
}

fn words(database: &Place, from: &Path, done: &Restored) -> String {
    let mut lines = vec![format!(
        "{database} holds what {} holds: revision {} of the new epoch {}.",
        from.display(),
        done.head,
        done.epoch
    )];
    if done.keys_kept_out > 0 {
        lines.push(format!(
            "Keys that stay out of force, whatever the backup says: {}.",
            done.keys_kept_out
        ));
    }
    if done.keys_gone > 0 {
        lines.push(format!(
            "Keys in force that came after the backup and are gone: {}. Who sends with them is refused now.",
            done.keys_gone
        ));
    }
    if !done.has_admin {
        lines.push(format!(
            "No administrator has a token in force: mpgate admin reset --database {database}"
        ));
    }
    lines.join("\n") + "\n"
}
