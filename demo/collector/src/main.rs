//! The stand-in for the analytics endpoint: answers 204 to whatever is sent, as GA4 would, and shows
//! what reached it.
//!
//! It is the witness: what it recorded is the evidence that no sender's secret came through the gate.
//! So it records everything and judges nothing.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use serde_json::Value;

use crate::record::Record;

mod record;

/// A body beyond this is cut off: the gate lets 130 000 bytes pass.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Records what reaches it and shows it at /events.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Address to listen on; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let listener = tokio::net::TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    announce(listener.local_addr()?)?;
    axum::serve(listener, router()).await.context("the listener failed")
}

fn announce(address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on http://{address}")?;
    out.flush()
}

fn router() -> Router {
    Router::new()
        .route("/healthz", get(async || StatusCode::OK))
        .route("/events", get(show).delete(forget))
        .fallback(collect)
        .with_state(Record::default())
}

async fn show(State(record): State<Record>) -> Json<Value> {
    Json(record.show())
}

async fn forget(State(record): State<Record>) -> StatusCode {
    record.forget();
    StatusCode::NO_CONTENT
}

async fn collect(State(record): State<Record>, request: Request<Body>) -> StatusCode {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE;
    };
    record.add(&head, &body);
    StatusCode::NO_CONTENT
}
