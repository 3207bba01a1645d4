//! What two outputs have in common though times, ids and secrets are other ones.

use std::sync::LazyLock;

use regex::Regex;

/// What is another one at each run, and what it is compared as.
const VARIES: [(&str, &str); 7] = [
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z", "<time>"),
    (r"\b\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?", "<time>"),
    (r"\bmpg_[0-9A-Za-z_]+…?", "<secret>"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uuid>"),
    (r"\b[0-9a-f]{16,64}\b", "<hex>"),
    (r"\b\d+(\.\d+)? (ms|s)\b", "<duration>"),
    // Columns are as wide as what stands in them.
    (r"[ \t─-]{2,}|[ \t]", " "),
];

static KEY_ID: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b[0-9A-Za-z]{12}\b"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b\d+(\.\d+)?(e-?\d+)?\b"));
static SECRET: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bmpg_([0-9A-Za-z]{4})[0-9A-Za-z_]+"));
static PATTERNS: LazyLock<Vec<(Regex, &str)>> =
    LazyLock::new(|| VARIES.iter().map(|(text, name)| (pattern(text), *name)).collect());

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of this file")
}

/// A line without what varies.
fn shape(line: &str, numbers_vary: bool) -> String {
    let mut line = line.trim_end().to_owned();
    for (pattern, name) in PATTERNS.iter() {
        line = pattern.replace_all(&line, *name).into_owned();
    }
    let line = KEY_ID.replace_all(&line, |found: &regex::Captures<'_>| {
        let word = &found[0];
        let has = |wanted: fn(&char) -> bool| word.chars().any(|one| wanted(&one));
        let is_mixed = has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase);
        let is_id = is_mixed || has(char::is_ascii_digit);
        if is_id { "<id>".to_owned() } else { word.to_owned() }
    });
    if numbers_vary {
        NUMBER.replace_all(&line, "<number>").into_owned()
    } else {
        line.into_owned()
    }
}

/// Whether what was seen is what the page shows. A line `...` stands for any lines, and `...` in a
/// line for any text.
pub(crate) fn fits(shown: &[String], seen: &[String], numbers_vary: bool) -> bool {
    let Some((first, rest)) = shown.split_first() else {
        return seen.is_empty();
    };
    if first.trim() == "..." {
        return (0..=seen.len()).any(|from| fits(rest, &seen[from..], numbers_vary));
    }
    let fitting = seen
        .split_first()
        .filter(|(line, _)| fits_line(&shape(first, numbers_vary), &shape(line, numbers_vary)));
    fitting.is_some_and(|(_, seen)| fits(rest, seen, numbers_vary))
}

fn fits_line(shown: &str, seen: &str) -> bool {
    let mut parts = shown.split("...");
    let Some(mut rest) = parts.next().and_then(|first| seen.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some((_, behind)) = rest.split_once(part) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(last)
}

/// A line as a page may show it: a secret is cut short.
pub(crate) fn showable(line: &str) -> String {
    SECRET.replace_all(line, "mpg_$1…").trim_end().to_owned()
}

#[test]
fn what_varies_is_not_compared_and_everything_else_is() {
    const ROWS: [(&[&str], &[&str], bool, bool); 12] = [
        (&["a"], &["a"], false, true),
        (&["a"], &["b"], false, false),
        (&["a"], &[], false, false),
        (&[], &["a"], false, false),
        (&["sRoKygGkrkfC  billing"], &["H7wq2Zt9bQxY    billing"], false, true),
        (&["G-SHOP000001"], &["G-CLUB000001"], false, false),
        (&["in 12 ms on 1 of 1"], &["in 0.4 s on 1 of 1"], false, true),
        (&["in 12 ms on 1 of 1"], &["in 12 ms on 0 of 1"], false, false),
        (&["37 requests"], &["41 requests"], true, true),
        (&["mpg_sRoK…"], &["mpg_H7wq2Zt9bQxY_aaaaaaaaaaa"], false, true),
        (&["a", "...", "d"], &["a", "b", "c", "d"], false, true),
        (&["from ... to 9"], &["from 127.0.0.1 to 9"], false, true),
    ];
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    for (shown, seen, numbers_vary, expected) in ROWS {
        let fitting = fits(&owned(shown), &owned(seen), numbers_vary);
        assert_eq!(fitting, expected, "{shown:?} {seen:?}");
    }
    assert_eq!(showable("secret mpg_H7wq2Zt9bQxY_abcdef"), "secret mpg_H7wq…");
}
