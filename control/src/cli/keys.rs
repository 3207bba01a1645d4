//! `mpgate keys`. A secret is printed once, or written to a new private file.

mod grant;
mod life;
mod list;

use clap::{Args, Subcommand};
use mpgate_contract::{ConsumerId, KeyId};

use self::grant::{AdoptArgs, CreateArgs, UpdateArgs};
use self::life::{RotateArgs, TurnArgs};
use self::list::ListArgs;
use super::CliError;
use super::output::{self, Column};
use super::session::Session;
use super::target::{self, Target};

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
    /// Take over a secret that a sender has already: it is read from standard input
    #[command(after_help = "\
Examples:
  mpgate keys adopt --consumer acme --sender billing --stream G-ABC123 < ga4.secret
  mpgate keys adopt --consumer acme --sender billing --stream G-ABC123 --digest 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

The secret is never an argument: those are seen by every user of the machine. A terminal shows what is
typed, so give it a file. By its digest alone, the SHA-256 in hexadecimal, only an admin may.")]
    Adopt(AdoptArgs),
    /// Show a consumer's keys, newest last, with what control advises
    #[command(after_help = "\
Examples:
  mpgate keys list --consumer acme --show-deleted
  mpgate keys list --consumer acme --expiring-within 14d
  mpgate keys list --consumer acme --safe-to-delete
  mpgate keys list --consumer acme --filter 'sender = billing AND NOT successor:*'

Advice: NEVER_USED, no event was ever accepted with it; EXPIRES_SOON, it ends within 14 days;
SAFE_TO_DELETE, its successor is in use and it was quiet for a day, or it is expired and nobody tries it;
STILL_TRIED, it is out of force and somebody sends with it.")]
    List(ListArgs),
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
    /// Issue a successor with the same grant, and give the key an end
    #[command(after_help = "\
Examples:
  mpgate keys rotate 4fGk2mTQx9Za --consumer acme
  mpgate keys rotate 4fGk2mTQx9Za --consumer acme --overlap 2d --secret-file billing.secret
  mpgate keys rotate 4fGk2mTQx9Za --consumer acme --overlap 0s --wait

For the time of the overlap both are in force. `mpgate keys list --safe-to-delete` says when the old one is
no longer needed. The secret goes where that of `keys create` goes.")]
    Rotate(RotateArgs),
    /// Take one out of force for a while
    #[command(after_help = "Example:\n  mpgate keys disable 4fGk2mTQx9Za --consumer acme --wait")]
    Disable(TurnArgs),
    /// Put a disabled one back into force
    #[command(after_help = "Example:\n  mpgate keys enable 4fGk2mTQx9Za --consumer acme")]
    Enable(TurnArgs),
    /// Revoke one, for good
    #[command(after_help = "\
Examples:
  mpgate keys delete 4fGk2mTQx9Za --consumer acme
  mpgate keys delete 4fGk2mTQx9Za --consumer acme --wait 10")]
    Delete(TurnArgs),
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
const COLUMNS: [Column; 10] = [
    ("KEY", "name", "-"),
    ("SENDER", "sender", "-"),
    ("STREAMS", "dataStreams", "-"),
    ("EVENTS", "events", "all"),
    ("NETWORKS", "sourceNetworks", "any"),
    ("CERTIFICATES", "certificateNames", "any"),
    ("STATE", "state", "-"),
    ("EXPIRES", "expireTime", "never"),
    ("ADVICE", "advice", "-"),
    ("NICKNAME", "nickname", "-"),
];

/// One key, with everything there is to say of it.
const LINES: [Column; 18] = [
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
    ("LAST USED", "lastUseTime", "-"),
    ("LAST REFUSED", "lastRefuseTime", "-"),
    ("ADVICE", "advice", "-"),
    ("PREDECESSOR", "predecessor", "-"),
    ("SUCCESSOR", "successor", "-"),
    ("NICKNAME", "nickname", "-"),
    ("DESCRIPTION", "description", "-"),
];

pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CliError> {
    match verb {
        Verb::Create(new) => grant::create(new, session).await,
        Verb::Adopt(adopted) => grant::adopt(adopted, session).await,
        Verb::List(wanted) => list::list(wanted, session).await,
        Verb::Get(one) => {
            let key = session.client.get(&one.path(session)?, &[]).await?;
            output::one(&key, &LINES, session.format)
        }
        Verb::Update(update) => grant::update(update, session).await,
        Verb::Rotate(rotation) => life::rotate(rotation, session).await,
        Verb::Disable(turn) => life::turn(turn, "disable", session).await,
        Verb::Enable(turn) => life::turn(turn, "enable", session).await,
        Verb::Delete(turn) => life::delete(turn, session).await,
    }
}
