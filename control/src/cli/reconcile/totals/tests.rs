//! Files as people write them, and what is said of those that are wrong.

use super::*;

const TITLES: &str = "sender,stream,event,currency,day,count,value\n";

#[test]
fn amounts_are_exact() {
    for (text, micros) in [
        ("12", 12_000_000),
        ("12.5", 12_500_000),
        ("-0.000001", -1),
        ("0.1234560", 123_456),
        ("9223372036854.775807", i64::MAX),
        ("1.000000000", 1_000_000),
    ] {
        assert_eq!(super::micros(text), Ok(micros), "{text}");
    }
    for bad in [
        "",
        "-",
        ".5",
        "5.",
        "1,5",
        "1'000",
        "+1",
        "1e3",
        "NaN",
        "0.0000001",
        "9223372036855",
        "1 0",
        "٣",
    ] {
        assert!(super::micros(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_file_is_read_in_any_order_of_columns() {
    let usual = "billing,G-A,purchase,EUR,2026-11-20,2,12.50\nbilling,G-A,login,,2026-11-20,1,\n";
    let lines = read(format!("{TITLES}{usual}").as_bytes()).expect("good rows");
    let login = json!({"sender": "billing", "stream": "G-A", "event": "login", "day": "2026-11-20",
        "count": 1, "valueMicros": 0});
    assert_eq!(lines.get(1), Some(&Line { number: 3, total: login }));
    let other = "\u{feff}value, count,day,currency,event,stream,sender\r\n\
        \"12.50\",2, 2026-11-20 ,EUR,purchase,G-A,billing\r\n";
    let again = read(other.as_bytes()).expect("good rows");
    assert_eq!(again.first().map(|line| &line.total), lines.first().map(|line| &line.total));
}

/// Rows: the file below its titles, and what is said of it.
#[test]
fn a_fault_is_said_with_its_place() {
    for (rows, expected) in [
        ("", "no row"),
        ("billing,G-A,purchase,EUR,2026-11-20,2", "line 2: it has 6 columns"),
        ("billing,G-A,purchase,EUR,2026-11-20,2,12,50", "decimal comma"),
        ("billing,G-A,purchase,EUR,2026-11-20,-2,1", "line 2, column count"),
        ("billing,G-A,purchase,EUR,2026-11-20,2.0,1", "line 2, column count"),
        ("billing,G-A,purchase,EUR,2026-11-20,2,x", "line 2, column value"),
        ("billing,G-A,purchase,,2026-11-20,2,1", "line 2, column currency"),
        (",G-A,purchase,EUR,2026-11-20,2,1", "line 2, column sender: it is empty"),
        ("a,G-A,b,EUR,2026-11-20,2,1\na,G-A,b,EUR,,2,1", "line 3, column day: it is empty"),
    ] {
        let faults = read(format!("{TITLES}{rows}").as_bytes()).expect_err(rows);
        assert!(faults.join("\n").contains(expected), "{rows}: {faults:?}");
    }
    for (titles, expected) in [
        ("sender,stream\n", "the title event is missing"),
        ("sender,stream,event,currency,day,count,value,note\n", "column 8: `note` is no title"),
        ("sender,sender,stream,event,currency,day,count,value\n", "there twice"),
        ("", "the title sender is missing"),
    ] {
        let faults = read(titles.as_bytes()).expect_err(titles);
        assert!(faults.join("\n").contains(expected), "{titles}: {faults:?}");
    }
    let many = read(format!("{TITLES}{}", "x\n".repeat(1_000)).as_bytes()).expect_err("faults");
    assert_eq!(many.len(), FAULTS_MAX + 1);
}

#[test]
fn a_day_is_never_divided() {
    let line = |day: &str, number: u64| Line {
        number,
        total: json!({"day": day, "sender": "billing", "stream": "G-A"}),
    };
    let days = ["1", "2", "1", "3", "2", "1"];
    let lines: Vec<_> = (0_u64..).zip(days).map(|(number, day)| line(day, number)).collect();
    for (rows_max, sizes) in
        [(1, vec![3, 2, 1]), (3, vec![3, 3]), (4, vec![3, 3]), (5, vec![5, 1]), (9, vec![6])]
    {
        let parts = parts(lines.clone(), rows_max);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), sizes, "{rows_max}");
    }
    let said = in_lines("It is the total of totals[1].", &lines[3..]);
    assert_eq!(said, "It is the total of line 4.");
}

#[test]
fn percentages_are_exact() {
    for (text, shown) in [("1%", "1%"), ("0.5", "0.5%"), ("0", "0%"), ("100%", "100%")] {
        assert_eq!(Percent::parse(text).map(|it| it.to_string()), Ok(shown.to_owned()));
    }
    for bad in ["", "%", "101%", "-1%", "1%%", "one"] {
        assert!(Percent::parse(bad).is_err(), "{bad}");
    }
    let one = Percent::parse("1%").expect("a percentage");
    assert!(!one.is_exceeded_by(1, 100) && one.is_exceeded_by(2, 100));
    assert!(one.is_exceeded_by(i64::MIN, i64::MAX) && !one.is_exceeded_by(0, 0));
}
