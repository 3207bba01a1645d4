//! `mpgate streams`.

use clap::{Args, Subcommand};
use mpgate_contract::{ConsumerId, StreamId, UpstreamSecret};
use serde_json::{Map, Value, json};

use super::CliError;
use super::client::Client;
use super::output::{self, Column, Format};
use super::target::{self, Target};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add a data stream
    #[command(after_help = "\
Examples:
  mpgate streams create G-ABC123 --consumer acme --environment production --upstream-secret 'replace(GA4_SECRET)'
  mpgate streams create G-DEF456 --consumer acme --environment staging --upstream-secret none --mode dry_run")]
    Create(CreateArgs),
    /// Show a consumer's streams, newest last
    #[command(after_help = "Example:\n  mpgate streams list --consumer acme")]
    List {
        /// Whose
        #[arg(long, value_parser = ConsumerId::parse)]
        consumer: ConsumerId,
        /// Deleted ones too
        #[arg(long)]
        show_deleted: bool,
    },
    /// Show one
    #[command(after_help = "\
Examples:
  mpgate streams get G-ABC123 --consumer acme
  mpgate streams get measurementConsumers/acme/dataStreams/G-ABC123")]
    Get(One),
    /// Change a stream's mode, upstream secret policy or display name
    #[command(after_help = "\
Examples:
  mpgate streams update G-ABC123 --consumer acme --mode dry_run
  mpgate streams update G-ABC123 --consumer acme --mode default")]
    Update {
        #[command(flatten)]
        one: One,
        /// off, `dry_run`, enforce; `default` for the gate's own
        #[arg(long)]
        mode: Option<String>,
        /// replace(NAME), keep or none
        #[arg(long, value_name = "POLICY")]
        upstream_secret: Option<UpstreamSecret>,
        /// A name for people
        #[arg(long)]
        display_name: Option<String>,
    },
    /// Delete one that no key is granted
    #[command(after_help = "Example:\n  mpgate streams delete G-ABC123 --consumer acme")]
    Delete(One),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// A GA4 `measurement_id` (G-...) or `firebase_app_id` (1:...:web:...)
    #[arg(value_parser = StreamId::parse)]
    stream: StreamId,
    /// Whose it is
    #[arg(long, value_parser = ConsumerId::parse)]
    consumer: ConsumerId,
    /// production, staging or development
    #[arg(long)]
    environment: String,
    /// Which secret the upstream is sent: replace(NAME) with the gate's environment variable NAME, keep
    /// what the sender brought, or none
    #[arg(long, value_name = "POLICY")]
    upstream_secret: UpstreamSecret,
    /// off, `dry_run` or enforce; without one the gate's own holds
    #[arg(long)]
    mode: Option<String>,
    /// A name for people
    #[arg(long)]
    display_name: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// Its id, or its full resource name
    #[arg(value_parser = target::stream)]
    stream: Target<StreamId>,
    /// Whose it is
    #[arg(long, value_parser = ConsumerId::parse)]
    consumer: Option<ConsumerId>,
}

impl One {
    fn path(&self) -> Result<String, CliError> {
        self.stream.path("dataStreams", self.consumer.as_ref())
    }
}

const COLUMNS: [Column; 7] = [
    ("STREAM", "name"),
    ("ENVIRONMENT", "environment"),
    ("MODE", "mode"),
    ("UPSTREAM SECRET", "upstreamSecret"),
    ("STATE", "state"),
    ("CREATED", "createTime"),
    ("DISPLAY NAME", "displayName"),
];

pub(super) async fn run(verb: Verb, client: &Client, format: Format) -> Result<(), CliError> {
    let resource = match verb {
        Verb::List { consumer, show_deleted } => {
            let path = format!("/v1/measurementConsumers/{consumer}/dataStreams");
            let list = client.list(&path, "dataStreams", show_deleted).await?;
            return output::list(&list, "dataStreams", &COLUMNS, format);
        }
        Verb::Create(new) => {
            let path = format!("/v1/measurementConsumers/{}/dataStreams", new.consumer);
            let body = json!({
                "streamId": new.stream,
                "environment": new.environment,
                "mode": new.mode,
                "upstreamSecret": new.upstream_secret.to_string(),
                "displayName": new.display_name,
            });
            client.post(&path, &[], &body).await?
        }
        Verb::Get(one) => client.get(&one.path()?).await?,
        Verb::Update { one, mode, upstream_secret, display_name } => {
            let body = changes(mode, upstream_secret.as_ref(), display_name)?;
            client.patch(&one.path()?, &body).await?
        }
        Verb::Delete(one) => client.delete(&one.path()?).await?,
    };
    output::one(&resource, &COLUMNS, format)
}

fn changes(
    mode: Option<String>,
    upstream_secret: Option<&UpstreamSecret>,
    display_name: Option<String>,
) -> Result<Value, CliError> {
    let mut body = Map::new();
    if let Some(mode) = mode {
        let value = if mode == "default" { Value::Null } else { mode.into() };
        body.insert("mode".to_owned(), value);
    }
    if let Some(policy) = upstream_secret {
        body.insert("upstreamSecret".to_owned(), policy.to_string().into());
    }
    if let Some(display_name) = display_name {
        body.insert("displayName".to_owned(), display_name.into());
    }
    if body.is_empty() {
        let rule = "nothing to change; add --mode, --upstream-secret or --display-name";
        return Err(CliError::Usage(rule.to_owned()));
    }
    Ok(body.into())
}
