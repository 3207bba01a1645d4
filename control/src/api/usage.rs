//! `POST /v1/usageReports`: what gateways counted; `GET .../{mc}:usage`: what came of it.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use mpgate_contract::{KeyId, ReportFault, SenderName, UsageReport};
use serde_json::json;

use super::input::{Parameters, is_json};
use super::problem::{Problem, Reason};
use super::{Answer, App, consumer_id, json as json_of};
use crate::metrics::ReportResult;
use crate::model::Span;
use crate::service::{Caller, UsageQuestion};
use crate::time;

const PARAMETERS: &[&str] = &["startTime", "endTime", "groupBy", "sender", "apiKey"];

const GROUPS: &str = "A list, separated by commas, of apiKey, stream, and hour or day; a sender is always told apart.";

pub(super) async fn report(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    parameters: Parameters,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let answer = counted(&app, &caller, &headers, &parameters, body).await;
    app.metrics.report(match &answer {
        Ok(true) => ReportResult::Counted,
        Ok(false) => ReportResult::Repeated,
        Err(problem) if matches!(problem.reason, Reason::Unavailable | Reason::Internal) => {
            ReportResult::Failed
        }
        Err(_) => ReportResult::Refused,
    });
    json_of(&json!({"counted": answer?}))
}

async fn counted(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    parameters: &Parameters,
    body: Result<Bytes, BytesRejection>,
) -> Result<bool, Problem> {
    parameters.only(&[])?;
    if !is_json(headers) {
        let detail = "Send the report as content-type: application/json.";
        return Err(Problem::new(Reason::UnsupportedMediaType, detail));
    }
    let refused = |fault: ReportFault| {
        let reason = match fault {
            ReportFault::TooLarge => Reason::PayloadTooLarge,
            _ => Reason::InvalidArgument,
        };
        Problem::new(reason, format!("The report is not taken: {}.", fault.meaning()))
    };
    let body = match body {
        Ok(body) => body,
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return Err(refused(ReportFault::TooLarge));
        }
        Err(error) => return Err(Problem::of_status(error.status())),
    };
    let report = UsageReport::parse(&body).map_err(refused)?;
    Ok(app.service.report_usage(caller, &report).await?)
}

pub(super) async fn get(app: App, caller: Caller, mc: &str, parameters: &Parameters) -> Answer {
    let consumer = consumer_id(mc)?;
    parameters.only(PARAMETERS)?;
    let mut question = UsageQuestion {
        sender: parameters
            .parse("sender", SenderName::parse)?
            .map(|sender| sender.as_str().to_owned()),
        key: parameters.parse("apiKey", KeyId::parse)?,
        start: parameters.parse("startTime", time::parse)?,
        end: parameters.parse("endTime", time::parse)?,
        span: Span::Whole,
        by_key: false,
        by_stream: false,
    };
    for group in parameters.get("groupBy").unwrap_or("apiKey").split(',').map(str::trim) {
        match group {
            "apiKey" => question.by_key = true,
            "stream" => question.by_stream = true,
            "sender" => {}
            "hour" if question.span != Span::Day => question.span = Span::Hour,
            "day" if question.span != Span::Hour => question.span = Span::Day,
            _ => return Err(Problem::field("groupBy", GROUPS)),
        }
    }
    json_of(&app.service.usage(&caller, &consumer, question).await?)
}
