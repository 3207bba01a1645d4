//! What the board shows: one row a behaviour.

use serde_json::json;

use super::*;

const NOW: Seconds = 1_785_585_600;

fn look(at: u64, usage: &Value, keys: &Value) -> Look {
    let gateways = json!({"gateways": [
        {"state": "LIVE", "lag": 0}, {"state": "LIVE", "lag": 2}, {"state": "SILENT", "lag": 9}]});
    let (usage, keys) = (json!({"usage": usage}), json!({"apiKeys": keys}));
    Look::of(Duration::from_secs(at), NOW, &usage, &[keys], &gateways)
}

fn counted(accepted: i64, refused: i64) -> Value {
    json!([{"sender": "billing", "accepted": accepted, "refused": refused,
        "refusedByReason": {"revoked": refused}}])
}

/// The cells of a sender's row.
fn row(board: &Board, sender: &str) -> Vec<String> {
    let lines = board.lines(usize::MAX, usize::MAX);
    let line = lines.iter().find(|line| line.text.starts_with(&format!("{sender} ")));
    let line = line.unwrap_or_else(|| panic!("no {sender}: {lines:?}"));
    line.text
        .split("  ")
        .filter(|cell| !cell.is_empty())
        .map(|cell| cell.trim().to_owned())
        .collect()
}

/// Rows: looks (seconds from the start, accepted, refused), accepted/s, refused/s, their share, and of how long.
#[test]
fn rates_are_the_mean_of_half_a_minute() {
    for (looks, accepted, refused, share, span) in [
        (vec![(4_000, 0, 0)], "0.00", "0.00", "-", "66 min"),
        (vec![(4_000, 4_000, 1_000)], "1.00", "0.25", "20.0%", "66 min"),
        // So long as there is no half a minute, the mean since the start.
        (vec![(4_000, 4_000, 0), (4_029, 4_029, 0)], "1.00", "0.00", "0.0%", "67 min"),
        (vec![(4_000, 4_000, 0), (4_030, 4_300, 0)], "10.00", "0.00", "0.0%", "30 s"),
        (vec![(0, 0, 0), (20, 50, 0), (40, 90, 0), (60, 100, 0)], "1.25", "0.00", "0.0%", "40 s"),
        (vec![(0, 0, 0), (30, 0, 3), (60, 1, 2_003)], "0.03", "66.67", "100.0%", "30 s"),
        // Another database has less.
        (vec![(0, 500, 500), (30, 20, 20)], "0.00", "0.00", "-", "30 s"),
    ] {
        let mut board = Board::new("acme", NOW - 4_000);
        for (at, accepted, refused) in &looks {
            board.add(look(*at, &counted(*accepted, *refused), &json!([])));
        }
        let cells = row(&board, "billing");
        assert_eq!(cells[1..4], [accepted, refused, share], "{looks:?}");
        let head = &board.lines(200, 200)[1].text;
        assert!(head.contains(&format!("mean of the last {span};")), "{looks:?}: {head}");
        assert!(head.ends_with("gateways report every 10 s"), "{head}");
    }
}

/// Rows: what usage has of a sender, what its keys have, and the row.
#[test]
fn a_row_says_how_a_sender_is() {
    let ended = time::to_text(NOW - 1);
    let (soon, later) = (time::to_text(NOW + 3 * 86_400), time::to_text(NOW + 90 * 86_400));
    let (used, refused) = (time::to_text(NOW - 40), time::to_text(NOW - 8));
    let key =
        |state: &str, end: &str| json!({"sender": "billing", "state": state, "expireTime": end});
    for (usage, keys, expected) in [
        (json!({}), json!([]), ["-", "-", "-", "-"]),
        (
            json!({"refusedByReason": {"revoked": 2, "expired": 3}, "dryRunByReason": {"exposed": 9},
                "meanDelaySeconds": 4}),
            json!([]),
            ["expired", "-", "4 s", "-"],
        ),
        (
            json!({"dryRunByReason": {"exposed": 9}}),
            json!([]),
            ["exposed (dry run)", "-", "-", "-"],
        ),
        (
            json!({"refusedByReason": {"a\u{1b}[2J": 1}}),
            json!([{"sender": "billing", "state": "ACTIVE", "lastUseTime": used},
                {"sender": "billing", "state": "REVOKED", "lastRefuseTime": refused},
                {"sender": "crm", "state": "ACTIVE", "lastUseTime": time::to_text(NOW)}]),
            ["a\u{fffd}[2J", "8 s ago", "-", "-"],
        ),
        (
            json!({}),
            json!([
                key("ACTIVE", &later),
                key("ACTIVE", &soon),
                key("DISABLED", &used),
                key("EXPIRED", &ended)
            ]),
            ["-", "-", "-", "3 d"],
        ),
    ] {
        let mut usage = usage;
        usage["sender"] = "billing".into();
        let mut board = Board::new("acme", NOW - 4_000);
        board.add(look(4_000, &json!([usage]), &keys));
        assert_eq!(row(&board, "billing")[4..], expected, "{usage} {keys}");
    }
}

#[test]
fn the_top_reason_is_that_of_the_rates() {
    let refused = |revoked, expired| {
        json!([{"sender": "billing", "refused": revoked + expired,
            "refusedByReason": {"revoked": revoked, "expired": expired}}])
    };
    let mut board = Board::new("acme", NOW);
    for (at, usage) in [(100, refused(900, 0)), (130, refused(900, 3))] {
        board.add(look(at, &usage, &json!([])));
    }
    assert_eq!(row(&board, "billing")[4], "expired");
}

fn three() -> Board {
    let mut board = Board::new("acme", NOW - 100);
    let usage = json!([
        {"sender": "billing", "accepted": 10, "refused": 1},
        {"sender": "crm", "accepted": 0, "refused": 50},
        {"sender": "shop", "accepted": 30}]);
    let keys =
        json!([{"sender": "idle", "state": "ACTIVE"}, {"sender": "shop", "state": "ACTIVE"}]);
    board.add(look(100, &usage, &keys));
    board
}

#[test]
fn who_sends_most_comes_first_and_colours_tell_who_is_refused() {
    let color = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
    let lines = three().lines(100, 100);
    assert_eq!(
        lines[0].text,
        format!("acme: senders 4; gateways live 2 (1 behind), silent 1; {}", time::to_text(NOW))
    );
    assert!(lines[3].text.starts_with("SENDER   ACCEPTED/S"), "{lines:?}");
    let rows: Vec<_> = lines.iter().skip(4).map(|line| (&line.text[..4], line.style)).collect();
    let expected = [
        ("crm ", color(AnsiColor::Red)),
        ("shop", Style::new()),
        ("bill", color(AnsiColor::Yellow)),
        ("idle", Style::new()),
    ];
    assert_eq!(rows, expected);
}

/// Rows: the terminal's size, and the last line.
#[test]
fn a_small_terminal_shows_what_fits() {
    for (width, height, lines, last) in [
        (80, 8, 8, "idle"),
        (80, 7, 7, "and 2 more"),
        (80, 5, 5, "and 4 more"),
        (3, 7, 7, "and"),
        (80, 1, 1, "and 4 more"),
    ] {
        let shown = three().lines(width, height);
        assert_eq!(shown.len(), lines, "{width} {height}");
        assert!(shown.iter().all(|line| line.text.chars().count() <= width), "{shown:?}");
        let end = &shown[shown.len() - 1].text;
        assert!(end.starts_with(last), "{width} {height}: {end}");
    }
}

#[test]
fn a_control_that_is_away_leaves_the_last_look() {
    let mut board = three();
    board.is_stale("control cannot be reached");
    let lines = board.lines(100, 100);
    assert_eq!(lines[2].text, "from before, asked again soon: control cannot be reached");
    assert!(lines.iter().any(|line| line.text.starts_with("shop")));
    board.add(look(105, &json!([]), &json!([])));
    assert!(!board.text().contains("from before"));
}
