//! `mpgate keys`. A secret is printed once, or written to a new private file.

use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use mpgate_contract::{
    CertificateName, ConsumerId, EventPattern, KeyId, Network, SenderName, StreamId,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::CliError;
use super::output::{self, Column};
use super::secret::{destination, show_once};
use super::session::Session;
use super::target::{self, Target};
use crate::model::Seconds;
use crate::time;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Issue a key and show its secret, this once
    #[command(after_help = "\
Examples:
  mpgate keys create --consumer acme --sender billing --stream G-ABC123
  mpgate keys create --consumer acme --sender crm --stream G-ABC123 --stream G-DEF456 --expires-in 90d
  mpgate keys create --consumer acme --sender crm --stream G-ABC123 --secret-file crm.secret
  mpgate keys create --consumer acme --sender shop --stream G-ABC123 --event purchase --event 'ecommerce_*'
  mpgate keys create --consumer acme --sender shop --stream G-ABC123 --source-network 203.0.113.0/24
  mpgate keys create --consumer acme --sender shop --stream G-ABC123 --certificate-name spiffe://acme/shop

The secret goes to the terminal or to a new file; to a pipe only with --show-secret.")]
    Create(CreateArgs),
    /// Show a consumer's keys, newest last
    #[command(after_help = "Example:\n  mpgate keys list --consumer acme --show-deleted")]
    List {
        /// Whose [env: `MPGATE_CONSUMER`]
        #[arg(long, value_parser = ConsumerId::parse)]
        consumer: Option<ConsumerId>,
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
    /// Change what a key may do; what is not named stays, a list that is named is replaced
    #[command(after_help = "\
Examples:
  mpgate keys update 4fGk2mTQx9Za --consumer acme --event purchase --event 'ecommerce_*'
  mpgate keys update 4fGk2mTQx9Za --consumer acme --clear-events
  mpgate keys update 4fGk2mTQx9Za --consumer acme --source-network 203.0.113.0/24 --source-network 2001:db8::/32
  mpgate keys update 4fGk2mTQx9Za --consumer acme --stream G-ABC123 --stream G-DEF456
  mpgate keys update 4fGk2mTQx9Za --consumer acme --expires-in 90d
  mpgate keys update 4fGk2mTQx9Za --consumer acme --no-expire-time

A key keeps its sender and its secret: for others, create a new key and delete this one.")]
    Update(UpdateArgs),
    /// Revoke one, for good
    #[command(after_help = "Example:\n  mpgate keys delete 4fGk2mTQx9Za --consumer acme")]
    Delete(One),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Whose it is [env: `MPGATE_CONSUMER`]
    #[arg(long, value_parser = ConsumerId::parse)]
    consumer: Option<ConsumerId>,
    /// Who sends with it: the label of the metrics
    #[arg(long, value_parser = SenderName::parse)]
    sender: SenderName,
    /// A stream it may write; repeat for more
    #[arg(long = "stream", required = true, value_parser = StreamId::parse, value_name = "STREAM")]
    streams: Vec<StreamId>,
    #[command(flatten)]
    details: Details,
    /// Write the secret to this new file (mode 0600, no newline) instead of showing it
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Show the secret although standard output is no terminal
    #[arg(long, conflicts_with = "secret_file")]
    show_secret: bool,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    one: One,
    /// A stream it may write; repeat for more. They replace those it has
    #[arg(long = "stream", value_parser = StreamId::parse, value_name = "STREAM")]
    streams: Vec<StreamId>,
    #[command(flatten)]
    details: Details,
    /// Let it send all events
    #[arg(long, conflicts_with = "events")]
    clear_events: bool,
    /// Let it send from any network
    #[arg(long, conflicts_with = "source_networks")]
    clear_source_networks: bool,
    /// Ask for no certificate name
    #[arg(long, conflicts_with = "certificate_names")]
    clear_certificate_names: bool,
    /// Let it be valid at once
    #[arg(long, conflicts_with = "not_before")]
    no_not_before: bool,
    /// Let it have no end
    #[arg(long, conflicts_with_all = ["expires_in", "expire_time"])]
    no_expire_time: bool,
}

/// What a key may have, at its creation and later.
#[derive(Debug, Args)]
struct Details {
    /// An event it may send, or a prefix: `purchase`, `'ecommerce_*'`; repeat for more. Without any: all
    #[arg(long = "event", value_parser = EventPattern::parse, value_name = "EVENT")]
    events: Vec<EventPattern>,
    /// A network it may send from (CIDR); repeat for more. Without any: any
    #[arg(long = "source-network", value_parser = Network::parse, value_name = "NETWORK")]
    source_networks: Vec<Network>,
    /// A name (URI or DNS) of which the client's certificate must carry one; repeat for more. Without
    /// any: no certificate is asked for
    #[arg(long = "certificate-name", value_parser = CertificateName::parse, value_name = "NAME")]
    certificate_names: Vec<CertificateName>,
    /// It is not valid before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
    /// It ends after this time: 45s, 30m, 12h, 90d or 2w
    #[arg(long, value_parser = target::duration, value_name = "DURATION", conflicts_with = "expire_time")]
    expires_in: Option<Duration>,
    /// It ends at this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    expire_time: Option<String>,
    /// A name for people
    #[arg(long)]
    nickname: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
}

impl Details {
    /// Those that were given, as members of a key.
    fn members(&self) -> Result<Map<String, Value>, CliError> {
        fn list<T: Serialize>(items: &[T]) -> Option<Value> {
            (!items.is_empty()).then(|| json!(items))
        }
        let end = match self.expires_in {
            None => self.expire_time.clone(),
            Some(after) => Some(end(after)?),
        };
        let given = [
            ("events", list(&self.events)),
            ("sourceNetworks", list(&self.source_networks)),
            ("certificateNames", list(&self.certificate_names)),
            ("notBefore", self.not_before.clone().map(Value::from)),
            ("expireTime", end.map(Value::from)),
            ("nickname", self.nickname.clone().map(Value::from)),
            ("description", self.description.clone().map(Value::from)),
        ];
        let members = given.into_iter();
        Ok(members.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// Its id, or its full resource name
    #[arg(value_parser = target::key)]
    key: Target<KeyId>,
    /// Whose it is [env: `MPGATE_CONSUMER`]
    #[arg(long, value_parser = ConsumerId::parse)]
    consumer: Option<ConsumerId>,
}

impl One {
    fn path(&self, session: &Session) -> Result<String, CliError> {
        session.resource(&self.key, self.consumer.as_ref(), "apiKeys")
    }
}

/// A line of the table.
const COLUMNS: [Column; 9] = [
    ("KEY", "name", "-"),
    ("SENDER", "sender", "-"),
    ("STREAMS", "dataStreams", "-"),
    ("EVENTS", "events", "all"),
    ("NETWORKS", "sourceNetworks", "any"),
    ("CERTIFICATES", "certificateNames", "any"),
    ("STATE", "state", "-"),
    ("EXPIRES", "expireTime", "never"),
    ("NICKNAME", "nickname", "-"),
];

/// One key, with everything there is to say of it.
const LINES: [Column; 13] = [
    ("KEY", "name", "-"),
    ("SENDER", "sender", "-"),
    ("STREAMS", "dataStreams", "-"),
    ("EVENTS", "events", "all"),
    ("SOURCE NETWORKS", "sourceNetworks", "any"),
    ("CERTIFICATE NAMES", "certificateNames", "any, or no certificate"),
    ("STATE", "state", "-"),
    ("CREATED", "createTime", "-"),
    ("NOT BEFORE", "notBefore", "-"),
    ("EXPIRES", "expireTime", "never"),
    ("REVOKED", "revokeTime", "-"),
    ("NICKNAME", "nickname", "-"),
    ("DESCRIPTION", "description", "-"),
];

pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CliError> {
    let (client, format) = (&session.client, session.format);
    let resource = match verb {
        Verb::List { consumer, show_deleted } => {
            let path = session.collection(consumer.as_ref(), "apiKeys")?;
            let list = client.list(&path, "apiKeys", show_deleted).await?;
            return output::list(&list, "apiKeys", &COLUMNS, format);
        }
        Verb::Create(new) => return create(new, session).await,
        Verb::Get(one) => client.get(&one.path(session)?).await?,
        Verb::Update(update) => {
            client.patch(&update.one.path(session)?, &changes(&update)?).await?
        }
        Verb::Delete(one) => client.delete(&one.path(session)?).await?,
    };
    output::one(&resource, &LINES, format)
}

fn changes(update: &UpdateArgs) -> Result<Value, CliError> {
    let mut body = update.details.members()?;
    if !update.streams.is_empty() {
        body.insert("dataStreams".to_owned(), json!(update.streams));
    }
    for (name, cleared) in [
        ("events", update.clear_events),
        ("sourceNetworks", update.clear_source_networks),
        ("certificateNames", update.clear_certificate_names),
        ("notBefore", update.no_not_before),
        ("expireTime", update.no_expire_time),
    ] {
        if cleared {
            body.insert(name.to_owned(), Value::Null);
        }
    }
    if body.is_empty() {
        let rule = "nothing to change; `mpgate keys update --help` shows what can be";
        return Err(CliError::Usage(rule.to_owned()));
    }
    Ok(body.into())
}

async fn create(new: CreateArgs, session: &Session) -> Result<(), CliError> {
    let path = session.collection(new.consumer.as_ref(), "apiKeys")?;
    let mut body = new.details.members()?;
    body.insert("sender".to_owned(), json!(new.sender));
    body.insert("dataStreams".to_owned(), json!(new.streams));
    let destination = destination(new.secret_file.as_deref(), new.show_secret, "--secret-file")?;
    let answer = session.client.post(&path, &[], &body.into()).await?;
    show_once(answer, "authenticationKey", destination, &LINES, session.format)
}

fn end(after: Duration) -> Result<String, CliError> {
    Seconds::try_from(after.as_secs())
        .ok()
        .and_then(|seconds| time::now().checked_add(seconds))
        .map(time::to_text)
        .ok_or_else(|| CliError::Usage("the key would end too far in the future".to_owned()))
}
