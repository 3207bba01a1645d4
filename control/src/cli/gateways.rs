//! `mpgate gateways`: who has which revision of the list.

use std::io::{self, Write as _};

use clap::Subcommand;
use serde_json::json;

use super::CliError;
use super::mutation::Once;
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
    /// Take those that have ended out of the list, before their day is over
    #[command(after_help = "\
Examples:
  mpgate gateways forget edge-1.3f9c2b1a0d4e5f60.front
  mpgate gateways forget edge-1.3f9c2b1a0d4e5f60.front edge-1.9a1c55e07d2b4c11.front

Only SILENT ones: see first that its Envoy has ended, as one that is cut off goes on with the list it has. One that
speaks again is listed again. An Envoy that was started anew with the same node id needs no command.")]
    Forget {
        /// Their ids, as the list names them
        #[arg(required = true, value_name = "GATEWAY")]
        gateways: Vec<String>,
        #[command(flatten)]
        once: Once,
    },
    /// Show one
    #[command(after_help = "Example:\n  mpgate gateways get edge-1.3f9c2b1a0d4e5f60.front")]
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

fn path(gateway: &str) -> String {
    format!("/v1/gateways/{}", gateway.strip_prefix("gateways/").unwrap_or(gateway))
}

pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CliError> {
    let (client, format) = (&session.client, session.format);
    match verb {
        Verb::List => {
            let list = client.get("/v1/gateways", &[]).await?;
            output::list(&list, "gateways", &COLUMNS, format)?;
            for principal in list["incomplete"].as_array().into_iter().flatten() {
                let principal = principal.as_str().unwrap_or_default();
                writeln!(io::stderr(), "more gateways than these hold the token of {principal}")?;
            }
            Ok(())
        }
        Verb::Forget { gateways, once } => forget(&gateways, &once, session).await,
        Verb::Get { gateway } => {
            let gateway = client.get(&path(&gateway), &[]).await?;
            output::one(&gateway, &LINES, format)
        }
    }
}

/// One after the other; those that were forgotten before one that may not be are shown before the error.
async fn forget(gateways: &[String], once: &Once, session: &Session) -> Result<(), CliError> {
    let (client, format) = (&session.client, session.format);
    if let [gateway] = gateways {
        let gateway = client.delete(&path(gateway), &once.query(&[])).await?;
        return output::one(&gateway, &LINES, format);
    }
    if once.is_chosen() {
        return Err(CliError::Usage("--request-id is for one change: name one gateway".to_owned()));
    }
    let mut forgotten = Vec::with_capacity(gateways.len());
    let mut ended = Ok(());
    for gateway in gateways {
        match client.delete(&path(gateway), &once.query(&[])).await {
            Ok(gateway) => forgotten.push(gateway),
            Err(error) => {
                ended = Err(error);
                break;
            }
        }
    }
    output::list(&json!({"gateways": forgotten}), "gateways", &COLUMNS, format)?;
    ended
}
