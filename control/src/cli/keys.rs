//! `mpgate keys`. A secret is printed once, or written to a new private file.

use core::time::Duration;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use mpgate_contract::{ConsumerId, KeyId, SenderName, StreamId};
use serde_json::{Value, json};

use super::CliError;
use super::client::Client;
use super::output::{self, Column, Format};
use super::target::{self, Target};
use crate::store::Seconds;
use crate::{private_file, time};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Issue a key and show its secret, this once
    #[command(after_help = "\
Examples:
  mpgate keys create --consumer acme --sender billing --stream G-ABC123
  mpgate keys create --consumer acme --sender crm --stream G-ABC123 --stream G-DEF456 --expires-in 90d
  mpgate keys create --consumer acme --sender crm --stream G-ABC123 --secret-file crm.secret")]
    Create(CreateArgs),
    /// Show a consumer's keys, newest last
    #[command(after_help = "Example:\n  mpgate keys list --consumer acme --show-deleted")]
    List {
        /// Whose
        #[arg(long, value_parser = ConsumerId::parse)]
        consumer: ConsumerId,
        /// Revoked ones too
        #[arg(long)]
        show_deleted: bool,
    },
    /// Show one, without its secret
    #[command(after_help = "\
Examples:
  mpgate keys get 4fGk2mTQx9Za --consumer acme
  mpgate keys get measurementConsumers/acme/apiKeys/4fGk2mTQx9Za")]
    Get(One),
    /// Revoke one, for good
    #[command(after_help = "Example:\n  mpgate keys delete 4fGk2mTQx9Za --consumer acme")]
    Delete(One),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Whose it is
    #[arg(long, value_parser = ConsumerId::parse)]
    consumer: ConsumerId,
    /// Who sends with it: the label of the metrics
    #[arg(long, value_parser = SenderName::parse)]
    sender: SenderName,
    /// A stream it may write; repeat for more
    #[arg(long = "stream", required = true, value_parser = StreamId::parse, value_name = "STREAM")]
    streams: Vec<StreamId>,
    /// It ends after this time: 45s, 30m, 12h, 90d or 2w
    #[arg(long, value_parser = target::duration, value_name = "DURATION", conflicts_with = "expire_time")]
    expires_in: Option<Duration>,
    /// It ends at this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    expire_time: Option<String>,
    /// It is not valid before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
    /// A name for people
    #[arg(long)]
    nickname: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Write the secret to this new file (mode 0600, no newline) instead of showing it
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// Its id, or its full resource name
    #[arg(value_parser = target::key)]
    key: Target<KeyId>,
    /// Whose it is
    #[arg(long, value_parser = ConsumerId::parse)]
    consumer: Option<ConsumerId>,
}

impl One {
    fn path(&self) -> Result<String, CliError> {
        self.key.path("apiKeys", self.consumer.as_ref())
    }
}

const COLUMNS: [Column; 7] = [
    ("KEY", "name"),
    ("SENDER", "sender"),
    ("STREAMS", "dataStreams"),
    ("STATE", "state"),
    ("CREATED", "createTime"),
    ("EXPIRES", "expireTime"),
    ("NICKNAME", "nickname"),
];

pub(super) async fn run(verb: Verb, client: &Client, format: Format) -> Result<(), CliError> {
    let resource = match verb {
        Verb::List { consumer, show_deleted } => {
            let path = format!("/v1/measurementConsumers/{consumer}/apiKeys");
            let list = client.list(&path, "apiKeys", show_deleted).await?;
            return output::list(&list, "apiKeys", &COLUMNS, format);
        }
        Verb::Create(new) => return create(new, client, format).await,
        Verb::Get(one) => client.get(&one.path()?).await?,
        Verb::Delete(one) => client.delete(&one.path()?).await?,
    };
    output::one(&resource, &COLUMNS, format)
}

async fn create(new: CreateArgs, client: &Client, format: Format) -> Result<(), CliError> {
    let expire_time = match new.expires_in {
        None => new.expire_time,
        Some(after) => Some(end(after)?),
    };
    let path = format!("/v1/measurementConsumers/{}/apiKeys", new.consumer);
    let body = json!({
        "sender": new.sender,
        "dataStreams": new.streams,
        "expireTime": expire_time,
        "notBefore": new.not_before,
        "nickname": new.nickname,
        "description": new.description,
    });
    expect_new(new.secret_file.as_deref())?;
    let answer = client.post(&path, &[], &body).await?;
    show_once(answer, "authenticationKey", new.secret_file.as_deref(), &COLUMNS, format)
}

fn end(after: Duration) -> Result<String, CliError> {
    Seconds::try_from(after.as_secs())
        .ok()
        .and_then(|seconds| time::now().checked_add(seconds))
        .map(time::to_text)
        .ok_or_else(|| CliError::Usage("the key would end too far in the future".to_owned()))
}

/// Asked before the secret is made: one that cannot be written down is lost.
pub(super) fn expect_new(file: Option<&Path>) -> Result<(), CliError> {
    match file {
        Some(path) if path.exists() => Err(CliError::Usage(format!(
            "{} is there already; name a new file, or move it away",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// Shows a created resource and hands out the secret in `member`, on standard output or to a file.
pub(super) fn show_once(
    mut answer: Value,
    member: &str,
    file: Option<&Path>,
    columns: &[Column],
    format: Format,
) -> Result<(), CliError> {
    let Some(path) = file else {
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
    private_file::create(path, secret.as_bytes()).map_err(|error| {
        CliError::Failed(format!(
            "cannot write {}: {error}; the secret is lost, so delete what was created ({}) and try again",
            path.display(),
            answer["name"].as_str().unwrap_or_default()
        ))
    })?;
    output::one(&answer, columns, format)?;
    if format == Format::Table {
        output::print(&format!("\nThe secret is in {}.\n", path.display()))?;
    }
    Ok(())
}
