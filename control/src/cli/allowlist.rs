//! `mpgate allowlist export`: the list as a gate without control carries it in its own configuration.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use mpgate_contract::limits;
use serde_json::Value;

use super::CliError;
use super::session::Session;
use crate::time;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Write the whole list, as the member `allowlist` of a gate's configuration takes it
    #[command(after_help = "\
Examples:
  mpgate allowlist export --file allowlist.json
  mpgate allowlist export --token-file gateway.token > allowlist.json

With a gateway's token it holds what that gateway would get. It has digests and grants, and no secret.
A gate takes at most 20 pages of 1 000 entries (keys, revoked ones too, and streams): of a longer list
nothing is written, and the exit status is 1. A file is replaced only when the list is whole.")]
    Export {
        /// Where to; else standard output
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CliError> {
    let Verb::Export { file } = verb;
    let list = read(session).await?;
    let Some(file) = file else { return Ok(io::stdout().write_all(&list)?) };
    let unfinished = beside(&file);
    let written = write(&unfinished, &list).and_then(|()| fs::rename(&unfinished, &file));
    if written.is_err() {
        fs::remove_file(&unfinished).ok();
    }
    written.map_err(|error| CliError::Failed(format!("cannot write {}: {error}", file.display())))
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    name.into()
}

fn write(path: &Path, list: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(list)?;
    file.sync_all()
}

/// The whole list, or why no gate would take it.
async fn read(session: &Session) -> Result<Vec<u8>, CliError> {
    // Its age counts from before the first page.
    let mut list = format!("{{\"export_time\":{},\"pages\":[", time::now()).into_bytes();
    let (mut epoch, mut since) = (String::new(), 0_u64);
    let limit = limits::PAGE_ENTRIES_MAX.to_string();
    for number in 0..limits::INLINE_PAGES_MAX {
        let is_first = number == 0;
        let from = since.to_string();
        let query = [("epoch", epoch.as_str()), ("since", &from), ("limit", &limit)];
        let page = session.client.get("/v1/allowlist/changes", &query).await?;
        let (to, head) = place(&page)?;
        if !is_first && page["reset"] == true {
            let what = "the list was replaced by another while it was read; run the command again";
            return Err(CliError::Failed(what.to_owned()));
        }
        if !is_first {
            list.extend_from_slice(b",\n");
        }
        serde_json::to_writer(&mut list, &page).map_err(io::Error::from)?;
        if to >= head {
            list.extend_from_slice(b"]}\n");
            return Ok(list);
        }
        page["epoch"].as_str().unwrap_or_default().clone_into(&mut epoch);
        if to <= since && !is_first {
            return Err(CliError::Failed("control's pages do not go on".to_owned()));
        }
        since = to;
    }
    Err(CliError::Failed(format!(
        "the list has more than {} pages of {limit} entries, and no gate takes so many in its configuration: export the \
         part of it that one gateway gets, with the token of a gateway that is bound to fewer consumers, or let gates ask control",
        limits::INLINE_PAGES_MAX
    )))
}

/// Where a page ends, and where the list does.
fn place(page: &Value) -> Result<(u64, u64), CliError> {
    let number = |member: &str| page[member].as_u64();
    number("to")
        .zip(number("head"))
        .filter(|_| page["epoch"].is_string())
        .ok_or_else(|| CliError::Failed("what control answered is no page of the list".to_owned()))
}
