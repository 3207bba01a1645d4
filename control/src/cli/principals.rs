//! `mpgate principals`. A token is printed once, or written to a new private file.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::CliError;
use super::client::Client;
use super::keys::{expect_new, show_once};
use super::output::{self, Column, Format};
use crate::names::PrincipalId;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add a principal and show its token, this once
    #[command(after_help = "\
Examples:
  mpgate principals create edge-1 --role gateway --token-to gateway.token
  mpgate principals create --role admin --display-name 'On call'")]
    Create {
        /// Its id; made up if there is none
        #[arg(value_parser = PrincipalId::parse)]
        principal: Option<PrincipalId>,
        /// admin: everything; gateway: read the allowlist's changes
        #[arg(long)]
        role: String,
        /// A name for people
        #[arg(long)]
        display_name: Option<String>,
        /// Write the token to this new file (mode 0600, no newline) instead of showing it
        #[arg(long, value_name = "FILE")]
        token_to: Option<PathBuf>,
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

pub(super) async fn run(verb: Verb, client: &Client, format: Format) -> Result<(), CliError> {
    let resource = match verb {
        Verb::List { show_deleted } => {
            let list = client.list("/v1/principals", "principals", show_deleted).await?;
            return output::list(&list, "principals", &COLUMNS, format);
        }
        Verb::Create { principal, role, display_name, token_to } => {
            let id = principal.as_ref().map(PrincipalId::as_str);
            let body = json!({"principalId": id, "role": role, "displayName": display_name});
            expect_new(token_to.as_deref())?;
            let answer = client.post("/v1/principals", &[], &body).await?;
            return show_once(answer, "token", token_to.as_deref(), &COLUMNS, format);
        }
        Verb::Get { principal } => client.get(&format!("/v1/principals/{principal}")).await?,
        Verb::Delete { principal } => client.delete(&format!("/v1/principals/{principal}")).await?,
    };
    output::one(&resource, &COLUMNS, format)
}
