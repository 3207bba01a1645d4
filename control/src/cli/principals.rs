//! `mpgate principals`. A token is printed once, or written to a new private file.

use core::time::Duration;

use clap::{Args, Subcommand};
use mpgate_contract::ConsumerId;
use serde_json::{Map, Value, json};

use super::CliError;
use super::end::{End, LEFT, each_with_left, with_left};
use super::mutation::{Mutation, Once};
use super::output::{self, Column};
use super::secret::{TokenPlace, show_once};
use super::session::{Session, deleted_too};
use super::target;
use super::words::{Environment, Role, word};
use crate::names::PrincipalId;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add a principal and show its token, this once
    #[command(after_help = "\
Examples:
  mpgate principals create edge-1 --role gateway --environment production --token-to gateway.token
  mpgate principals create shop-team --role owner --consumer acme --token-to shop-team.token
  mpgate principals create --role admin --display-name 'On call'
  mpgate principals create auditor --role viewer --expires-in 30d --token-to auditor.token

With --expires-in or --expire-time the token ends by itself. The token goes to the terminal or to a new file; to a pipe only with --show-secret.")]
    Create(CreateArgs),
    /// Show all, newest last
    #[command(after_help = "Example:\n  mpgate principals list --show-deleted")]
    List {
        /// Revoked ones too
        #[arg(long)]
        show_deleted: bool,
    },
    /// Show one
    #[command(after_help = "Example:\n  mpgate principals get edge-1")]
    Get(One),
    /// Change what it is called and bound to; what is not named stays
    #[command(after_help = "\
Examples:
  mpgate principals update shop-team --consumer acme --consumer beta
  mpgate principals update edge-1 --environment staging")]
    Update(UpdateArgs),
    /// Issue another token, and give those it has an end
    #[command(after_help = "\
Examples:
  mpgate principals rotate edge-1 --token-to gateway.token.new
  mpgate principals rotate edge-1 --overlap 0s --show-secret
  mpgate principals rotate auditor --expires-in 30d --token-to auditor.token.new
  mpgate principals rotate auditor --no-expire-time --token-to auditor.token.new

The new token has as long a life as the one before was given, if nothing is said.")]
    Rotate(RotateArgs),
    /// Show one's tokens: when each was used last, and when it ends
    #[command(after_help = "Example:\n  mpgate principals tokens edge-1")]
    Tokens(One),
    /// Revoke one of its tokens, at once
    #[command(after_help = "Example:\n  mpgate principals revoke-token edge-1 4fGk2mTQx9Za")]
    RevokeToken {
        #[command(flatten)]
        one: One,
        /// Which, as `mpgate principals tokens` names it
        token: String,
        #[command(flatten)]
        once: Once,
    },
    /// Revoke a principal with all its tokens, for good
    #[command(after_help = "Example:\n  mpgate principals delete edge-1")]
    Delete {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        mutation: Mutation,
    },
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// Its id
    #[arg(value_parser = PrincipalId::parse)]
    principal: PrincipalId,
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Its id; made up if there is none
    #[arg(value_parser = PrincipalId::parse)]
    principal: Option<PrincipalId>,
    /// What it may do
    #[arg(long, value_enum)]
    role: Role,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    end: End,
    #[command(flatten)]
    place: TokenPlace,
    #[command(flatten)]
    once: Once,
}

#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    mutation: Mutation,
}

#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    one: One,
    /// How long its other tokens go on: 1d if nothing is said
    #[arg(long, value_parser = target::duration, value_name = "DURATION")]
    overlap: Option<Duration>,
    #[command(flatten)]
    end: End,
    /// Let the new token have no end
    #[arg(long, conflicts_with_all = ["expires_in", "expire_time"])]
    no_expire_time: bool,
    #[command(flatten)]
    place: TokenPlace,
    #[command(flatten)]
    mutation: Mutation,
}

/// What a principal is called and bound to.
#[derive(Debug, Args)]
struct Bounds {
    /// A name for people
    #[arg(long)]
    display_name: Option<String>,
    /// A consumer that it is bound to: of owners, viewers and gateways; repeat for more
    #[arg(long = "consumer", value_parser = ConsumerId::parse, value_name = "CONSUMER")]
    consumers: Vec<ConsumerId>,
    /// The environment that a gateway serves
    #[arg(long, value_enum)]
    environment: Option<Environment>,
}

impl Bounds {
    /// Those that were given, as members of a principal.
    fn members(&self) -> Map<String, Value> {
        let names = self.consumers.iter().map(|id| format!("measurementConsumers/{id}"));
        let names: Vec<_> = names.collect();
        let given = [
            ("displayName", self.display_name.clone().map(Value::from)),
            ("measurementConsumers", (!names.is_empty()).then(|| json!(names))),
            ("environment", self.environment.map(word)),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

const COLUMNS: [Column; 9] = [
    ("PRINCIPAL", "name", "-"),
    ("ROLE", "role", "-"),
    ("CONSUMERS", "measurementConsumers", "all"),
    ("ENVIRONMENT", "environment", "all"),
    ("STATE", "state", "-"),
    ("CREATED", "createTime", "-"),
    ("EXPIRES", "expireTime", "never"),
    ("ENDS IN", LEFT, "-"),
    ("DISPLAY NAME", "displayName", "-"),
];

const TOKEN_COLUMNS: [Column; 6] = [
    ("TOKEN", "name", "-"),
    ("STATE", "state", "-"),
    ("CREATED", "createTime", "-"),
    ("EXPIRES", "expireTime", "never"),
    ("ENDS IN", LEFT, "-"),
    ("LAST USED", "lastUseTime", "-"),
];

pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CliError> {
    let (client, format) = (&session.client, session.format);
    let resource = match verb {
        Verb::List { show_deleted } => {
            let query = deleted_too(show_deleted);
            let list = client.list("/v1/principals", "principals", &query).await?;
            let list = each_with_left(list, "principals", format);
            return output::list(&list, "principals", &COLUMNS, format);
        }
        Verb::Create(new) => return create(new, session).await,
        Verb::Rotate(rotation) => return rotate(rotation, session).await,
        Verb::Tokens(one) => {
            let list = client.get(&format!("{}/tokens", one.path()), &[]).await?;
            let list = each_with_left(list, "tokens", format);
            return output::list(&list, "tokens", &TOKEN_COLUMNS, format);
        }
        Verb::RevokeToken { one, token, once } => {
            // By its full name too, as an answer shows it.
            let id = token.rsplit('/').next().unwrap_or(&token);
            let path = format!("{}/tokens/{id}", one.path());
            let token = client.delete(&path, &once.query(&[])).await?;
            return output::one(&with_left(token, format), &TOKEN_COLUMNS, format);
        }
        Verb::Get(one) => client.get(&one.path(), &[]).await?,
        Verb::Update(update) => {
            let body = update.bounds.members();
            if body.is_empty() {
                let rule = "nothing to change; add --display-name, --consumer or --environment";
                return Err(CliError::Usage(rule.to_owned()));
            }
            client.patch(&update.one.path(), &update.mutation.query(), &body.into()).await?
        }
        Verb::Delete { one, mutation } => client.delete(&one.path(), &mutation.query()).await?,
    };
    output::one(&with_left(resource, format), &COLUMNS, format)
}

impl One {
    fn path(&self) -> String {
        format!("/v1/principals/{}", self.principal)
    }
}

async fn create(new: CreateArgs, session: &Session) -> Result<(), CliError> {
    let mut body = new.bounds.members();
    body.insert("role".to_owned(), word(new.role));
    if let Some(id) = &new.principal {
        body.insert("principalId".to_owned(), id.as_str().into());
    }
    if let Some(end) = new.end.time()? {
        body.insert("expireTime".to_owned(), end.into());
    }
    let destination = new.place.settle()?;
    let query = new.once.query(&[]);
    let answer = session.client.post("/v1/principals", &query, &body.into()).await?;
    let answer = with_left(answer, session.format);
    show_once(answer, "token", destination, &COLUMNS, session.format)
}

async fn rotate(rotation: RotateArgs, session: &Session) -> Result<(), CliError> {
    let mut body = Map::new();
    if let Some(overlap) = rotation.overlap {
        body.insert("overlap".to_owned(), format!("{}s", overlap.as_secs()).into());
    }
    match rotation.end.time()? {
        Some(end) => body.insert("expireTime".to_owned(), end.into()),
        None if rotation.no_expire_time => body.insert("expireTime".to_owned(), Value::Null),
        None => None,
    };
    let (query, body) = rotation.mutation.custom(body);
    let destination = rotation.place.settle()?;
    let path = format!("{}:rotate", rotation.one.path());
    let answer = session.client.post(&path, &query, &body).await?;
    let answer = with_left(answer, session.format);
    show_once(answer, "token", destination, &COLUMNS, session.format)
}
