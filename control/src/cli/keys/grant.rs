//! What a key may do: said when it comes into being, and changed later.

use std::io::{self, Read as _};

use clap::Args;
use mpgate_contract::{
    CertificateName, ConsumerId, EventPattern, Network, SenderName, StreamId, limits,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{LINES, One};
use crate::cli::CliError;
use crate::cli::end::End;
use crate::cli::mutation::{Mutation, Once};
use crate::cli::output;
use crate::cli::secret::{SecretPlace, show_once};
use crate::cli::session::Session;
use crate::cli::wait::Wait;

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    #[command(flatten)]
    new: NewKey,
    #[command(flatten)]
    place: SecretPlace,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AdoptArgs {
    #[command(flatten)]
    new: NewKey,
    /// The SHA-256 of the secret, in hexadecimal, in place of the secret
    #[arg(long, value_name = "SHA256")]
    digest: Option<String>,
    #[command(flatten)]
    wait: Wait,
}

/// What a key is made of.
#[derive(Debug, Args)]
struct NewKey {
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
    #[command(flatten)]
    once: Once,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Args)]
pub(in crate::cli) struct UpdateArgs {
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
    #[command(flatten)]
    mutation: Mutation,
    #[command(flatten)]
    wait: Wait,
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
    /// A name (URI or DNS) of which the client's certificate must carry one as its first of that kind; repeat
    /// for more. Without any: no certificate is asked for
    #[arg(long = "certificate-name", value_parser = CertificateName::parse, value_name = "NAME")]
    certificate_names: Vec<CertificateName>,
    /// It is not valid before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
    #[command(flatten)]
    end: End,
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
        let given = [
            ("events", list(&self.events)),
            ("sourceNetworks", list(&self.source_networks)),
            ("certificateNames", list(&self.certificate_names)),
            ("notBefore", self.not_before.clone().map(Value::from)),
            ("expireTime", self.end.time()?.map(Value::from)),
            ("nickname", self.nickname.clone().map(Value::from)),
            ("description", self.description.clone().map(Value::from)),
        ];
        let members = given.into_iter();
        Ok(members.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }
}

impl NewKey {
    fn members(&self) -> Result<Map<String, Value>, CliError> {
        let mut members = self.details.members()?;
        members.insert("sender".to_owned(), json!(self.sender));
        members.insert("dataStreams".to_owned(), json!(self.streams));
        Ok(members)
    }
}

pub(super) async fn create(new: CreateArgs, session: &Session) -> Result<(), CliError> {
    let path = session.collection(new.new.consumer.as_ref(), "apiKeys")?;
    let body = new.new.members()?.into();
    let destination = new.place.settle()?;
    let answer = session.client.post(&path, &new.new.once.query(&[]), &body).await?;
    let revision = answer["revision"].as_u64();
    show_once(answer, "authenticationKey", destination, &LINES, session.format)?;
    new.wait.until("in force", revision, session).await
}

pub(super) async fn adopt(adopted: AdoptArgs, session: &Session) -> Result<(), CliError> {
    let path = session.collection(adopted.new.consumer.as_ref(), "apiKeys:adopt")?;
    let mut body = adopted.new.members()?;
    match adopted.digest {
        Some(digest) => body.insert("digest".to_owned(), digest.into()),
        None => body.insert("secret".to_owned(), secret_from_standard_input()?.into()),
    };
    let query = adopted.new.once.query(&[]);
    let answer = session.client.post(&path, &query, &body.into()).await?;
    output::one(&answer, &LINES, session.format)?;
    adopted.wait.until("in force", answer["revision"].as_u64(), session).await
}

/// One line, without what ends it.
fn secret_from_standard_input() -> Result<String, CliError> {
    let wrong = |what: &str| {
        CliError::Usage(format!(
            "{what}; give the secret on standard input: mpgate keys adopt ... < FILE"
        ))
    };
    let mut text = String::new();
    // One more than fits tells that there is too much.
    let bytes_max = limits::SECRET_BYTES_MAX as u64;
    let read = io::stdin().take(bytes_max.saturating_add(3)).read_to_string(&mut text);
    read.map_err(|_| wrong("standard input cannot be read as text"))?;
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(wrong("standard input is empty"));
    }
    if secret.contains(['\n', '\r']) {
        return Err(wrong("standard input has more than one line"));
    }
    Ok(secret.to_owned())
}

pub(super) async fn update(update: UpdateArgs, session: &Session) -> Result<(), CliError> {
    let (path, body) = (update.one.path(session)?, changes(&update)?);
    let key = session.client.patch(&path, &update.mutation.query(), &body).await?;
    output::one(&key, &LINES, session.format)?;
    update.wait.until("in force", key["revision"].as_u64(), session).await
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
