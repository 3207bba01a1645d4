//! Series, as `docs/metrics.md` lists them and as a page of them shows: name, type and labels of each, to
//! be compared both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::toolchain;

/// The type of each series and its labels, by name.
pub type Series = BTreeMap<String, (String, BTreeSet<String>)>;

/// The series that `docs/metrics.md` lists under this heading of the second level.
///
/// # Errors
/// There is no such heading, or no table below it, or one name stands there twice.
pub fn documented(heading: &str) -> Result<Series> {
    let file = toolchain::root().join("docs/metrics.md");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let series = listed(&text, heading)?;
    ensure!(!series.is_empty(), "{}: no series under '{heading}'", file.display());
    Ok(series)
}

/// Rows of tables that begin with a column `series`, then `type` and `labels`.
fn listed(text: &str, heading: &str) -> Result<Series> {
    let mut lines = text.lines().skip_while(|line| *line != format!("## {heading}"));
    lines.next().with_context(|| format!("no heading '## {heading}'"))?;
    let mut series = Series::new();
    let mut is_list = false;
    for line in lines.take_while(|line| !line.starts_with("## ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        match cells.as_slice() {
            ["", "series", "type", "labels", ..] => is_list = true,
            ["", name, kind, labels, _, ..] if is_list => {
                if let Some(name) = quoted(name).into_iter().next() {
                    let told = ((*kind).to_owned(), quoted(labels).into_iter().collect());
                    ensure!(series.insert(name.clone(), told).is_none(), "{name} is listed twice");
                }
            }
            _ => is_list = false,
        }
    }
    Ok(series)
}

/// The words between backquotes.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The series of a Prometheus page whose names begin so.
///
/// # Errors
/// Two samples of one name have different labels.
pub fn shown(page: &str, prefix: &str) -> Result<Series> {
    let kinds: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .filter(|(name, _)| name.starts_with(prefix))
        .collect();
    let mut series = Series::new();
    for sample in crate::Metrics::parse(page).all().iter().filter(|it| it.name.starts_with(prefix))
    {
        let base = |part| sample.name.strip_suffix(part).filter(|base| kinds.contains_key(base));
        let name = ["_bucket", "_sum", "_count"].into_iter().find_map(base);
        let name = name.unwrap_or(&sample.name);
        let labels = sample.labels.keys().filter(|label| *label != "le").cloned().collect();
        let told = (kinds.get(name).copied().unwrap_or_default().to_owned(), labels);
        match series.get(name) {
            Some(known) => ensure!(*known == told, "{name}: {known:?} and {told:?}"),
            None => drop(series.insert(name.to_owned(), told)),
        }
    }
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(rows: &[(&str, &str, &[&str])]) -> Series {
        let row = |(name, kind, labels): &(&str, &str, &[&str])| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            ((*name).to_owned(), ((*kind).to_owned(), labels))
        };
        rows.iter().map(row).collect()
    }

    #[test]
    fn a_table_is_read_below_its_heading_only() {
        let text = "## One\n\n| series | type | labels | what |\n|---|---|---|---|\n\
            | `a_total` | counter | `x`, `y` | `z` |\n| `b` | gauge | | |\n\n\
            | `result` | what |\n|---|---|\n| `applied` | yes |\n\n## Two\n\n\
            | series | type | labels |\n|---|---|---|\n| `c` | gauge | `x` |\n";
        let one = series(&[("a_total", "counter", &["x", "y"]), ("b", "gauge", &[])]);
        assert_eq!(listed(text, "One").expect("a table"), one);
        assert_eq!(listed(text, "Two").expect("a table"), series(&[("c", "gauge", &["x"])]));
        assert!(listed(text, "Three").is_err());
        let twice = text.replace("`b`", "`a_total`");
        assert!(listed(&twice, "One").expect_err("twice").to_string().contains("twice"));
    }

    #[test]
    fn a_page_is_read_by_its_types() {
        let page = "# TYPE m_delay histogram\nm_delay_bucket{s=\"a\",le=\"1\"} 2\n\
            m_delay_sum{s=\"a\"} 2\nm_delay_count{s=\"a\"} 2\n# TYPE m_count gauge\nm_count{} 1\n\
            # TYPE other counter\nother{t=\"b\"} 1\n";
        let told = series(&[("m_delay", "histogram", &["s"]), ("m_count", "gauge", &[])]);
        assert_eq!(shown(page, "m_").expect("a page"), told);
        let odd = format!("{page}m_count{{s=\"a\"}} 1\n");
        assert!(shown(&odd, "m_").is_err());
    }
}
