//! JSON texts made at random, always the same ones.

/// Pieces that hurt where they do not belong, and some that hurt nowhere.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "true",
    "false",
    "1e999",
    "-0",
    "0",
    "01",
    "1.5",
    "-",
    "e5",
    ".",
    "18446744073709551616",
    "\\ud800",
    "\\udc00",
    "\\u0041",
    "\\ud83d\\ude00",
    " ",
    "\n",
    "\t",
    "\u{b}",
    "\0",
    "é",
    "\u{1f600}",
    "\u{1f}",
    "\"a\":1,",
    "\"name\":",
    "\"events\":[",
    "\"eventS\":1,",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

const NAMES: &[&str] = &[
    "events",
    "name",
    "params",
    "items",
    "value",
    "currency",
    "client_id",
    "clientId",
    "timestamp_micros",
    "item_id",
    "item_category2",
    "item_category3",
    "engagement_time_msec",
    "virtual_currency_name",
    "user_properties",
    "page_location",
    "abcdefghijklmnopq",
    "abcdefghijklmnopr",
    "a",
    "b",
    "",
    "é",
];

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "7",
    "-3.25",
    "1e3",
    "1E+2",
    "0.1e-2",
    "1767225600000000",
    "18446744073709551615",
    "123456789012345678901234567890",
    "1e308",
    "99999999999999999999e280",
    "0.00000001",
    "4.9e-324",
];

const STRINGS: &[&str] = &[
    "a",
    "bc",
    " ",
    "é",
    "\\n",
    "\\u0061",
    "\\ud83d\\ude00",
    "\u{1f600}",
    "\\\"",
    "\\/",
    "\u{7f}",
    "abcdefgh",
];

/// Texts without an end, the same ones for the same seed.
pub(super) struct Texts(u64);

impl Texts {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A text, more often spoilt than not.
    pub(super) fn next(&mut self) -> String {
        let mut text = if self.below(3) == 0 { self.value(0) } else { self.object(0) };
        for _ in 0..self.below(3) {
            text = self.spoilt(&text);
        }
        text
    }

    /// The text with one thing changed.
    pub(super) fn spoilt(&mut self, text: &str) -> String {
        let letters: Vec<char> = text.chars().collect();
        let start = self.below(letters.len() + 1);
        let end = (start + self.below(5)).min(letters.len());
        let piece = match self.below(4) {
            0 => String::new(),
            1 => letters[start..end].iter().chain(&letters[start..end]).collect(),
            _ => self.one_of(PIECES).to_owned(),
        };
        let (before, after) = (letters[..start].iter(), letters[end..].iter());
        before.copied().chain(piece.chars()).chain(after.copied()).collect()
    }

    fn value(&mut self, depth: usize) -> String {
        match self.below(if depth > 4 { 6 } else { 9 }) {
            0 => self.one_of(&["null", "true", "false"]).to_owned(),
            1 | 2 => self.one_of(NUMBERS).to_owned(),
            3..=5 => self.string(),
            6 => {
                let elements: Vec<_> = (0..self.below(5)).map(|_| self.value(depth + 1)).collect();
                format!("[{}]", elements.join(self.comma()))
            }
            _ => self.object(depth),
        }
    }

    /// One in thirty has more names than are compared one by one.
    fn object(&mut self, depth: usize) -> String {
        let count = if self.below(30) == 0 { 40 } else { self.below(6) };
        let mut names: Vec<String> = (0..count).map(|_| self.name()).collect();
        if self.below(20) > 0 {
            names.sort_unstable();
            names.dedup();
        }
        let members: Vec<_> =
            names.into_iter().map(|name| format!("{name}:{}", self.value(depth + 1))).collect();
        format!("{{{}}}", members.join(self.comma()))
    }

    fn name(&mut self) -> String {
        match self.below(6) {
            0 => self.string(),
            1 => format!("\"x{}\"", self.below(60)),
            2 => {
                let mut name = self.one_of(NAMES).chars();
                let first = name.next().map(|first| format!("\\u{:04x}", u32::from(first)));
                format!("\"{}{}\"", first.unwrap_or_default(), name.as_str())
            }
            _ => format!("\"{}\"", self.one_of(NAMES)),
        }
    }

    fn string(&mut self) -> String {
        let pieces: String = (0..self.below(12)).map(|_| self.one_of(STRINGS)).collect();
        format!("\"{pieces}\"")
    }

    fn comma(&mut self) -> &'static str {
        self.one_of(&[",", ", ", " ,", "\r\n\t,"])
    }

    fn one_of(&mut self, choices: &[&'static str]) -> &'static str {
        choices[self.below(choices.len())]
    }

    /// A number below another (`SplitMix64`).
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("below a usize")
    }
}
