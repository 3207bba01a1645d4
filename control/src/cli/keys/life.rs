//! What becomes of a key: a successor, a pause, its end.

use core::time::Duration;

use clap::Args;
use serde_json::{Map, Value};

use super::{LINES, One};
use crate::cli::CliError;
use crate::cli::end;
use crate::cli::mutation::Mutation;
use crate::cli::output;
use crate::cli::secret::{SecretPlace, show_once};
use crate::cli::session::Session;
use crate::cli::target;
use crate::cli::wait::Wait;

#[derive(Debug, Args)]
pub(in crate::cli) struct RotateArgs {
    #[command(flatten)]
    one: One,
    /// How long the old key goes on: 7d if nothing is said, never past its own end
    #[arg(long, value_parser = target::duration, value_name = "DURATION")]
    overlap: Option<Duration>,
    /// The new key ends after this time; else after as long a life as the old one was given
    #[arg(long, value_parser = target::duration, value_name = "DURATION")]
    expires_in: Option<Duration>,
    #[command(flatten)]
    place: SecretPlace,
    #[command(flatten)]
    mutation: Mutation,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TurnArgs {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    mutation: Mutation,
    #[command(flatten)]
    wait: Wait,
}

pub(super) async fn rotate(rotation: RotateArgs, session: &Session) -> Result<(), CliError> {
    let path = format!("{}:rotate", rotation.one.path(session)?);
    let mut body = Map::new();
    if let Some(overlap) = rotation.overlap {
        body.insert("overlap".to_owned(), format!("{}s", overlap.as_secs()).into());
    }
    if let Some(after) = rotation.expires_in {
        body.insert("expireTime".to_owned(), end::after(after)?.into());
    }
    let (query, body) = rotation.mutation.custom(body);
    let destination = rotation.place.settle()?;
    let answer = session.client.post(&path, &query, &body).await?;
    let revision = answer["revision"].as_u64();
    show_once(answer, "authenticationKey", destination, &LINES, session.format)?;
    rotation.wait.until("in force", revision, session).await
}

pub(super) async fn turn(turn: TurnArgs, verb: &str, session: &Session) -> Result<(), CliError> {
    let path = format!("{}:{verb}", turn.one.path(session)?);
    let (query, body) = turn.mutation.custom(Map::new());
    let key = session.client.post(&path, &query, &body).await?;
    let word = if verb == "disable" { "refused" } else { "in force" };
    tell(&key, word, &turn.wait, session).await
}

pub(super) async fn delete(turn: TurnArgs, session: &Session) -> Result<(), CliError> {
    let key = session.client.delete(&turn.one.path(session)?, &turn.mutation.query()).await?;
    tell(&key, "refused", &turn.wait, session).await
}

async fn tell(key: &Value, word: &str, wait: &Wait, session: &Session) -> Result<(), CliError> {
    output::one(key, &LINES, session.format)?;
    wait.until(word, key["revision"].as_u64(), session).await
}
