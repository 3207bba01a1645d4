//! Modules without an SDK: the ABI's callbacks, empty, encoded here (WebAssembly 1.0, chapter 5). Envoy calls what a
//! module exports and nothing else.

use crate::variants::Callback;

/// Function types by their place in the type section: (parameters, results), all of them `i32`.
const TYPES: [(u8, u8); 6] = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (3, 1)];

/// What every module must have, and what each does: its name, its type, its instructions.
const FRAME: [(&str, (u8, u8), &[u8]); 6] = [
    ("proxy_abi_version_0_2_1", (0, 0), &[]),
    ("_initialize", (0, 0), &[]),
    ("proxy_on_memory_allocate", (1, 1), ALLOCATE),
    ("proxy_on_context_create", (2, 0), &[]),
    ("proxy_on_vm_start", (2, 1), TRUE),
    ("proxy_on_configure", (2, 1), TRUE),
];

/// Memory is handed out in a row: global.get 0, global.get 0, local.get 0, i32.add, global.set 0.
const ALLOCATE: &[u8] = &[0x23, 0, 0x23, 0, 0x20, 0, 0x6A, 0x24, 0];
/// i32.const 1.
const TRUE: &[u8] = &[0x41, 1];
/// i32.const 0: `Action::Continue`.
const CONTINUE: &[u8] = &[0x41, 0];

fn functions(callback: Callback) -> &'static [(&'static str, (u8, u8), &'static [u8])] {
    match callback {
        Callback::RequestHeaders => &[("proxy_on_request_headers", (3, 1), CONTINUE)],
        Callback::RequestBody => &[("proxy_on_request_body", (3, 1), CONTINUE)],
        Callback::Response => &[
            ("proxy_on_response_headers", (3, 1), CONTINUE),
            ("proxy_on_response_body", (3, 1), CONTINUE),
        ],
        Callback::End => &[
            ("proxy_on_done", (1, 1), TRUE),
            ("proxy_on_log", (1, 0), &[]),
            ("proxy_on_delete", (1, 0), &[]),
        ],
    }
}

/// A module with these callbacks.
pub(crate) fn module(callbacks: &[Callback]) -> Vec<u8> {
    let mut all = FRAME.to_vec();
    all.extend(callbacks.iter().flat_map(|callback| functions(*callback)));

    let i32s = |count: u8| vector(&vec![vec![0x7F]; usize::from(count)]);
    let types = TYPES.map(|(from, to)| [vec![0x60], i32s(from), i32s(to)].concat());
    let of_type = |signature: (u8, u8)| TYPES.iter().position(|known| *known == signature);
    let functions = all.iter().map(|(_, signature, _)| size(of_type(*signature).unwrap_or(0)));
    let export = |(index, (name, ..)): (usize, &(&str, _, _))| {
        [bytes(name.as_bytes()), vec![0], size(index)].concat()
    };
    let memory = [bytes(b"memory"), vec![2, 0]].concat();
    let exports = all.iter().enumerate().map(export).chain([memory]);
    let code = all.iter().map(|(.., does)| bytes(&[&[0], *does, &[0x0B]].concat()));
    // One memory of two pages; one mutable i32 that begins at 1 024.
    let memories = vector(&[vec![0, 2]]);
    let globals = vector(&[vec![0x7F, 1, 0x41, 0x80, 0x08, 0x0B]]);
    let sections = [
        (1, vector(&types)),
        (3, vector(&functions.collect::<Vec<_>>())),
        (5, memories),
        (6, globals),
        (7, vector(&exports.collect::<Vec<_>>())),
        (10, vector(&code.collect::<Vec<_>>())),
    ];
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    for (id, section) in sections {
        module.push(id);
        module.extend(bytes(&section));
    }
    module
}

fn vector(items: &[Vec<u8>]) -> Vec<u8> {
    [size(items.len()), items.concat()].concat()
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [&size(bytes.len()), bytes].concat()
}

/// LEB128.
fn size(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7F).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_leb128() {
        assert_eq!(size(0), [0]);
        assert_eq!(size(127), [127]);
        assert_eq!(size(128), [0x80, 1]);
        assert_eq!(size(624_485), [0xE5, 0x8E, 0x26]);
    }
}
