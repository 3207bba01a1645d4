//! `mpgate doctor`: goes the ways that events and changes go, from here, and says where they end and what
//! to do next. It changes nothing and sends no secret but the token, to control.

mod control;
mod gate;
mod report;
mod upstream;

use clap::Args;
use reqwest::Url;

use self::report::Report;
use super::CliError;
use super::settings::Options;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mpgate doctor
  mpgate doctor --gate http://127.0.0.1:10000 --status http://127.0.0.1:9902/mpgate/status
  mpgate doctor --upstream https://www.google-analytics.com --output json

Control is always looked at. A gate is asked by a request to /debug/mp/collect without a secret, which it
has to refuse; that request is counted by it as one without a secret. It exits with 1 if a check fails.")]
pub(super) struct DoctorArgs {
    /// The traffic listener of an Envoy with the gate
    #[arg(long, value_name = "URL", value_parser = web_url)]
    gate: Option<Url>,
    /// The gate's status page
    #[arg(long, value_name = "URL", value_parser = web_url)]
    status: Option<Url>,
    /// Where the gate forwards to: is it reachable from here at all?
    #[arg(long, value_name = "URL", value_parser = web_url)]
    upstream: Option<Url>,
    #[command(flatten)]
    options: Options,
}

pub(super) async fn run(arguments: DoctorArgs) -> Result<(), CliError> {
    let settings = arguments.options.read()?;
    let mut report = Report::default();
    control::look(&settings, &mut report).await;
    if let Some(url) = &arguments.gate {
        gate::look(url, &settings, &mut report).await;
    }
    if let Some(url) = &arguments.status {
        gate::look_at_status(url, &settings, &mut report).await;
    }
    if let Some(url) = &arguments.upstream {
        upstream::look(url, &settings, &mut report).await;
    }
    report.print(settings.output)
}

fn web_url(text: &str) -> Result<Url, String> {
    let rule = "a URL looks like http://127.0.0.1:10000";
    let url = Url::parse(text).map_err(|error| format!("{error}; {rule}"))?;
    let fits = matches!(url.scheme(), "http" | "https") && url.username().is_empty();
    if fits && url.query().is_none() { Ok(url) } else { Err(format!("{rule}, without a query")) }
}
