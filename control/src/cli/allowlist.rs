//! `mpgate allowlist export`: the list as a gate without control carries it in its own configuration.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
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
A file is replaced only when the list is whole.")]
    Export {
        /// Where to; else standard output
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CliError> {
    let Verb::Export { file } = verb;
    let Some(file) = file else { return export(session, &mut io::stdout().lock()).await };
    let unfinished = beside(&file);
    let written = write_to(&unfinished, session).await.and_then(|()| {
        fs::rename(&unfinished, &file)
            .map_err(|error| CliError::Failed(format!("cannot write {}: {error}", file.display())))
    });
    if written.is_err() {
        fs::remove_file(&unfinished).ok();
    }
    written
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    name.into()
}

async fn write_to(path: &Path, session: &Session) -> Result<(), CliError> {
    let cannot = |error| CliError::Failed(format!("cannot write {}: {error}", path.display()));
    let mut file = io::BufWriter::new(File::create_new(path).map_err(cannot)?);
    export(session, &mut file).await?;
    file.into_inner().map_err(|error| cannot(error.into_error()))?.sync_all().map_err(cannot)
}

/// Page by page, so that a long list takes no more memory than a short one.
async fn export(session: &Session, out: &mut impl Write) -> Result<(), CliError> {
    // Its age counts from before the first page.
    write!(out, "{{\"export_time\":{},\"pages\":[", time::now())?;
    let (mut epoch, mut since) = (String::new(), 0_u64);
    loop {
        let from = since.to_string();
        let query = [("epoch", epoch.as_str()), ("since", &from), ("limit", "1000")];
        let page = session.client.get("/v1/allowlist/changes", &query).await?;
        let is_first = epoch.is_empty();
        let (to, head) = place(&page)?;
        if !is_first && page["reset"] == true {
            let what = "the list was replaced by another while it was read; run the command again";
            return Err(CliError::Failed(what.to_owned()));
        }
        if !is_first {
            out.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut *out, &page).map_err(io::Error::from)?;
        if to >= head {
            out.write_all(b"]}\n")?;
            return Ok(out.flush()?);
        }
        page["epoch"].as_str().unwrap_or_default().clone_into(&mut epoch);
        if to <= since && !is_first {
            return Err(CliError::Failed("control's pages do not go on".to_owned()));
        }
        since = to;
    }
}

/// Where a page ends, and where the list does.
fn place(page: &Value) -> Result<(u64, u64), CliError> {
    let number = |member: &str| page[member].as_u64();
    number("to")
        .zip(number("head"))
        .filter(|_| page["epoch"].is_string())
        .ok_or_else(|| CliError::Failed("what control answered is no page of the list".to_owned()))
}
