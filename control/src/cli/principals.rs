//! `mpgate principals`. A token is printed once, or written to a new private file.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::CliError;
use super::output::{self, Column};
use super::secret::{destination, show_once};
use super::session::Session;
use super::words::{Role, word};
use crate::names::PrincipalId;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add a principal and show its token, this once
    #[command(after_help = "\
Examples:
  mpgate principals create edge-1 --role gateway --token-to gateway.token
  mpgate principals create --role admin --display-name 'On call'

The token goes to the terminal or to a new file; to a pipe only with --show-secret.")]
    Create {
        /// Its id; made up if there is none
        #[arg(value_parser = PrincipalId::parse)]
        principal: Option<PrincipalId>,
        /// What it may do
        #[arg(long, value_enum)]
        role: Role,
        /// A name for people
        #[arg(long)]
        display_name: Option<String>,
        /// Write the token to this new file (mode 0600, no newline) instead of showing it
        #[arg(long, value_name = "FILE")]
        token_to: Option<PathBuf>,
        /// Show the token although standard output is no terminal
        #[arg(long, conflicts_with = "token_to")]
        show_secret: bool,
    },
    /// Show all, newest last
    #[command(after_help = "Example:\n  mpgate principals list")]
    List {
        /// Revoked ones too
        #[arg(long)]
        show_deleted: bool,
    },
    /// Show one
    #[command(after_help = "Example:\n  mpgate principals get edge-1")]
    Get {
        /// Its id
        #[arg(value_parser = PrincipalId::parse)]
        principal: PrincipalId,
    },
    /// Revoke one's token, for good
    #[command(after_help = "Example:\n  mpgate principals delete edge-1")]
    Delete {
        /// Its id
        #[arg(value_parser = PrincipalId::parse)]
        principal: PrincipalId,
    },
}

const COLUMNS: [Column; 5] = [
    ("PRINCIPAL", "name", "-"),
    ("ROLE", "role", "-"),
    ("STATE", "state", "-"),
    ("CREATED", "createTime", "-"),
    ("DISPLAY NAME", "displayName", "-"),
];

pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CliError> {
    let (client, format) = (&session.client, session.format);
    let resource = match verb {
        Verb::List { show_deleted } => {
            let list = client.list("/v1/principals", "principals", show_deleted).await?;
            return output::list(&list, "principals", &COLUMNS, format);
        }
        Verb::Create { principal, role, display_name, token_to, show_secret } => {
            let id = principal.as_ref().map(PrincipalId::as_str);
            let body = json!({"principalId": id, "role": word(role), "displayName": display_name});
            let destination = destination(token_to.as_deref(), show_secret, "--token-to")?;
            let answer = client.post("/v1/principals", &[], &body).await?;
            return show_once(answer, "token", destination, &COLUMNS, format);
        }
        Verb::Get { principal } => client.get(&format!("/v1/principals/{principal}")).await?,
        Verb::Delete { principal } => client.delete(&format!("/v1/principals/{principal}")).await?,
    };
    output::one(&resource, &COLUMNS, format)
}
