//! Numbers with Grafana's units, as its panels write them.

/// Round times, in seconds.
pub(super) const TIMES: [f64; 17] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
    21_600.0, 43_200.0, 86_400.0,
];

/// A value in the unit of its panel.
pub(super) fn shown(value: f64, unit: &str) -> String {
    match unit {
        "percentunit" => format!("{} %", number(value * 100.0)),
        "reqps" => format!("{} req/s", number(value)),
        "cps" => format!("{} events/s", number(value)),
        "ops" => format!("{} /s", number(value)),
        "bytes" => scaled(value, &[(1_048_576.0, "MiB"), (1024.0, "KiB"), (1.0, "B")]),
        "s" => scaled(
            value,
            &[(86_400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms")],
        ),
        _ => number(value),
    }
}

fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let fits = units.iter().find(|(size, _)| value.abs() >= *size).or(units.last());
    fits.map_or_else(|| number(value), |(size, name)| format!("{} {name}", number(value / size)))
}

/// Three digits or so, without zeros at the end.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn values_are_read_with_their_units() {
        for (value, unit, text) in [
            (0.0, "s", "0"),
            (0.0042, "s", "4.2 ms"),
            (90.0, "s", "1.5 min"),
            (777_600.0, "s", "9 days"),
            (0.125, "percentunit", "12.5 %"),
            (2048.0, "bytes", "2 KiB"),
            (250.0, "short", "250"),
            (0.5, "reqps", "0.5 req/s"),
        ] {
            assert_eq!(shown(value, unit), text);
        }
    }
}
