//! Prometheus's text format, as far as the tests and the demo read it: `name{label="value"} 1`.

use std::collections::BTreeMap;

/// One line of `/stats/prometheus`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// What an Envoy counted at one moment.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Vec<Sample>);

impl Metrics {
    /// Reads the text; lines that are none of ours (comments, blank lines) are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(sample).collect())
    }

    /// All samples.
    #[must_use]
    pub fn all(&self) -> &[Sample] {
        &self.0
    }

    /// The largest value of this name: of all gates in an Envoy the one that is furthest.
    #[must_use]
    pub fn most(&self, name: &str) -> f64 {
        self.named(name).map(|sample| sample.value).fold(0.0, f64::max)
    }

    /// All samples of this name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// The sum over all samples of this name that carry these labels; 0 where there is none, as a
    /// counter that was never touched does not exist.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let carries = |sample: &&Sample| {
            labels
                .iter()
                .all(|(label, value)| sample.labels.get(*label).is_some_and(|v| v == value))
        };
        self.named(name).filter(carries).map(|sample| sample.value).sum()
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (name, read_labels(rest.strip_suffix('}')?)?),
        None => (series, BTreeMap::new()),
    };
    (!name.starts_with('#')).then(|| Sample { name: name.to_owned(), labels, value })
}

/// Reads `a="x",b="y"`, with `\"`, `\\` and `\n` escaped in values.
fn read_labels(mut text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = rest.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
        let after = rest.get(end + 1..)?;
        text = after.strip_prefix(',').unwrap_or(after);
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE mpgate_requests_total counter\n\
        mpgate_requests_total{sender=\"billing\",outcome=\"accepted\"} 3\n\
        mpgate_requests_total{sender=\"billing\",outcome=\"refused\"} 2\n\
        mpgate_requests_total{sender=\"crm\",outcome=\"accepted\"} 5\n\
        odd{a=\"x\\\"y, z\"} 1.5\n\
        plain{} 7\n";

    #[test]
    fn labels_select_and_sums_add_up() {
        let metrics = Metrics::parse(TEXT);
        for (labels, expected) in [
            (&[][..], 10.0),
            (&[("sender", "billing")], 5.0),
            (&[("sender", "billing"), ("outcome", "refused")], 2.0),
            (&[("sender", "nobody")], 0.0),
        ] {
            let sum = metrics.sum("mpgate_requests_total", labels);
            assert!((sum - expected).abs() < f64::EPSILON, "{labels:?}: {sum}");
        }
    }

    #[test]
    fn escaped_values_and_empty_labels() {
        let metrics = Metrics::parse(TEXT);
        assert!(metrics.sum("odd", &[("a", "x\"y, z")]) > 1.0);
        assert!(metrics.sum("plain", &[]) > 6.0);
        assert_eq!(metrics.named("# TYPE mpgate_requests_total").count(), 0);
    }
}
