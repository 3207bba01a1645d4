//! The ways in which one and the same body comes over the wire.

use std::net::SocketAddr;

use mpgate_testbed::http2::Http2;
use mpgate_testbed::{Request, Response, http1};

/// A piece so small that a large body has more than a thousand.
const PIECE_BYTES: usize = 100;

#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Http1Length,
    Http1OneChunk,
    Http1Chunks,
    Http1Trailers,
    Http2,
    Http2Length,
    Http2Pieces,
    Http2Trailers,
    Http2PiecesAndTrailers,
}

impl Way {
    pub(super) const ALL: [Self; 9] = [
        Self::Http1Length,
        Self::Http1OneChunk,
        Self::Http1Chunks,
        Self::Http1Trailers,
        Self::Http2,
        Self::Http2Length,
        Self::Http2Pieces,
        Self::Http2Trailers,
        Self::Http2PiecesAndTrailers,
    ];

    /// Sends this body with this head.
    pub(super) fn send(self, gate: SocketAddr, head: &Request, body: &[u8]) -> Response {
        let whole = head.clone().body(body);
        let trailers = &[("x-after", "1")][..];
        let answer = match self {
            Self::Http1Length => http1::send(gate, &whole),
            Self::Http1OneChunk => http1::send(gate, &chunked(head, body, body.len().max(1), "")),
            Self::Http1Chunks => http1::send(gate, &chunked(head, body, PIECE_BYTES, "")),
            Self::Http1Trailers => {
                http1::send(gate, &chunked(head, body, PIECE_BYTES, "x-after: 1\r\n"))
            }
            Self::Http2 => http2(gate).send(&whole),
            Self::Http2Length => {
                http2(gate).send(&whole.header("content-length", body.len().to_string()))
            }
            Self::Http2Pieces => http2(gate).send_in_pieces(&whole, PIECE_BYTES, &[]),
            Self::Http2Trailers => http2(gate).send_with_trailers(&whole, trailers),
            Self::Http2PiecesAndTrailers => {
                http2(gate).send_in_pieces(&whole, PIECE_BYTES, trailers)
            }
        };
        answer.unwrap_or_else(|error| panic!("{self:?}: {error:#}"))
    }
}

fn http2(gate: SocketAddr) -> Http2 {
    Http2::connect(gate).expect("HTTP/2")
}

fn chunked(head: &Request, body: &[u8], piece: usize, trailers: &str) -> Request {
    let mut framed = Vec::new();
    for chunk in body.chunks(piece) {
        framed.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        framed.extend(chunk);
        framed.extend(b"\r\n");
    }
    framed.extend(format!("0\r\n{trailers}\r\n").into_bytes());
    head.clone().header("transfer-encoding", "chunked").body(framed)
}
