//! The smallest authorizer that speaks Envoy's `envoy.service.auth.v3.Authorization` over gRPC: one look-up of the
//! secret in the path. The messages have the fields that matter here; all else of them is passed over.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::server::SendResponse;
use prost::Message;
use tokio::net::{TcpListener, TcpStream};

use crate::server::parameter;

#[derive(Clone, PartialEq, Message)]
struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, optional, tag = "4")]
    request: Option<AttributesRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributesRequest {
    #[prost(message, optional, tag = "2")]
    http: Option<HttpRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct HttpRequest {
    #[prost(btree_map = "string, string", tag = "3")]
    headers: BTreeMap<String, String>,
    #[prost(string, tag = "4")]
    path: String,
}

#[derive(Clone, PartialEq, Message)]
struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<Status>,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
}

const PERMISSION_DENIED: i32 = 7;

/// Listens on a free port, for ever.
pub(crate) async fn serve(known: Arc<HashSet<String>>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let known = Arc::clone(&known);
            // A connection that ends is Envoy's business.
            tokio::spawn(async move { converse(stream, known).await.ok() });
        }
    });
    Ok(address)
}

async fn converse(stream: TcpStream, known: Arc<HashSet<String>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        let known = Arc::clone(&known);
        tokio::spawn(async move { check(request.into_body(), respond, &known).await.ok() });
    }
    Ok(())
}

async fn check(
    mut body: h2::RecvStream,
    mut respond: SendResponse<Bytes>,
    known: &HashSet<String>,
) -> Result<()> {
    let mut message = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        message.extend_from_slice(&chunk);
    }
    // A frame of gRPC: one byte that says whether it is compressed, four of length, the message.
    let message = message.get(5..).context("no gRPC frame")?;
    let asked = CheckRequest::decode(message)?;
    let http = asked.attributes.and_then(|all| all.request).and_then(|request| request.http);
    let path = http.map(|http| http.path).unwrap_or_default();
    let is_known = known.contains(parameter(&path, "api_secret"));
    let code = if is_known { 0 } else { PERMISSION_DENIED };
    let answer = CheckResponse { status: Some(Status { code }) };
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(answer.encoded_len())?);
    answer.encode(&mut frame)?;
    let head = http::Response::builder().header("content-type", "application/grpc").body(())?;
    let mut send = respond.send_response(head, false)?;
    send.send_data(frame.freeze(), false)?;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    Ok(send.send_trailers(trailers)?)
}
