//! What the command line prints: tables and fields for people, the API's JSON for programs. Colour for
//! terminals only, and not where `NO_COLOR` is set.

use std::io::{self, Write as _};
use std::iter;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::Value;

use super::CliError;
use crate::text::is_unseen;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// A column or a line: its title, the member it shows, and what it means that there is none.
pub(super) type Column = (&'static str, &'static str, &'static str);

/// As many items of a list are shown in a table; the rest is counted.
const ITEMS_IN_A_CELL: usize = 2;

/// Prints a list.
pub(super) fn list(
    answer: &Value,
    member: &str,
    columns: &[Column],
    format: Format,
) -> Result<(), CliError> {
    if format == Format::Json {
        return json(answer);
    }
    rows(answer[member].as_array().map(Vec::as_slice).unwrap_or_default(), columns, true)
}

/// Prints items for people, with or without the titles.
pub(super) fn rows(items: &[Value], columns: &[Column], titles: bool) -> Result<(), CliError> {
    let head: Vec<_> = columns.iter().map(|(title, _, _)| (*title).to_owned()).collect();
    let items = items.iter().map(|item| columns.iter().map(|column| cell(item, *column)).collect());
    table(&titles.then_some(head).into_iter().chain(items).collect::<Vec<_>>())
}

/// Prints one resource.
pub(super) fn one(resource: &Value, columns: &[Column], format: Format) -> Result<(), CliError> {
    if format == Format::Json {
        return json(resource);
    }
    let rows: Vec<_> = columns
        .iter()
        .flat_map(|column| {
            let titles = iter::once(column.0).chain(iter::repeat(""));
            titles.zip(lines(resource, *column)).map(|(title, line)| vec![title.to_owned(), line])
        })
        .collect();
    // A title such as SILENT is no state.
    print(&align(&rows, 1))
}

/// Prints rows, their columns aligned.
pub(super) fn table(rows: &[Vec<String>]) -> Result<(), CliError> {
    print(&align(rows, 0))
}

/// Prints lines of text. Their colours go where nobody would see them.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    match anstream::stdout().write_all(text.as_bytes()) {
        // `mpgate keys list | head` is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints the API's JSON.
pub(super) fn json(value: &Value) -> Result<(), CliError> {
    print(&pretty(value)?)
}

/// JSON as it is printed.
pub(super) fn pretty(value: &Value) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    Ok(escaped(&text) + "\n")
}

/// The same JSON: what is not seen stands inside strings only, and a string may have it by its number.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        if char.is_ascii() || !is_unseen(char) {
            text.push(char);
            continue;
        }
        text.extend(char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
    }
    text
}

/// A member in one cell of a table: of a list its first items and how many there are more.
fn cell(item: &Value, column: Column) -> String {
    let lines = lines(item, column);
    let (shown, rest) = lines.split_at(lines.len().min(ITEMS_IN_A_CELL));
    let more = (!rest.is_empty()).then(|| format!("+{}", rest.len()));
    shown.iter().cloned().chain(more).collect::<Vec<_>>().join(",")
}

/// A member in lines: a list has one for each item. Of a resource name its last part.
fn lines(item: &Value, (_, member, absent): Column) -> Vec<String> {
    let absent = || vec![absent.to_owned()];
    match &item[member] {
        Value::Null => absent(),
        Value::String(text) if text.is_empty() => absent(),
        Value::String(text) if member == "name" => {
            vec![text.rsplit('/').next().unwrap_or(text).to_owned()]
        }
        Value::String(text) => vec![printable(text)],
        Value::Array(items) if items.is_empty() => absent(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(printable).collect(),
        other => vec![other.to_string()],
    }
}

/// A text that cannot give a terminal orders, nor turn what stands beside it. What is not seen is shown by its number.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            _ if char.is_control() => shown.push(char::REPLACEMENT_CHARACTER),
            _ if is_unseen(char) => shown.extend(char.escape_unicode()),
            _ => shown.push(char),
        }
    }
    shown
}

/// The colour of a word that says how something is.
pub(super) fn style_of(word: &str) -> Style {
    let color = match word {
        "ACTIVE" | "LIVE" | "ok" => AnsiColor::Green,
        "EXPIRED" | "DISABLED" | "SILENT" | "PENDING" | "warn" | "warning" => AnsiColor::Yellow,
        "REVOKED" | "DELETED" | "fail" | "fault" => AnsiColor::Red,
        _ => return Style::new(),
    };
    Style::new().fg_color(Some(color.into()))
}

/// Columns as wide as their widest cell, two spaces between, none at the end of a line. The first `titles` of
/// them stay without colour.
pub(super) fn align(rows: &[Vec<String>], titles: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns)
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in rows {
        let line: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let line = line.join("  ");
        let mut rest = line.trim_end();
        // Each state in its colour; what surrounds it stays as wide as it is.
        for state in row.iter().skip(titles).filter(|cell| !style_of(cell).is_plain()) {
            if let Some((before, after)) = rest.split_once(state.as_str()) {
                let style = style_of(state);
                text.extend([
                    before,
                    &style.render().to_string(),
                    state,
                    &style.render_reset().to_string(),
                ]);
                rest = after;
            }
        }
        text.push_str(rest);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_short_and_say_what_absence_means() {
        let column = ("EVENTS", "events", "all");
        for (item, expected) in [
            (json!({}), "all"),
            (json!({"events": null}), "all"),
            (json!({"events": ""}), "all"),
            (json!({"events": []}), "all"),
            (json!({"events": ["a"]}), "a"),
            (json!({"events": ["a", "b"]}), "a,b"),
            (json!({"events": ["a", "b", "c", "d"]}), "a,b,+2"),
            (json!({"events": true}), "true"),
        ] {
            assert_eq!(cell(&item, column), expected, "{item}");
        }
        let list = json!({"events": ["a", "b", "c"]});
        assert_eq!(lines(&list, column), ["a", "b", "c"]);
        assert_eq!(lines(&json!({"name": "principals/admin"}), ("ID", "name", "-")), ["admin"]);
    }

    #[test]
    fn a_name_turns_no_row_around() {
        let turned = "a\u{202e}b\u{1b}[31m\u{2066}c";
        assert_eq!(printable(turned), "a\\u{202e}b\u{fffd}[31m\\u{2066}c");
        assert_eq!(printable("übung 漢"), "übung 漢");
        let value = json!({"nickname": "a\u{202e}b\u{9b}\u{e0041}é"});
        let shown = pretty(&value).expect("JSON");
        assert!(shown.contains("\"a\\u202eb\\u009b\\udb40\\udc41é\""), "{shown}");
        assert_eq!(serde_json::from_str::<Value>(&shown).expect("JSON"), value);
    }

    #[test]
    fn columns_are_aligned() {
        let rows =
            [vec!["ID".to_owned(), "ROLE".to_owned()], vec!["übung".to_owned(), "x".to_owned()]];
        assert_eq!(align(&rows, 0), "ID     ROLE\nübung  x\n");
    }
}
