//! Which keys are shown: by what control advises, by their end, or by a filter.

use core::time::Duration;

use clap::Args;
use mpgate_contract::ConsumerId;

use super::COLUMNS;
use crate::cli::CliError;
use crate::cli::end;
use crate::cli::output;
use crate::cli::session::{Session, deleted_too};
use crate::cli::target;

#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Whose [env: `MPGATE_CONSUMER`]
    #[arg(long, value_parser = ConsumerId::parse)]
    consumer: Option<ConsumerId>,
    /// Revoked ones too
    #[arg(long)]
    show_deleted: bool,
    /// Only those that this holds of, as the API takes it (AIP-160): `sender = billing AND state = ACTIVE`
    #[arg(long)]
    filter: Option<String>,
    /// Only those that no event was ever accepted with
    #[arg(long)]
    unused: bool,
    /// Only those in force that end within this time: 14d
    #[arg(long, value_parser = target::duration, value_name = "DURATION")]
    expiring_within: Option<Duration>,
    /// Only those out of force that somebody still sends with, revoked ones too
    #[arg(long)]
    revoked_but_tried: bool,
    /// Only those that nobody needs any more
    #[arg(long)]
    safe_to_delete: bool,
}

pub(super) async fn list(wanted: ListArgs, session: &Session) -> Result<(), CliError> {
    let path = session.collection(wanted.consumer.as_ref(), "apiKeys")?;
    let mut filter: Vec<String> = wanted.filter.into_iter().collect();
    let advised = [
        (wanted.unused, "NEVER_USED"),
        (wanted.revoked_but_tried, "STILL_TRIED"),
        (wanted.safe_to_delete, "SAFE_TO_DELETE"),
    ];
    let advice = advised.iter().filter(|(wanted, _)| *wanted);
    filter.extend(advice.map(|(_, advice)| format!("advice:{advice}")));
    if let Some(within) = wanted.expiring_within {
        filter.push(format!("expireTime <= \"{}\" AND state = ACTIVE", end::after(within)?));
    }
    let filter = filter.join(" AND ");
    let mut query = deleted_too(wanted.show_deleted || wanted.revoked_but_tried);
    if !filter.is_empty() {
        query.push(("filter", &filter));
    }
    let list = session.client.list(&path, "apiKeys", &query).await?;
    output::list(&list, "apiKeys", &COLUMNS, session.format)
}
