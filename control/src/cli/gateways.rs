//! `mpgate gateways`: who has which revision of the list.

use clap::Subcommand;

use super::CliError;
use super::output::{self, Column};
use super::session::Session;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show all that were heard of, with how far each is
    #[command(after_help = "\
Examples:
  mpgate gateways list
  mpgate gateways list --output json

One unseen for 60 s is SILENT, and no longer counts where somebody waits for a change (--wait).")]
    List,
    /// Show one
    #[command(after_help = "Example:\n  mpgate gateways get edge-1.3f9c2b1a0d4e5f60")]
    Get {
        /// Its id, as the list names it
        gateway: String,
    },
}

const COLUMNS: [Column; 8] = [
    ("GATEWAY", "name", "-"),
    ("STATE", "state", "-"),
    ("REVISION", "revision", "-"),
    ("LAG", "lag", "-"),
    ("LAST SEEN", "lastSeenTime", "-"),
    ("VERSION", "version", "-"),
    ("ENVIRONMENT", "environment", "all"),
    ("NODE", "node", "-"),
];

const LINES: [Column; 12] = [
    ("GATEWAY", "name", "-"),
    ("PRINCIPAL", "principal", "-"),
    ("STATE", "state", "-"),
    ("REVISION", "revision", "-"),
    ("LAG", "lag", "-"),
    ("LAST SEEN", "lastSeenTime", "-"),
    ("VERSION", "version", "-"),
    ("CAPABILITIES", "capabilities", "-"),
    ("ENVIRONMENT", "environment", "all"),
    ("CONSUMERS", "measurementConsumers", "all"),
    ("GATE", "gate", "-"),
    ("NODE", "node", "-"),
];

pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CliError> {
    let (client, format) = (&session.client, session.format);
    match verb {
        Verb::List => {
            let list = client.get("/v1/gateways", &[]).await?;
            output::list(&list, "gateways", &COLUMNS, format)
        }
        Verb::Get { gateway } => {
            let id = gateway.strip_prefix("gateways/").unwrap_or(&gateway);
            let gateway = client.get(&format!("/v1/gateways/{id}"), &[]).await?;
            output::one(&gateway, &LINES, format)
        }
    }
}
