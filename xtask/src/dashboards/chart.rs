//! Lines over time, in SVG: axes, lines or areas, and a legend.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::draw::{Area, escaped};
use super::record::Line;
use super::unit;

const COLOURS: [&str; 10] = [
    "#3f7d3a", "#c58f00", "#1f78c1", "#d9622b", "#c4162a", "#7a4fa3", "#0f8a8a", "#b5438f",
    "#6b6b6b", "#37872d",
];

/// A letter's width in the legend.
const LETTER: f64 = 6.4;
/// The line before a name, and the room behind it.
const KEY: f64 = 28.0;
const LEGEND_LINE: f64 = 14.0;
/// Where the numbers of the axis stand.
const AXIS: f64 = 74.0;
/// Right of the plot: half of the last time's text.
const MARGIN: f64 = 24.0;

/// What all lines of a panel are drawn in.
struct Scale {
    plot: Area,
    from: u64,
    to: u64,
    most: f64,
}

/// A panel's lines within its area.
pub(super) fn chart(
    all: &[Line],
    unit: &str,
    is_stacked: bool,
    area: &Area,
    (from, to): (u64, u64),
) -> String {
    // A quotient of nothing all the time is no line.
    let is_drawn = |line: &&Line| line.points.iter().any(|(_, value)| value.is_finite());
    let lines: Vec<&Line> = all.iter().filter(is_drawn).collect();
    let stacked = if is_stacked { stacked(&lines) } else { BTreeMap::new() };
    let tops = stacked.values().flatten().map(|(_, top)| *top);
    let values = lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value);
    let most = values.chain(tops).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let step = tick(most, unit);
    let (legend, height) = legend(&lines, area);
    let plot = Area {
        x: area.x + AXIS,
        y: area.y + 6.0,
        width: area.width - AXIS - MARGIN,
        height: area.height - height - 26.0,
    };
    let scale = Scale { plot, from, to, most: step * (most / step).ceil().max(1.0) };
    let mut svg = axes(&scale, step, unit);
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        match stacked.get(&index) {
            Some(edges) => svg += &scale.layer(&line.points, edges, colour),
            None => svg += &scale.line(&line.points, colour),
        }
    }
    svg + &legend
}

/// The lower and upper edge of each line on those before it.
fn stacked(lines: &[&Line]) -> BTreeMap<usize, Vec<(f64, f64)>> {
    let mut heights: BTreeMap<u64, f64> = BTreeMap::new();
    let stack = |(index, line): (usize, &&Line)| {
        let edges = line.points.iter().map(|(time, value)| {
            let height = heights.entry(*time).or_default();
            let lower = *height;
            *height += if value.is_finite() { *value } else { 0.0 };
            (lower, *height)
        });
        (index, edges.collect())
    };
    lines.iter().enumerate().map(stack).collect()
}

impl Scale {
    #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
    fn x(&self, time: u64) -> f64 {
        let length = self.to.saturating_sub(self.from).max(1) as f64;
        self.plot.x + self.plot.width * (time.saturating_sub(self.from) as f64) / length
    }

    fn y(&self, value: f64) -> f64 {
        self.plot.y + self.plot.height * (1.0 - value.clamp(0.0, self.most) / self.most)
    }

    /// A line that is broken where there is no value.
    fn line(&self, points: &[(u64, f64)], colour: &str) -> String {
        let mut path = String::new();
        let mut is_down = false;
        for (time, value) in points {
            if value.is_finite() {
                let (x, y) = (self.x(*time), self.y(*value));
                write!(path, "{}{x:.1} {y:.1}", if is_down { 'L' } else { 'M' }).ok();
            }
            is_down = value.is_finite();
        }
        format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n")
    }

    fn layer(&self, points: &[(u64, f64)], edges: &[(f64, f64)], colour: &str) -> String {
        let times = || points.iter().map(|(time, _)| *time).zip(edges);
        let upper = times().map(|(time, (_, top))| (self.x(time), self.y(*top)));
        let lower = times().rev().map(|(time, (bottom, _))| (self.x(time), self.y(*bottom)));
        let corners: Vec<String> =
            upper.chain(lower).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points_: Vec<(u64, f64)> = times().map(|(time, (_, top))| (time, *top)).collect();
        let area = corners.join(" ");
        format!("<polygon points=\"{area}\" fill=\"{colour}\" fill-opacity=\"0.25\"/>\n")
            + &self.line(&points_, colour)
    }
}

/// The distance of two marks, so that there are three to six of them: round in this unit.
fn tick(most: f64, unit: &str) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let rough = most / 4.0;
    if unit == "s" && rough >= 1.0 {
        return unit::TIMES.into_iter().find(|step| *step >= rough).unwrap_or(rough);
    }
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|step| *step >= rough).unwrap_or(rough)
}

fn axes(scale: &Scale, step: f64, unit: &str) -> String {
    let plot = &scale.plot;
    let (left, right, bottom) = (plot.x, plot.x + plot.width, plot.y + plot.height);
    let mut svg = String::new();
    let mut value = 0.0;
    while value <= scale.most * 1.001 {
        let (y, text) = (scale.y(value), unit::shown(value, unit));
        writeln!(
            svg,
            "<path d=\"M{left:.1} {y:.1}H{right:.1}\" class=\"grid\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" class=\"axis\" text-anchor=\"end\">{text}</text>",
            left - 6.0,
            y + 3.5
        )
        .ok();
        value += step;
    }
    let minutes: BTreeSet<u64> = (0..=scale.to.saturating_sub(scale.from) / 60).collect();
    for minute in minutes {
        let x = scale.x(scale.from + minute * 60);
        writeln!(
            svg,
            "<path d=\"M{x:.1} {bottom:.1}v4\" class=\"grid\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" class=\"axis\" text-anchor=\"middle\">{minute} min</text>",
            bottom + 15.0
        )
        .ok();
    }
    svg
}

/// The legend at the lower edge, and its height.
fn legend(lines: &[&Line], area: &Area) -> (String, f64) {
    let mut places = Vec::new();
    let (mut x, mut row) = (0.0, 0.0);
    let most = area.width - 20.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small width")]
    let letters_most = ((most - KEY) / LETTER) as usize;
    for line in lines {
        let name = cut(&line.name, letters_most);
        #[expect(clippy::cast_precision_loss, reason = "letters of a name")]
        let width = KEY + LETTER * name.chars().count() as f64;
        if x > 0.0 && x + width > most {
            (x, row) = (0.0, row + 1.0);
        }
        places.push((name, x, row));
        x += width;
    }
    let height = LEGEND_LINE * (row + 1.0);
    let top = area.y + area.height - height;
    let mut svg = String::new();
    for (index, (name, x, row)) in places.into_iter().enumerate() {
        let (x, y) = (area.x + 12.0 + x, top + LEGEND_LINE * row + 8.0);
        let (colour, name) = (COLOURS[index % COLOURS.len()], escaped(&name));
        writeln!(
            svg,
            "<path d=\"M{x:.1} {:.1}h12\" stroke=\"{colour}\" stroke-width=\"3\"/>\
             <text x=\"{:.1}\" y=\"{y:.1}\" class=\"legend\">{name}</text>",
            y - 3.5,
            x + 16.0
        )
        .ok();
    }
    (svg, height)
}

/// So many letters of a name, the last a sign that there are more.
fn cut(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        for (most, unit, step) in [
            (0.0, "short", 1.0),
            (1.0, "short", 0.5),
            (7.0, "short", 2.0),
            (30.0, "s", 10.0),
            (0.03, "s", 0.01),
            (2_400.0, "s", 600.0),
            (86_400.0, "s", 21_600.0),
        ] {
            let found = tick(most, unit);
            assert!((found - step).abs() < step / 1e6, "{most} {unit}: {found}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_cut() {
        let lines = [line("short"), line(&"x".repeat(99))];
        let area = Area { x: 0.0, y: 0.0, width: 200.0, height: 100.0 };
        let (svg, height) = legend(&lines.iter().collect::<Vec<_>>(), &area);
        assert!(svg.contains(">short<") && svg.contains("xx…<") && !svg.contains(&"x".repeat(40)));
        assert!((height - 2.0 * LEGEND_LINE).abs() < 0.1, "{height}");
    }

    fn line(name: &str) -> Line {
        Line { name: name.to_owned(), labels: BTreeMap::new(), points: vec![(0, 1.0)] }
    }
}
