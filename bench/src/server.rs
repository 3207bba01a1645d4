//! The smallest HTTP/1.1 server that answers Envoy: what stands behind it should cost it as little as can be.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// An upstream's answer to an event: GA4's.
pub(crate) const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// Listens on a free port and answers each request's target with what `answer` says, for ever.
pub(crate) async fn serve<A, F>(answer: A) -> Result<SocketAddr>
where
    A: Fn(String) -> F + Send + Sync + 'static,
    F: Future<Output = Vec<u8>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            // A connection that ends is Envoy's business.
            tokio::spawn(async move { converse(stream, &*answer).await.ok() });
        }
    });
    Ok(address)
}

async fn converse<A, F>(mut stream: TcpStream, answer: &A) -> Result<()>
where
    A: Fn(String) -> F,
    F: Future<Output = Vec<u8>>,
{
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let head_end = loop {
            if let Some(end) = end_of_head(&buffer) {
                break end;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
        let length = head_end + content_length(&head);
        while buffer.len() < length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        buffer.drain(..length);
        let target = head.split(' ').nth(1).context("no request line")?.to_owned();
        stream.write_all(&answer(target).await).await?;
    }
}

/// Where the head ends, its empty line included.
pub(crate) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|start| start + 4)
}

/// The length of the body that follows a head; 0 where it does not say.
pub(crate) fn content_length(head: &str) -> usize {
    let length = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())
    });
    length.flatten().unwrap_or(0)
}

/// A parameter of a target's query.
pub(crate) fn parameter<'a>(target: &'a str, name: &str) -> &'a str {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(known, _)| *known == name).map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let head = "POST /x?a=1&b=2 HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(end_of_head(head.as_bytes()), Some(head.len()));
        assert_eq!(end_of_head(b"POST / HTTP/1.1\r\n"), None);
        assert_eq!((content_length(head), content_length("GET / HTTP/1.1\r\n\r\n")), (12, 0));
        assert_eq!((parameter("/x?a=1&b=2", "b"), parameter("/x", "b")), ("2", ""));
    }
}
