//! A page as a picture: each panel in its place, with what its queries answered.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use mpgate_testbed::dashboards::{Dashboard, Kind, Panel, Place, dashboards};
use mpgate_testbed::toolchain;

use super::chart::chart;
use super::record::{Line, Record};
use super::unit;

/// Pixels of a column and of a row.
const COLUMN: f64 = 50.0;
const ROW: f64 = 29.0;
/// Over the panels, for the page's title.
const HEAD: f64 = 50.0;
/// Of a panel, for its title.
const TITLE: f64 = 26.0;
/// Rows of a table.
const ROWS_MAX: usize = 8;

const STYLE: &str = "text{font-family:sans-serif;fill:#222}.title{font-size:12px;font-weight:bold}\
                     .axis{font-size:10px;fill:#555}.legend{font-size:10.5px}.grid{stroke:#ddd;fill:none}\
                     .head{font-size:18px;font-weight:bold}.note{font-size:11px;fill:#555}\
                     .stat{font-size:26px}.cell{font-size:11px}";

/// A rectangle, in pixels.
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Draws every page into docs/images.
pub(super) fn pages(record: &Record) -> Result<()> {
    for page in dashboards()? {
        let file = picture(&page);
        fs::write(&file, drawn(&page, record)?).with_context(|| file.display().to_string())?;
        println!("  {}", file.display());
    }
    Ok(())
}

/// Where a page's picture is.
fn picture(page: &Dashboard) -> PathBuf {
    toolchain::root().join("docs/images").join(format!("{}.svg", page.uid))
}

fn drawn(page: &Dashboard, record: &Record) -> Result<String> {
    let places = page.places()?;
    let rows = places.iter().map(|place| place.y + place.height).max().unwrap_or_default();
    let (width, height) = (24.0 * COLUMN, HEAD + ROW * pixels(rows) + 8.0);
    let title = escaped(&page.title);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<style>{STYLE}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#f4f5f5\"/>\n\
         <text x=\"14\" y=\"24\" class=\"head\">{title}</text>\n\
         <text x=\"14\" y=\"41\" class=\"note\">Drawn by cargo xtask dashboards --draw from the panels' own queries to a \
         Prometheus that scraped a real run of some minutes. No screenshot of Grafana.</text>\n"
    );
    for (panel, place) in page.panels.iter().zip(places) {
        svg += &panel_drawn(panel, place, record).with_context(|| panel.title.clone())?;
    }
    Ok(svg + "</svg>\n")
}

fn panel_drawn(panel: &Panel, place: Place, record: &Record) -> Result<String> {
    let is_over_time = panel.kind == Kind::Timeseries;
    let mut lines = Vec::new();
    for query in &panel.queries {
        lines.extend(record.lines(query, is_over_time)?);
    }
    let frame = Area {
        x: COLUMN * pixels(place.x) + 4.0,
        y: HEAD + ROW * pixels(place.y) + 4.0,
        width: COLUMN * pixels(place.width) - 8.0,
        height: ROW * pixels(place.height) - 8.0,
    };
    let inner = Area {
        x: frame.x,
        y: frame.y + TITLE,
        width: frame.width,
        height: frame.height - TITLE - 6.0,
    };
    let Area { x, y, width, height } = frame;
    let content = match panel.kind {
        Kind::Timeseries => {
            let times = (record.from, record.to);
            chart(&lines, &panel.unit, panel.is_stacked, &inner, times)
        }
        Kind::Stat => stat(&lines, &panel.unit, &inner),
        Kind::Table => table(&lines, &panel.unit, &inner),
    };
    Ok(format!(
        "<g>{}<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"3\" fill=\"#fff\" \
         stroke=\"#ddd\"/>\n<text x=\"{}\" y=\"{}\" class=\"title\">{}</text>\n{content}</g>\n",
        named(panel),
        x + 12.0,
        y + 18.0,
        escaped(&panel.title)
    ))
}

/// What a picture says of a panel for programs: its title, and what it asks.
fn named(panel: &Panel) -> String {
    let queries: Vec<String> = panel.queries.iter().map(|query| escaped(&query.expr)).collect();
    format!("<title>{}</title><desc>{}</desc>", escaped(&panel.title), queries.join("\n"))
}

fn newest(line: &Line) -> Option<f64> {
    line.points.last().map(|(_, value)| *value)
}

fn stat(lines: &[Line], unit: &str, area: &Area) -> String {
    let value = lines.first().and_then(newest);
    let text = value.map_or_else(|| "no data".to_owned(), |value| unit::shown(value, unit));
    let (x, y) = (area.x + area.width / 2.0, area.y + area.height / 2.0 + 9.0);
    format!("<text x=\"{x}\" y=\"{y}\" class=\"stat\" text-anchor=\"middle\">{text}</text>\n")
}

/// Labels that say where a series was scraped, and not what it is about.
const SCRAPED: [&str; 3] = ["__name__", "instance", "job"];

fn table(lines: &[Line], unit: &str, area: &Area) -> String {
    let mut svg = String::new();
    for (row, line) in (0_u32..).zip(lines.iter().take(ROWS_MAX)) {
        let y = area.y + 16.0 + 19.0 * f64::from(row);
        let labels = line.labels.iter().filter(|(name, _)| !SCRAPED.contains(&name.as_str()));
        let labels: Vec<String> = labels.map(|(name, value)| format!("{name} {value}")).collect();
        let value = newest(line).map_or_else(String::new, |value| unit::shown(value, unit));
        let (left, right) = (area.x + 12.0, area.x + area.width - 12.0);
        writeln!(
            svg,
            "<text x=\"{left}\" y=\"{y}\" class=\"cell\">{}</text>\
             <text x=\"{right}\" y=\"{y}\" class=\"cell\" text-anchor=\"end\">{value}</text>",
            escaped(&labels.join(" · "))
        )
        .ok();
    }
    if lines.is_empty() {
        let (x, y) = (area.x + 12.0, area.y + 16.0);
        writeln!(svg, "<text x=\"{x}\" y=\"{y}\" class=\"cell\">no data</text>").ok();
    }
    svg
}

#[expect(clippy::cast_precision_loss, reason = "columns and rows of a page")]
fn pixels(cells: u64) -> f64 {
    cells as f64
}

/// Text between tags.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pictures_are_of_the_panels_that_there_are() {
        for page in dashboards().expect("the source") {
            let file = picture(&page);
            let svg = fs::read_to_string(&file).unwrap_or_default();
            for panel in &page.panels {
                let is_drawn = svg.contains(&named(panel));
                let (title, file) = (&panel.title, file.display());
                assert!(
                    is_drawn,
                    "{file} has another {title}: run 'cargo xtask dashboards --draw'"
                );
            }
            let drawn = svg.matches("<desc>").count();
            assert_eq!(drawn, page.panels.len(), "{}", file.display());
        }
    }
}
