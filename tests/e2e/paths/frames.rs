//! HTTP/2 frame by frame: whatever `:path` and headers, no library in between that would mind.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Above every timeout of the shipped configurations.
const PATIENCE: Duration = Duration::from_secs(30);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_BYTES_MAX: usize = 16_384;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const DATA: u8 = 0;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Status(u16),
    /// The stream was reset.
    Reset,
    /// The connection was given up.
    GoAway,
    Closed,
}

/// Sends one request with these very fields, pseudo-headers included, over a connection of its own.
pub(crate) fn exchange(address: SocketAddr, fields: &[(&[u8], &[u8])], body: &[u8]) -> Outcome {
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut bytes = PREFACE.to_vec();
    push_frame(&mut bytes, SETTINGS, 0, 0, &[]);
    let mut block = Vec::new();
    for (name, value) in fields {
        // Literal, never indexed, not Huffman-coded (RFC 7541 6.2.3).
        block.push(0x10);
        push_text(&mut block, name);
        push_text(&mut block, value);
    }
    let end_stream = if body.is_empty() { END_STREAM } else { 0 };
    let mut parts = block.chunks(FRAME_BYTES_MAX).peekable();
    let mut kind = HEADERS;
    while let Some(part) = parts.next() {
        let end_headers = if parts.peek().is_none() { END_HEADERS } else { 0 };
        let flags = if kind == HEADERS { end_stream | end_headers } else { end_headers };
        push_frame(&mut bytes, kind, flags, 1, part);
        kind = CONTINUATION;
    }
    if !body.is_empty() {
        push_frame(&mut bytes, DATA, END_STREAM, 1, body);
    }
    // Who refuses early closes early; what came back counts.
    let _early = socket.write_all(&bytes);
    read_outcome(&mut socket).unwrap_or(Outcome::Closed)
}

fn push_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a frame's length").to_be_bytes();
    out.extend(&length[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}

/// A length of 7 bits and more (RFC 7541 5.1), then the bytes.
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let length = text.len();
    if length < 127 {
        out.push(u8::try_from(length).unwrap_or_default());
    } else {
        out.push(127);
        let mut rest = length - 127;
        while rest >= 128 {
            out.push(u8::try_from(rest % 128).unwrap_or_default() | 128);
            rest /= 128;
        }
        out.push(u8::try_from(rest).unwrap_or_default());
    }
    out.extend(text);
}

fn read_outcome(socket: &mut TcpStream) -> Option<Outcome> {
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).ok()?];
        socket.read_exact(&mut payload).ok()?;
        match head[3] {
            HEADERS => return status(&payload).map(Outcome::Status),
            RST_STREAM => return Some(Outcome::Reset),
            GOAWAY => return Some(Outcome::GoAway),
            _ => {}
        }
    }
}

/// The `:status` that a header block begins with (RFC 7541, appendices A and B).
fn status(block: &[u8]) -> Option<u16> {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    let mut block = block;
    // A change of the table's size may come first.
    while let [first, rest @ ..] = block
        && first & 0xe0 == 0x20
    {
        let more = rest.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
        block = if first & 0x1f == 0x1f { rest.get(more..)? } else { rest };
    }
    let [first, rest @ ..] = block else { return None };
    if let Some(index) = first.checked_sub(0x88) {
        return INDEXED.get(usize::from(index)).copied();
    }
    let [length, text @ ..] = rest else { return None };
    let text = text.get(..usize::from(length & 0x7f))?;
    let digits = if length & 0x80 == 0 { text.to_vec() } else { huffman_digits(text)? };
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// Three digits: 0, 1 and 2 have five bits, the others six.
fn huffman_digits(text: &[u8]) -> Option<Vec<u8>> {
    let bits: Vec<u8> =
        text.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let value = |bits: &[u8]| bits.iter().fold(0, |value, bit| value << 1 | bit);
    let (mut digits, mut at) = (Vec::new(), 0);
    while digits.len() < 3 {
        let short = value(bits.get(at..at + 5)?);
        if short < 3 {
            digits.push(b'0' + short);
            at += 5;
        } else {
            digits.push(b'3' + value(bits.get(at..at + 6)?).checked_sub(0x19)?);
            at += 6;
        }
    }
    Some(digits)
}
