//! `mpgate consumers`.

use clap::Subcommand;
use mpgate_contract::ConsumerId;
use serde_json::json;

use super::CliError;
use super::mutation::{Mutation, Once};
use super::output::{self, Column};
use super::session::{Session, deleted_too};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Add a measurement consumer
    #[command(after_help = "Example:\n  mpgate consumers create acme --display-name 'Acme Ltd'")]
    Create {
        /// Its id, for good: ids are not given out twice
        #[arg(value_parser = ConsumerId::parse)]
        consumer: ConsumerId,
        /// A name for people
        #[arg(long)]
        display_name: Option<String>,
        #[command(flatten)]
        once: Once,
    },
    /// Change its name for people
    #[command(after_help = "Example:\n  mpgate consumers update acme --display-name 'Acme Group'")]
    Update {
        /// Its id
        #[arg(value_parser = ConsumerId::parse)]
        consumer: ConsumerId,
        /// A name for people
        #[arg(long)]
        display_name: String,
        #[command(flatten)]
        mutation: Mutation,
    },
    /// Show all, newest last
    #[command(after_help = "Example:\n  mpgate consumers list --output json")]
    List {
        /// Deleted ones too
        #[arg(long)]
        show_deleted: bool,
    },
    /// Show one
    #[command(after_help = "Example:\n  mpgate consumers get acme")]
    Get {
        /// Its id
        #[arg(value_parser = ConsumerId::parse)]
        consumer: ConsumerId,
    },
    /// Delete one that has no streams and keys left
    #[command(after_help = "Example:\n  mpgate consumers delete acme")]
    Delete {
        /// Its id
        #[arg(value_parser = ConsumerId::parse)]
        consumer: ConsumerId,
        #[command(flatten)]
        mutation: Mutation,
    },
}

const COLUMNS: [Column; 4] = [
    ("CONSUMER", "name", "-"),
    ("STATE", "state", "-"),
    ("CREATED", "createTime", "-"),
    ("DISPLAY NAME", "displayName", "-"),
];

const ALL: &str = "/v1/measurementConsumers";

pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CliError> {
    let (client, format) = (&session.client, session.format);
    let resource = match verb {
        Verb::List { show_deleted } => {
            let list = client.list(ALL, "measurementConsumers", &deleted_too(show_deleted)).await?;
            return output::list(&list, "measurementConsumers", &COLUMNS, format);
        }
        Verb::Create { consumer, display_name, once } => {
            let query = once.query(&[("measurementConsumerId", consumer.as_str())]);
            client.post(ALL, &query, &json!({"displayName": display_name})).await?
        }
        Verb::Get { consumer } => client.get(&format!("{ALL}/{consumer}"), &[]).await?,
        Verb::Update { consumer, display_name, mutation } => {
            let body = json!({"displayName": display_name});
            client.patch(&format!("{ALL}/{consumer}"), &mutation.query(), &body).await?
        }
        Verb::Delete { consumer, mutation } => {
            client.delete(&format!("{ALL}/{consumer}"), &mutation.query()).await?
        }
    };
    output::one(&resource, &COLUMNS, format)
}
