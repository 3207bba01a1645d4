//! HTTP/2 with prior knowledge, over cleartext or TLS: the exact `:path`, several streams of one
//! connection, trailers.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::message::{Request, Response};

/// Above every timeout of the shipped configurations: what is slower hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection.
#[derive(Debug)]
pub struct Http2 {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
    scheme: &'static str,
    authority: String,
}

impl Http2 {
    /// Connects without TLS.
    ///
    /// # Errors
    /// Nobody listens, or it is no HTTP/2.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let runtime = runtime()?;
        let requests = runtime.block_on(async {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            handshake(socket).await
        })?;
        Ok(Self { runtime, requests, scheme: "http", authority: address.to_string() })
    }

    /// Connects with TLS.
    ///
    /// # Errors
    /// Nobody listens, the certificate is not `name`'s, or it is no HTTP/2.
    #[cfg(feature = "tls")]
    pub fn connect_tls(
        address: SocketAddr,
        authority: &crate::tls::Authority,
        name: &str,
    ) -> Result<Self> {
        Self::connect_tls_as(address, authority, name, None)
    }

    /// As [`Self::connect_tls`], showing a certificate.
    ///
    /// # Errors
    /// As there, or the certificate cannot be read.
    #[cfg(feature = "tls")]
    pub fn connect_tls_as(
        address: SocketAddr,
        authority: &crate::tls::Authority,
        name: &str,
        client: Option<&crate::tls::Certificate>,
    ) -> Result<Self> {
        let runtime = runtime()?;
        let stream = runtime.block_on(authority.connect(address, name, &[b"h2"], client))?;
        let requests = runtime.block_on(handshake(stream))?;
        Ok(Self { runtime, requests, scheme: "https", authority: name.to_owned() })
    }

    /// Sends a request and reads the response.
    ///
    /// # Errors
    /// The connection or the stream breaks, or the request cannot be said in HTTP/2.
    pub fn send(&mut self, request: &Request) -> Result<Response> {
        self.send_with_trailers(request, &[])
    }

    /// Sends a request whose body is followed by trailers.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_with_trailers(
        &mut self,
        request: &Request,
        trailers: &[(&str, &str)],
    ) -> Result<Response> {
        self.send_in_pieces(request, usize::MAX, trailers)
    }

    /// Sends a request whose body comes in frames of at most so many bytes.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_in_pieces(
        &mut self,
        request: &Request,
        piece_bytes: usize,
        trailers: &[(&str, &str)],
    ) -> Result<Response> {
        let trailers = header_map(trailers.iter().copied())?;
        let head = self.head(request)?;
        let mut body = Bytes::from(request.body.clone());
        let requests = self.requests.clone();
        let exchange = async {
            let mut requests = requests.ready().await?;
            let last = body.is_empty() && trailers.is_empty();
            let (response, mut stream) = requests.send_request(head, last)?;
            // A gate may answer before it has read all, and reset what is left; the answer counts.
            if !last {
                while body.len() > piece_bytes {
                    let _early = stream.send_data(body.split_to(piece_bytes), false);
                }
                let _early = stream.send_data(body, trailers.is_empty());
            }
            if !trailers.is_empty() {
                let _early = stream.send_trailers(trailers);
            }
            read(response).await
        };
        self.runtime.block_on(async { timeout(PATIENCE, exchange).await })?
    }

    /// Sends all at once over this one connection; the responses come in the order of the requests.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_all(&mut self, requests: &[Request]) -> Result<Vec<Response>> {
        let heads: Vec<_> = requests.iter().map(|one| self.head(one)).collect::<Result<_>>()?;
        let sender = self.requests.clone();
        let exchange = async {
            let mut sender = sender;
            let mut waiting = Vec::new();
            for (head, request) in heads.into_iter().zip(requests) {
                sender = sender.ready().await?;
                let (response, mut stream) = sender.send_request(head, request.body.is_empty())?;
                if !request.body.is_empty() {
                    let _early = stream.send_data(Bytes::from(request.body.clone()), true);
                }
                waiting.push((response, stream));
            }
            let mut responses = Vec::new();
            for (response, _stream) in waiting {
                responses.push(read(response).await?);
            }
            Ok(responses)
        };
        self.runtime.block_on(async { timeout(PATIENCE, exchange).await })?
    }

    fn head(&self, request: &Request) -> Result<http::Request<()>> {
        let path = http::uri::PathAndQuery::try_from(request.path.as_slice())
            .with_context(|| format!("no :path: {}", String::from_utf8_lossy(&request.path)))?;
        let uri = http::Uri::builder()
            .scheme(self.scheme)
            .authority(self.authority.as_str())
            .path_and_query(path)
            .build()?;
        let mut head = http::Request::builder()
            .method(request.method.as_str())
            .uri(uri)
            .version(http::Version::HTTP_2)
            .body(())?;
        let pairs = request.headers.iter().map(|(name, value)| (name, value));
        *head.headers_mut() = header_map(pairs)?;
        Ok(head)
    }
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (requests, connection) = timeout(PATIENCE, h2::client::handshake(stream)).await??;
    // It is driven whenever a request waits. How it ends, the requests are told.
    tokio::spawn(async move { drop(connection.await) });
    Ok(requests)
}

async fn read(response: ResponseFuture) -> Result<Response> {
    let response = response.await?;
    let headers = pairs(response.headers());
    let status = response.status().as_u16();
    let mut stream = response.into_body();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        match chunk {
            Ok(chunk) => {
                stream.flow_control().release_capacity(chunk.len())?;
                body.extend(chunk);
            }
            // RFC 9113, 8.1: after a complete answer, a reset without an error means only that the
            // rest of the request was not wanted.
            Err(error) if error.reason() == Some(h2::Reason::NO_ERROR) => break,
            Err(error) => return Err(error.into()),
        }
    }
    // A stream that was reset has none.
    let trailers = stream.trailers().await.ok().flatten();
    let trailers = trailers.as_ref().map(pairs).unwrap_or_default();
    Ok(Response { status, headers, body, trailers })
}

fn pairs(map: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    map.iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_owned()))
        .collect()
}

fn header_map<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    pairs: impl Iterator<Item = (N, V)>,
) -> Result<http::HeaderMap> {
    let mut map = http::HeaderMap::new();
    for (name, value) in pairs {
        let name = http::HeaderName::from_bytes(name.as_ref())?;
        map.append(name, http::HeaderValue::from_bytes(value.as_ref())?);
    }
    Ok(map)
}
