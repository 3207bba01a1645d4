//! `mpgate streams`.

use clap::{Args, Subcommand, ValueEnum};
use mpgate_contract::{ConsumerId, StreamId, UpstreamSecret};
use serde_json::{Map, Value, json};

use super::CliError;
use super::mutation::{Mutation, Once};
use super::output::{self, Column};
use super::session::{Session, deleted_too};
use super::target::{self, Target};
use super::wait::Wait;
use super::words::{Environment, Mode, word};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add a data stream
    #[command(after_help = "\
Examples:
  mpgate streams create G-ABC123 --consumer acme --environment production --upstream-secret 'replace(GA4_SECRET)'
  mpgate streams create G-DEF456 --consumer acme --environment staging --upstream-secret none --mode dry_run
  mpgate streams create G-ABC124 --consumer acme --environment production --upstream-secret none --protocol-rules enforce")]
    Create(CreateArgs),
    /// Show a consumer's streams, newest last
    #[command(after_help = "Example:\n  mpgate streams list --consumer acme")]
    List {
        /// Whose [env: `MPGATE_CONSUMER`]
        #[arg(long, value_parser = ConsumerId::parse)]
        consumer: Option<ConsumerId>,
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
    /// Change a stream; what is not named stays
    #[command(after_help = "\
Examples:
  mpgate streams update G-ABC123 --consumer acme --mode dry_run
  mpgate streams update G-ABC123 --consumer acme --mode default --wait
  mpgate streams update G-ABC123 --consumer acme --protocol-rules enforce --silent true")]
    Update(UpdateArgs),
    /// Delete one that no key is granted
    #[command(after_help = "Example:\n  mpgate streams delete G-ABC123 --consumer acme")]
    Delete {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        mutation: Mutation,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// A GA4 `measurement_id` (G-...) or `firebase_app_id` (1:...:web:...)
    #[arg(value_parser = StreamId::parse)]
    stream: StreamId,
    /// Whose it is [env: `MPGATE_CONSUMER`]
    #[arg(long, value_parser = ConsumerId::parse)]
    consumer: Option<ConsumerId>,
    /// What it counts for
    #[arg(long, value_enum)]
    environment: Environment,
    /// Which secret the upstream is sent: replace(NAME) with the gate's environment variable NAME, keep
    /// what the sender brought, or none
    #[arg(long, value_name = "POLICY")]
    upstream_secret: UpstreamSecret,
    #[command(flatten)]
    own: OwnSettings,
    /// A name for people
    #[arg(long)]
    display_name: Option<String>,
    #[command(flatten)]
    once: Once,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    one: One,
    /// replace(NAME), keep or none
    #[arg(long, value_name = "POLICY")]
    upstream_secret: Option<UpstreamSecret>,
    #[command(flatten)]
    own: OwnSettings,
    /// A name for people
    #[arg(long)]
    display_name: Option<String>,
    #[command(flatten)]
    mutation: Mutation,
    #[command(flatten)]
    wait: Wait,
}

/// What a stream may have of its own, and else is the gate's.
#[derive(Debug, Args)]
struct OwnSettings {
    /// What is done about a request that is not genuine
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// What is done about an event that breaks the protocol's rules
    #[arg(long, value_name = "MODE", value_enum)]
    protocol_rules: Option<Mode>,
    /// Whether a refusal looks like GA4's answer to anything (204); default for the gate's own
    #[arg(long, value_enum)]
    silent: Option<Silent>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Silent {
    True,
    False,
    Default,
}

impl OwnSettings {
    /// Those that were given, as members of a stream; `null` for the gate's own.
    fn members(&self) -> Map<String, Value> {
        let silent = |silent| match silent {
            Silent::True => Value::Bool(true),
            Silent::False => Value::Bool(false),
            Silent::Default => Value::Null,
        };
        let given = [
            ("mode", self.mode.map(Mode::member)),
            ("protocolRules", self.protocol_rules.map(Mode::member)),
            ("silent", self.silent.map(silent)),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// Its id, or its full resource name
    #[arg(value_parser = target::stream)]
    stream: Target<StreamId>,
    /// Whose it is [env: `MPGATE_CONSUMER`]
    #[arg(long, value_parser = ConsumerId::parse)]
    consumer: Option<ConsumerId>,
}

impl One {
    fn path(&self, session: &Session) -> Result<String, CliError> {
        session.resource(&self.stream, self.consumer.as_ref(), "dataStreams")
    }
}

const COLUMNS: [Column; 9] = [
    ("STREAM", "name", "-"),
    ("ENVIRONMENT", "environment", "-"),
    ("MODE", "mode", "default"),
    ("PROTOCOL RULES", "protocolRules", "default"),
    ("SILENT", "silent", "default"),
    ("UPSTREAM SECRET", "upstreamSecret", "-"),
    ("STATE", "state", "-"),
    ("CREATED", "createTime", "-"),
    ("DISPLAY NAME", "displayName", "-"),
];

pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CliError> {
    let (client, format) = (&session.client, session.format);
    let (stream, receipt) = match verb {
        Verb::List { consumer, show_deleted } => {
            let path = session.collection(consumer.as_ref(), "dataStreams")?;
            let list = client.list(&path, "dataStreams", &deleted_too(show_deleted)).await?;
            return output::list(&list, "dataStreams", &COLUMNS, format);
        }
        Verb::Create(new) => {
            let path = session.collection(new.consumer.as_ref(), "dataStreams")?;
            let mut body = new.own.members();
            body.insert("streamId".to_owned(), json!(new.stream));
            body.insert("environment".to_owned(), word(new.environment));
            body.insert("upstreamSecret".to_owned(), new.upstream_secret.to_string().into());
            body.insert("displayName".to_owned(), new.display_name.into());
            let stream = client.post(&path, &new.once.query(&[]), &body.into()).await?;
            (stream, Some((new.wait, "in force")))
        }
        Verb::Get(one) => (client.get(&one.path(session)?, &[]).await?, None),
        Verb::Update(update) => {
            let path = update.one.path(session)?;
            let changes = changes(&update)?;
            let stream = client.patch(&path, &update.mutation.query(), &changes).await?;
            (stream, Some((update.wait, "in force")))
        }
        Verb::Delete { one, mutation, wait } => {
            let stream = client.delete(&one.path(session)?, &mutation.query()).await?;
            (stream, Some((wait, "deleted")))
        }
    };
    output::one(&stream, &COLUMNS, format)?;
    match receipt {
        Some((wait, word)) => wait.until(word, stream["revision"].as_u64(), session).await,
        None => Ok(()),
    }
}

fn changes(update: &UpdateArgs) -> Result<Value, CliError> {
    let mut body = update.own.members();
    if let Some(policy) = &update.upstream_secret {
        body.insert("upstreamSecret".to_owned(), policy.to_string().into());
    }
    if let Some(display_name) = &update.display_name {
        body.insert("displayName".to_owned(), display_name.clone().into());
    }
    if body.is_empty() {
        let rule = "nothing to change; add --mode, --protocol-rules, --silent, --upstream-secret or --display-name";
        return Err(CliError::Usage(rule.to_owned()));
    }
    Ok(body.into())
}
