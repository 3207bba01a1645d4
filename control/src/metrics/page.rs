//! `GET /metrics`: what was counted, and what the database holds at that moment.

use core::sync::atomic::Ordering;
use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::text::{Kind, Text};
use super::{BUCKETS, Metrics, ReportResult};
use crate::model::Reconciliation;
use crate::service::{Gauges, Service};

/// The page on its own listener.
pub(crate) fn router(service: Service, metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(page)).with_state((service, metrics))
}

async fn page(State((service, metrics)): State<(Service, Metrics)>) -> Response {
    match service.gauges().await {
        Ok(gauges) => {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            (kind, render(&metrics, &gauges)).into_response()
        }
        // Half a page would look as if gateways had gone.
        Err(error) => {
            tracing::warn!(%error, "the metrics could not be read");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

fn render(metrics: &Metrics, gauges: &Gauges) -> String {
    let mut text = Text::default();
    text.family("mpgate_control_build_info", Kind::Gauge, "The version that runs.");
    text.sample("mpgate_control_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    counters(&mut text, metrics);
    let name = "mpgate_control_open_polls";
    text.family(name, Kind::Gauge, "Questions for changes that are held open.");
    text.sample(name, &[], metrics.0.open_polls.load(Ordering::Relaxed));
    let name = "mpgate_control_database_transactions_total";
    text.family(name, Kind::Counter, "Transactions of the database that were begun.");
    for (kind, count) in [("read", &metrics.0.reads), ("write", &metrics.0.writes)] {
        text.sample(name, &[("kind", kind)], count.load(Ordering::Relaxed));
    }
    let name = "mpgate_control_certificate_expire_timestamp_seconds";
    text.family(name, Kind::Gauge, "When control's own certificate ends.");
    if let Some(end) = *metrics.certificate_end() {
        text.sample(name, &[], end);
    }
    let name = "mpgate_control_head_revision";
    text.family(name, Kind::Gauge, "The newest revision of the allowlist.");
    text.sample(name, &[], gauges.head);
    gateways(&mut text, gauges);
    let name = "mpgate_gateway_unlisted_requests_total";
    text.family(name, Kind::Counter, "Questions of gateways that there was no room to list.");
    text.sample(name, &[], gauges.unlisted);
    let name = "mpgate_key_expire_timestamp_seconds";
    text.family(name, Kind::Gauge, "When a key that is in force ends.");
    for key in &gauges.keys {
        let labels = [
            ("consumer", key.consumer.as_str()),
            ("sender", &key.sender),
            ("key", key.id.as_str()),
        ];
        text.sample(name, &labels, key.expire_time);
    }
    let name = "mpgate_token_expire_timestamp_seconds";
    text.family(name, Kind::Gauge, "When the last token of a principal ends.");
    for end in &gauges.principals {
        let labels = [("principal", end.principal.as_str()), ("role", end.role.label())];
        text.sample(name, &labels, end.expire_time);
    }
    reconciliations(&mut text, &gauges.reconciliations);
    text.end()
}

fn counters(text: &mut Text, metrics: &Metrics) {
    // A copy: nobody waits for a slow reader of this page.
    let counts = metrics.counts().clone();
    let name = "mpgate_control_http_requests_total";
    text.family(name, Kind::Counter, "Requests answered, by route.");
    for ((method, route, code), count) in &counts.http {
        let code = code.to_string();
        text.sample(name, &[("method", method), ("route", route), ("code", &code)], count);
    }
    let name = "mpgate_control_http_request_duration_seconds";
    text.family(name, Kind::Histogram, "How long requests took, by route.");
    let [bucket, sum, all] = ["bucket", "sum", "count"].map(|part| format!("{name}_{part}"));
    for ((method, route), durations) in &counts.durations {
        let mut total = 0_u64;
        let bounds = BUCKETS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(durations.buckets) {
            total = total.saturating_add(count);
            text.sample(&bucket, &[("method", method), ("route", route), ("le", &bound)], total);
        }
        text.sample(&sum, &[("method", method), ("route", route)], durations.seconds);
        text.sample(&all, &[("method", method), ("route", route)], total);
    }
    let name = "mpgate_control_grpc_requests_total";
    text.family(name, Kind::Counter, "Calls of ApiKeys answered.");
    for ((method, code), count) in &counts.grpc {
        text.sample(name, &[("method", method), ("code", code)], count);
    }
    let name = "mpgate_usage_reports_total";
    text.family(name, Kind::Counter, "Usage reports of gateways.");
    for result in ReportResult::ALL {
        let count = counts.reports.get(&result).copied().unwrap_or(0);
        text.sample(name, &[("result", result.label())], count);
    }
}

fn gateways(text: &mut Text, gauges: &Gauges) {
    type Read = fn(&crate::service::GatewayGauge) -> i64;
    let families: [(&str, &str, Read); 4] = [
        (
            "mpgate_gateway_last_seen_timestamp_seconds",
            "When a gateway of the last day last asked for changes.",
            |gateway| gateway.last_seen_time,
        ),
        ("mpgate_gateway_revision", "The revision that all its workers enforce.", |gateway| {
            i64::try_from(gateway.revision).unwrap_or(i64::MAX)
        }),
        (
            "mpgate_gateway_behind_seconds",
            "For how long there has been a change that it does not enforce; 0 when level.",
            |gateway| gateway.behind_seconds,
        ),
        ("mpgate_gateway_live", "1 where it was heard of in the last 60 s.", |gateway| {
            i64::from(gateway.is_live)
        }),
    ];
    for (name, help, read) in families {
        text.family(name, Kind::Gauge, help);
        for gateway in &gauges.gateways {
            let id = gateway.id.to_string();
            let labels = [("gateway", &*id), ("gate", &gateway.id.gate), ("node", &gateway.node)];
            text.sample(name, &labels, read(gateway));
        }
    }
}

fn labels(one: &Reconciliation) -> [(&'static str, &str); 4] {
    [
        ("consumer", one.consumer.as_str()),
        ("sender", &one.of.sender),
        ("stream", one.of.stream.as_str()),
        ("event", &one.event),
    ]
}

fn reconciliations(text: &mut Text, all: &[Reconciliation]) {
    let name = "mpgate_reconcile_day_timestamp_seconds";
    text.family(name, Kind::Gauge, "When the newest day that was reconciled began.");
    let days: BTreeMap<_, _> = all
        .iter()
        .map(|one| {
            let of = (one.consumer.as_str(), one.of.sender.as_str(), one.of.stream.as_str());
            (of, one.of.day)
        })
        .collect();
    for ((consumer, sender, stream), day) in days {
        text.sample(name, &[("consumer", consumer), ("sender", sender), ("stream", stream)], day);
    }
    let name = "mpgate_reconcile_gap_events";
    text.family(name, Kind::Gauge, "A backend's events of its newest day, less those counted.");
    for one in all {
        if let Some(count) = one.gate_count {
            text.sample(name, &labels(one), one.count.saturating_sub(count));
        }
    }
    let name = "mpgate_reconcile_completeness_ratio";
    text.family(name, Kind::Gauge, "Events counted through a backend's events of its newest day.");
    for one in all {
        if let Some(ratio) = one.completeness() {
            text.sample(name, &labels(one), ratio);
        }
    }
    let name = "mpgate_reconcile_gap_value_micros";
    text.family(name, Kind::Gauge, "A backend's value of its newest day, less what was counted.");
    for one in all {
        for value in &one.values {
            if let Some(micros) = value.gate_micros {
                let [consumer, sender, stream, event] = labels(one);
                let labels = [consumer, sender, stream, event, ("currency", &value.currency)];
                text.sample(name, &labels, value.micros.saturating_sub(micros));
            }
        }
    }
}
