//! `mpgate audit`: who changed what, and who tried to and may not. The newest part of the trail, and what comes after it.

use core::time::Duration;

use clap::Args;
use mpgate_contract::ConsumerId;
use serde_json::{Value, json};

use super::CliError;
use super::output::{self, Column, Format};
use super::session::Session;
use super::settings::Options;
use super::target;
use crate::names::PrincipalId;
use crate::time;

/// Between two looks of `--follow`.
const PAUSE: Duration = Duration::from_secs(1);

/// The most of one answer.
const PAGE_SIZE: u32 = 1_000;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mpgate audit
  mpgate audit --principal shop-team --since 7d
  mpgate audit --resource measurementConsumers/acme/apiKeys/4fGk2mTQx9Za --output json
  mpgate audit --denied --since 1d
  mpgate audit --follow

Oldest first. With --output json, --follow prints one event in a line. Of what was denied (PERMISSION_DENIED) each
principal has ten events an hour, and one that counts the rest.")]
pub(super) struct AuditArgs {
    /// Only what this principal did
    #[arg(long, value_parser = PrincipalId::parse)]
    principal: Option<PrincipalId>,
    /// Only what was done so: create, update, delete, rotate, ...
    #[arg(long)]
    action: Option<String>,
    /// Only what somebody tried and may not
    #[arg(long, conflicts_with = "action")]
    denied: bool,
    /// Only what was done to this, by its full name
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
    /// Only what belongs to this consumer
    #[arg(long, value_parser = ConsumerId::parse)]
    consumer: Option<ConsumerId>,
    /// Only what is not older: 7d
    #[arg(long, value_parser = target::duration, value_name = "DURATION")]
    since: Option<Duration>,
    /// Only those that this holds of, as the API takes it (AIP-160): `source = 192.0.2.1`
    #[arg(long)]
    filter: Option<String>,
    /// So many of the newest
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Go on, and show what is done from now on; Ctrl-C ends it
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    options: Options,
}

const COLUMNS: [Column; 9] = [
    ("TIME", "time", "-"),
    ("PRINCIPAL", "principal", "-"),
    ("ACTION", "action", "-"),
    ("RESOURCE", "resource", "-"),
    ("SOURCE", "source", "-"),
    ("REVISION", "revision", "-"),
    ("REQUEST", "requestId", "-"),
    ("DENIED METHOD", "method", "-"),
    ("COUNT", "count", "-"),
];

pub(super) async fn run(arguments: AuditArgs) -> Result<(), CliError> {
    let session = Session::open(&arguments.options)?;
    let filter = arguments.filter()?;
    let events = newest(&session, &filter, arguments.limit, None).await?;
    let mut last = events.last().map(|event| event["name"].clone());
    if !arguments.follow {
        let trail = json!({"auditEvents": events, "nextPageToken": ""});
        return output::list(&trail, "auditEvents", &COLUMNS, session.format);
    }
    print(&events, true, session.format)?;
    loop {
        tokio::time::sleep(PAUSE).await;
        let events = newest(&session, &filter, u32::MAX, last.as_ref()).await?;
        last = events.last().map(|event| event["name"].clone()).or(last);
        print(&events, false, session.format)?;
    }
}

impl AuditArgs {
    fn filter(&self) -> Result<String, CliError> {
        let since = self.since.map(|since| {
            let seconds = i64::try_from(since.as_secs()).ok();
            let time = seconds.and_then(|seconds| time::now().checked_sub(seconds));
            time.map(time::to_text)
                .ok_or_else(|| CliError::Usage("--since is too long ago".to_owned()))
        });
        let quoted = |member: &str, value: String| format!("{member} = \"{value}\"");
        let given = [
            self.principal.as_ref().map(|id| quoted("principal", format!("principals/{id}"))),
            self.action.clone().map(|action| quoted("action", action)),
            self.denied.then(|| quoted("status", "PERMISSION_DENIED".to_owned())),
            self.resource.clone().map(|name| quoted("resource", name)),
            self.consumer
                .as_ref()
                .map(|id| quoted("measurementConsumer", format!("measurementConsumers/{id}"))),
            since.transpose()?.map(|time| format!("time >= \"{time}\"")),
            self.filter.clone(),
        ];
        Ok(given.into_iter().flatten().collect::<Vec<_>>().join(" AND "))
    }
}

/// The newest events, oldest first: so many, or those behind the one that was last. If there was none,
/// those behind the beginning.
async fn newest(
    session: &Session,
    filter: &str,
    limit: u32,
    last: Option<&Value>,
) -> Result<Vec<Value>, CliError> {
    let mut events: Vec<Value> = Vec::new();
    let mut token = String::new();
    let size = limit.min(PAGE_SIZE).to_string();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    loop {
        let mut query = vec![("orderBy", "time desc"), ("pageSize", &size), ("pageToken", &token)];
        if !filter.is_empty() {
            query.push(("filter", filter));
        }
        let mut page = session.client.get("/v1/auditEvents", &query).await?;
        let Some(Value::Array(items)) = page.get_mut("auditEvents").map(Value::take) else {
            return Err(CliError::Failed(
                "this control has no trail; is it an older one?".to_owned(),
            ));
        };
        for event in items {
            if events.len() >= limit || last.is_some_and(|last| event["name"] == *last) {
                events.reverse();
                return Ok(events);
            }
            events.push(event);
        }
        page["nextPageToken"].as_str().unwrap_or_default().clone_into(&mut token);
        if token.is_empty() {
            events.reverse();
            return Ok(events);
        }
    }
}

/// Prints some events of many.
fn print(events: &[Value], is_first: bool, format: Format) -> Result<(), CliError> {
    if format == Format::Json {
        return events.iter().try_for_each(|event| output::print(&format!("{event}\n")));
    }
    output::rows(events, &COLUMNS, is_first)
}
