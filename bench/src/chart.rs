//! The table as a picture: a bar from nothing to what a row adds, and a whisker over its range.

use std::fmt::Write as _;

use crate::figures::Row;

const WIDTH: f64 = 900.0;
const LABELS: f64 = 300.0;
const LINE: f64 = 24.0;
const TOP: f64 = 44.0;
const FIGURES: f64 = 60.0;

pub(crate) fn svg(rows: &[Row]) -> String {
    let most = rows.iter().map(|row| row.most).fold(1.0, f64::max);
    let least = rows.iter().map(|row| row.least).fold(0.0, f64::min);
    let scale = (WIDTH - LABELS - FIGURES) / (most - least);
    let x = |value: f64| LABELS + (value - least) * scale;
    #[expect(clippy::cast_precision_loss, reason = "a few dozen rows")]
    let height = TOP + LINE * rows.len() as f64 + 16.0;
    let mut out = String::new();
    let mut add = |words: std::fmt::Arguments<'_>| {
        // A String takes everything.
        let _written = writeln!(out, "{words}");
    };
    add(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" role="img">"#
    ));
    add(format_args!(r##"<rect width="100%" height="100%" fill="#ffffff"/>"##));
    add(format_args!(
        r##"<text x="12" y="22" font-size="14" fill="#222222">CPU time that Envoy spends more on one request than the bare proxy, microseconds</text>"##
    ));
    let zero = x(0.0);
    let bottom = height - 10.0;
    add(format_args!(
        r##"<line x1="{zero:.1}" y1="{TOP}" x2="{zero:.1}" y2="{bottom}" stroke="#888888"/>"##
    ));
    let mut y = TOP;
    for row in rows {
        let (from, to) = (x(row.extra.min(0.0)), x(row.extra.max(0.0)));
        let colour = if row.name.starts_with("mpgate") { "#2a7f62" } else { "#8aa4c8" };
        let (text, middle) = (y + 15.0, y + 11.0);
        add(format_args!(
            r##"<text x="{:.1}" y="{text:.1}" text-anchor="end" fill="#222222">{}</text>"##,
            LABELS - 10.0,
            row.name
        ));
        add(format_args!(
            r#"<rect x="{from:.1}" y="{:.1}" width="{:.1}" height="14" fill="{colour}"/>"#,
            y + 4.0,
            (to - from).max(0.5)
        ));
        add(format_args!(
            r##"<line x1="{:.1}" y1="{middle:.1}" x2="{:.1}" y2="{middle:.1}" stroke="#222222"/>"##,
            x(row.least),
            x(row.most)
        ));
        add(format_args!(
            r##"<text x="{:.1}" y="{text:.1}" fill="#222222">{:+.1}</text>"##,
            x(row.most).max(to) + 6.0,
            row.extra
        ));
        y += LINE;
    }
    out.push_str("</svg>\n");
    out
}
