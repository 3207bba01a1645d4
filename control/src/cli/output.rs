//! What the command line prints: tables and fields for people, the API's JSON for programs.

use std::io::{self, Write as _};

use clap::ValueEnum;
use serde_json::Value;

use super::CliError;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// A column or a line: its title and the member it shows.
pub(super) type Column = (&'static str, &'static str);

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
    let items = answer[member].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut rows = vec![columns.iter().map(|(title, _)| (*title).to_owned()).collect::<Vec<_>>()];
    rows.extend(
        items.iter().map(|item| columns.iter().map(|column| cell(item, column.1)).collect()),
    );
    print(&align(&rows))
}

/// Prints one resource.
pub(super) fn one(resource: &Value, columns: &[Column], format: Format) -> Result<(), CliError> {
    if format == Format::Json {
        return json(resource);
    }
    let rows: Vec<_> = columns
        .iter()
        .map(|(title, member)| vec![(*title).to_owned(), cell(resource, member)])
        .collect();
    print(&align(&rows))
}

/// Prints lines of text.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    match io::stdout().write_all(text.as_bytes()) {
        // `mpgate keys list | head` is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints the API's JSON.
pub(super) fn json(value: &Value) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    print(&format!("{text}\n"))
}

/// A member as a cell; of a resource name its last part.
fn cell(item: &Value, member: &str) -> String {
    let text = match &item[member] {
        Value::String(text) if member == "name" => {
            text.rsplit('/').next().unwrap_or(text).to_owned()
        }
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    if text.is_empty() { "-".to_owned() } else { text }
}

/// Columns as wide as their widest cell, two spaces between, none at the end of a line.
fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns)
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in rows {
        let line: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows =
            [vec!["ID".to_owned(), "ROLE".to_owned()], vec!["übung".to_owned(), "x".to_owned()]];
        assert_eq!(align(&rows), "ID     ROLE\nübung  x\n");
    }
}
