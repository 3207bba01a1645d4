//! Prometheus' text format, version 0.0.4.

use core::fmt::{Display, Write as _};

/// What a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page under way.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a family. Its samples come next.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        // Writing into a String does not fail.
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {}", kind.label()).ok();
    }

    /// One sample.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            self.0.push(if place == 0 { '{' } else { ',' });
            write!(self.0, "{label}=\"").ok();
            for char in text.chars() {
                match char {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    char => self.0.push(char),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        writeln!(self.0, " {value}").ok();
    }

    pub(super) fn end(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_leave_its_quotes() {
        let mut text = Text::default();
        text.family("a_total", Kind::Counter, "Help.");
        text.sample("a_total", &[("node", "x\"} 1\nb \\"), ("gate", "")], 7);
        text.sample("a_total", &[], 0.5);
        let expected = "# HELP a_total Help.\n# TYPE a_total counter\n\
            a_total{node=\"x\\\"} 1\\nb \\\\\",gate=\"\"} 7\na_total 0.5\n";
        assert_eq!(text.end(), expected);
    }
}
