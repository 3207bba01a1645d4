//! The dashboards' one source, `deploy/grafana/dashboards.yml`: read, and written as Grafana reads dashboards.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::prometheus::yaml;
use crate::toolchain;

/// Columns of a page.
const COLUMNS: u64 = 24;

/// Grafana's version of the format that is written; newer ones read it.
const SCHEMA_VERSION: u64 = 39;

/// A page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dashboard {
    /// Its id in Grafana, and the name of its file.
    pub uid: String,
    /// Its title.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// What its reader chooses.
    pub variables: Vec<Variable>,
    /// Its panels, in rows from the left.
    pub panels: Vec<Panel>,
}

/// A choice at the top of a page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// `$name` in queries.
    pub name: String,
    /// Where its values come from, in Grafana's words.
    pub query: String,
}

/// How a panel shows what it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Lines over time.
    Timeseries,
    /// The newest number.
    Stat,
    /// The newest numbers, with their labels.
    Table,
}

/// A panel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    /// Its title.
    pub title: String,
    /// How it shows.
    pub kind: Kind,
    /// Columns of 24.
    pub width: u64,
    /// Grafana's id of a unit.
    pub unit: String,
    /// What it shows, and what to make of it.
    pub description: String,
    /// Whether the lines stand on one another.
    #[serde(default)]
    pub is_stacked: bool,
    /// What it asks.
    pub queries: Vec<Query>,
}

/// A question to Prometheus.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// With Grafana's variables.
    pub expr: String,
    /// The name of a line, with `{{label}}`.
    #[serde(default)]
    pub legend: String,
    /// Asked for now, and not over a time.
    #[serde(default)]
    pub is_instant: bool,
    /// Empty until there are earlier days.
    #[serde(default)]
    pub needs_history: bool,
}

/// Where a panel stands: column, row, width and height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From the left.
    pub x: u64,
    /// From the top.
    pub y: u64,
    /// Columns.
    pub width: u64,
    /// Rows.
    pub height: u64,
}

/// All pages.
///
/// # Errors
/// The file is not there, or not of this form.
pub fn dashboards() -> Result<Vec<Dashboard>> {
    let file = directory().join("dashboards.yml");
    let mut document = yaml(&file)?;
    let pages = document["dashboards"].take();
    serde_json::from_value(pages).with_context(|| file.display().to_string())
}

/// Where source and pages are.
#[must_use]
pub fn directory() -> PathBuf {
    toolchain::root().join("deploy/grafana")
}

impl Query {
    /// The expression with these values in the place of Grafana's variables.
    #[must_use]
    pub fn with(&self, values: &[(&str, &str)]) -> String {
        let replaced =
            |text: String, (name, value): &(&str, &str)| text.replace(&format!("${name}"), value);
        values.iter().fold(self.expr.clone(), replaced)
    }

    /// The name of a series by its labels.
    #[must_use]
    pub fn named(&self, labels: &BTreeMap<String, String>) -> String {
        let filled = |text: String, (label, value): (&String, &String)| {
            text.replace(&format!("{{{{{label}}}}}"), value)
        };
        labels.iter().fold(self.legend.clone(), filled)
    }
}

impl Dashboard {
    /// Where each panel stands: from the left, and in a new row where it does not fit.
    ///
    /// # Errors
    /// A panel is wider than a page.
    pub fn places(&self) -> Result<Vec<Place>> {
        let (mut x, mut y, mut row) = (0, 0, 0);
        let mut places = Vec::new();
        for panel in &self.panels {
            let (width, height) = (panel.width, panel.height());
            ensure!((1..=COLUMNS).contains(&width), "{}: {width} columns", panel.title);
            if x + width > COLUMNS {
                (x, y, row) = (0, y + row, 0);
            }
            places.push(Place { x, y, width, height });
            (x, row) = (x + width, row.max(height));
        }
        Ok(places)
    }

    /// As Grafana reads it, to the byte.
    ///
    /// # Errors
    /// A panel does not fit.
    pub fn written(&self) -> Result<String> {
        let panels = self.panels.iter().zip(self.places()?).enumerate();
        let panels: Vec<Value> =
            panels.map(|(number, (panel, place))| panel.written(number + 1, place)).collect();
        let source = json!({
            "name": "datasource", "label": "Data source", "type": "datasource",
            "query": "prometheus", "refresh": 1, "hide": 0,
        });
        let variables = self.variables.iter().map(Variable::written);
        let document = json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["mpgate"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": true,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "timezone": "browser",
            "links": [{
                "type": "dashboards", "title": "mpgate", "tags": ["mpgate"],
                "asDropdown": true, "includeVars": true, "keepTime": true,
            }],
            "templating": {"list": std::iter::once(source).chain(variables).collect::<Vec<_>>()},
            "panels": panels,
        });
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }
}

impl Variable {
    fn written(&self) -> Value {
        json!({
            "name": self.name,
            "type": "query",
            "datasource": source(),
            "query": {"query": self.query, "refId": self.name},
            "definition": self.query,
            "refresh": 2,
            "sort": 1,
            "multi": true,
            "includeAll": true,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        })
    }
}

impl Panel {
    fn height(&self) -> u64 {
        if self.kind == Kind::Stat { 4 } else { 8 }
    }

    fn written(&self, id: usize, place: Place) -> Value {
        let queries = self.queries.iter().zip('A'..='Z');
        let targets: Vec<Value> = queries.map(|(query, id)| self.target(query, id)).collect();
        json!({
            "id": id,
            "type": self.type_id(),
            "title": self.title,
            "description": self.description,
            "datasource": source(),
            "gridPos": {"x": place.x, "y": place.y, "w": place.width, "h": place.height},
            "targets": targets,
            "fieldConfig": {"defaults": self.field(), "overrides": []},
            "options": self.options(),
        })
    }

    fn type_id(&self) -> &'static str {
        match self.kind {
            Kind::Timeseries => "timeseries",
            Kind::Stat => "stat",
            Kind::Table => "table",
        }
    }

    fn target(&self, query: &Query, id: char) -> Value {
        json!({
            "refId": id.to_string(),
            "datasource": source(),
            "expr": query.expr,
            "legendFormat": if query.legend.is_empty() { "__auto" } else { &query.legend },
            "instant": query.is_instant,
            "range": !query.is_instant,
            "format": if self.kind == Kind::Table { "table" } else { "time_series" },
        })
    }

    fn field(&self) -> Value {
        let mut field = json!({"unit": self.unit});
        if self.kind == Kind::Timeseries {
            field["min"] = 0.into();
            let stacking = if self.is_stacked { "normal" } else { "none" };
            field["custom"] = json!({
                "drawStyle": "line",
                "lineWidth": 1,
                "fillOpacity": if self.is_stacked { 30 } else { 0 },
                "showPoints": "never",
                "stacking": {"mode": stacking, "group": "A"},
            });
        }
        field
    }

    fn options(&self) -> Value {
        match self.kind {
            Kind::Timeseries => json!({
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
            Kind::Stat => json!({
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
                "colorMode": "none", "graphMode": "area", "textMode": "auto",
            }),
            Kind::Table => json!({"showHeader": true, "cellHeight": "sm"}),
        }
    }
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_are_what_the_source_makes() {
        for page in dashboards().expect("the source") {
            let file = directory().join("dashboards").join(format!("{}.json", page.uid));
            let kept = std::fs::read_to_string(&file).unwrap_or_default();
            let is_same = kept == page.written().expect("a page");
            assert!(is_same, "{} is another: run 'cargo xtask dashboards'", file.display());
        }
    }

    #[test]
    fn panels_stand_beside_and_below_one_another_and_nowhere_twice() {
        for page in dashboards().expect("the source") {
            let places = page.places().expect("places");
            for (at, one) in places.iter().enumerate() {
                for other in places.iter().skip(at + 1) {
                    let beside = one.x + one.width <= other.x || other.x + other.width <= one.x;
                    let below = one.y + one.height <= other.y || other.y + other.height <= one.y;
                    assert!(beside || below, "{one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn a_query_is_filled_in_and_a_line_is_named() {
        let (expr, legend) = ("a{b=~\"$gate\"}[$__rate_interval]".into(), "{{x}} {{y}}".into());
        let query = Query { expr, legend, is_instant: false, needs_history: false };
        let values = [("__rate_interval", "4s"), ("gate", ".*")];
        assert_eq!(query.with(&values), "a{b=~\".*\"}[4s]");
        let labels = BTreeMap::from([("x".into(), "1".into()), ("y".into(), "2".into())]);
        assert_eq!(query.named(&labels), "1 2");
    }
}
