//! `mpgate doctor`: each way for things to be wrong has its words, and says what to do next.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use mpgate_testbed::tls::Authority;
use mpgate_testbed::{Answer, Upstream};
use serde_json::Value;

use super::run;
use crate::harness::{Control, Directory, serve};

/// What came of each check, as `(check, result, found)`.
fn checks(
    environment: &[(&str, &str)],
    flags: &str,
) -> (Option<i32>, Vec<(String, String, String)>) {
    let ran = run(environment, &format!("doctor --output json {flags}"));
    let told: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.error));
    let checks = told["checks"].as_array().expect("checks").iter().map(|check| {
        let text = |member: &str| check[member].as_str().expect("text").to_owned();
        assert_eq!(text("next").is_empty(), text("result") == "ok", "{check}");
        (text("check"), text("result"), text("found"))
    });
    (ran.code, checks.collect())
}

/// A server that answers each path in one way.
fn answering(answers: &[(&'static str, u16, &'static str)]) -> Upstream {
    let answers = answers.to_vec();
    let server = Upstream::start(move |asked| {
        let path = asked.path();
        let found = answers.iter().find(|(known, _, _)| *known == path);
        let (_, status, body) = found.unwrap_or(&("", 404, ""));
        Answer::Respond(*status, Vec::new(), body.as_bytes().to_vec())
    });
    server.expect("a server")
}

fn url_of(server: &Upstream) -> String {
    format!("http://{}", server.address())
}

fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

#[test]
fn the_way_to_control_is_told_step_by_step() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let wide = directory.join("wide");
    fs::write(&wide, &control.admin).expect("a file");
    fs::set_permissions(&wide, fs::Permissions::from_mode(0o644)).expect("a mode");
    let wide = wide.display().to_string();
    let token_file = directory.join("admin-token").display().to_string();
    let (closed, other) = (closed(), answering(&[]));
    let by_file = format!("--token-file {token_file}");
    let away = format!("--url {closed} {by_file}");
    let not_control = format!("--url {} {by_file}", url_of(&other));
    let tls = format!("--url {} {by_file}", control.url.replace("http:", "https:"));
    let wide = format!("--token-file {wide}");
    for (environment, flags, code, check, result, words) in [
        (&[][..], by_file.as_str(), 0, "control: token", "ok", "knows the token of"),
        (
            &[("MPGATE_TOKEN", "mpt_canary")],
            "",
            1,
            "control: token",
            "fail",
            "does not know the token of MPGATE_TOKEN",
        ),
        (&[], "", 1, "control: token", "fail", "no token"),
        (&[], &wide, 0, "control: token file", "warn", "can be read by others (mode 644)"),
        (&[], &away, 1, "control: connection", "fail", "refused"),
        (&[], &not_control, 1, "control: ready", "fail", "it is not control"),
        (&[], &tls, 1, "control: TLS", "fail", ""),
        (&[], "--url http://control.invalid:1", 1, "control: URL", "fail", "in clear"),
        (
            &[],
            "--url https://control.invalid:1",
            1,
            "control: name",
            "fail",
            "control.invalid is not found",
        ),
        (
            &[],
            "--url https://127.0.0.1:1 --ca-file /none",
            1,
            "control: connection",
            "fail",
            "refused",
        ),
    ] {
        let environment = [&[("MPGATE_URL", control.url.as_str())], environment].concat();
        let (ended, checks) = checks(&environment, flags);
        assert_eq!(ended, Some(code), "{flags}: {checks:?}");
        let found = checks.iter().find(|(name, _, _)| name == check);
        let (_, told, found) = found.unwrap_or_else(|| panic!("{flags}: {checks:?}"));
        assert!(told == result && found.contains(words), "{flags}: {checks:?}");
        assert!(!format!("{checks:?}").contains("canary"), "{checks:?}");
        // It ends where the way ends.
        let failed = checks.iter().position(|(_, result, _)| result == "fail");
        assert!(failed.is_none_or(|at| at + 1 == checks.len()), "{checks:?}");
    }
    let environment = [("MPGATE_URL", control.url.as_str())];
    let shown = run(&environment, &format!("doctor {by_file}"));
    assert_eq!((shown.code, shown.error.as_str()), (Some(0), ""));
    assert!(shown.out.starts_with("ok  control: URL         http://127.0.0.1:"), "{}", shown.out);
    let shown = run(&environment, "doctor");
    assert!(shown.out.contains("\n                           do: name a file"), "{}", shown.out);
    assert_eq!(shown.error, "error: 1 of 6 checks failed\n");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_told() {
    let directory = Directory::new();
    let authority = Authority::new(directory.path()).expect("an authority");
    let certificate = authority.issue("localhost", "control").expect("a certificate");
    let mut command = serve(&directory);
    command.arg("--tls-certificate").arg(&certificate.certificate);
    command.arg("--tls-private-key").arg(&certificate.key);
    let control = Control::start_as(&directory, &mut command);
    let url = control.url.replace("127.0.0.1", "localhost");
    let token_file = directory.join("admin-token").display().to_string();
    let environment = [("MPGATE_URL", url.as_str()), ("MPGATE_TOKEN_FILE", &token_file)];
    let trusted = format!("--ca-file {}", authority.certificate_file().display());
    for (flags, code, result) in [("", 1, "fail"), (trusted.as_str(), 0, "ok")] {
        let (ended, checks) = checks(&environment, flags);
        assert_eq!(ended, Some(code), "{checks:?}");
        let tls = checks.iter().find(|(name, _, _)| name == "control: TLS");
        assert!(tls.is_some_and(|(_, told, _)| told == result), "{checks:?}");
    }
    let refused = run(&environment, "consumers list");
    assert_eq!(refused.code, Some(4), "{}", refused.error);
    assert!(
        refused.error.contains("cannot be trusted: invalid peer certificate"),
        "{}",
        refused.error
    );
    assert!(refused.error.contains("--ca-file"), "{}", refused.error);
    assert_eq!(run(&environment, &format!("consumers list {trusted}")).code, Some(0));
    // In clear to a port that speaks TLS.
    let clear = url.replace("https:", "http:");
    let (ended, checks) = checks(&[("MPGATE_URL", &clear), ("MPGATE_TOKEN", "mpt_a")], "");
    assert_eq!(ended, Some(1), "{checks:?}");
}

#[test]
fn when_controls_certificate_ends_is_told() {
    let directory = Directory::new();
    let authority = Authority::new(directory.path()).expect("an authority");
    let token_file = directory.join("admin-token").display().to_string();
    let flags = format!("--ca-file {}", authority.certificate_file().display());
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = |days: i32| today.saturating_add(jiff::Span::new().days(days));
    for (end, code, result, words) in [
        (day(60), 0, "ok", "is believed until "),
        (day(15), 0, "ok", "is believed until "),
        (day(14), 0, "warn", "it ends within 14 days"),
        (day(1), 0, "warn", "it ends within 14 days"),
        (day(-1), 1, "fail", "ended at "),
        (jiff::civil::date(9999, 12, 31), 0, "ok", "its certificate is believed"),
    ] {
        let parts = [end.year(), end.month().into(), end.day().into()];
        let parts = parts.map(|part| u16::try_from(part).expect("a date"));
        let issued = authority.issue_until("localhost", "control", parts).expect("a certificate");
        let mut command = serve(&directory);
        command.arg("--tls-certificate").arg(&issued.certificate);
        command.arg("--tls-private-key").arg(&issued.key);
        let control = Control::start_as(&directory, &mut command);
        let url = control.url.replace("127.0.0.1", "localhost");
        let environment = [("MPGATE_URL", url.as_str()), ("MPGATE_TOKEN_FILE", &token_file)];
        let (ended, checks) = checks(&environment, &flags);
        assert_eq!(ended, Some(code), "{end}: {checks:?}");
        let listed = run(&environment, &format!("consumers list {flags}"));
        let is_told = listed.error.contains(&format!("ended at {end}T00:00:00Z; renew it"));
        assert_eq!((listed.code == Some(4), is_told), (code == 1, code == 1), "{}", listed.error);
        let tls = checks.iter().find(|(name, _, _)| name == "control: TLS");
        let (_, told, found) = tls.unwrap_or_else(|| panic!("{end}: {checks:?}"));
        assert!(told == result && found.contains(words), "{end}: {checks:?}");
        assert_eq!(found.contains(&format!("{end}T00:00:00Z")), end.year() < 9999, "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_token_ends_is_told() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    for (role, days, result, words) in [
        ("viewer", None, None, ""),
        ("viewer", Some(15), Some("ok"), "in force until "),
        ("viewer", Some(13), Some("warn"), "it ends within 14 days"),
        ("gateway", Some(13), Some("warn"), "it ends within 14 days"),
        ("gateway", Some(15), Some("ok"), "in force until "),
    ] {
        let end = days.map(|days| {
            let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(days * 24);
            jiff::Timestamp::from_second(end.as_second()).expect("a time").to_string()
        });
        let body = serde_json::json!({"role": role, "expireTime": end});
        let created = control.post("/v1/principals", body).await.done();
        let token = created["token"].as_str().expect("a token");
        let environment = [("MPGATE_URL", control.url.as_str()), ("MPGATE_TOKEN", token)];
        let (ended, checks) = checks(&environment, "");
        assert_eq!(ended, Some(0), "{checks:?}");
        let found = checks.iter().find(|(name, _, _)| name == "control: token end");
        assert_eq!(found.map(|(_, result, _)| result.as_str()), result, "{checks:?}");
        let told = found.map(|(_, _, found)| found.as_str()).unwrap_or_default();
        assert!(told.contains(words) && told.contains(&end.unwrap_or_default()), "{checks:?}");
    }
}

const MISSING: &str = r#"{"type":"urn:x-mpgate:reason:missing_secret"}"#;
const UNKNOWN_PATH: &str = r#"{"type":"urn:x-mpgate:reason:unknown_path"}"#;

#[test]
fn who_answers_in_a_gates_place_is_told() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let environment = [("MPGATE_URL", control.url.as_str()), ("MPGATE_TOKEN", &control.admin)];
    let collect = "/debug/mp/collect";
    let valid = r#"{"validationMessages":[]}"#;
    for (answers, result, words) in [
        (&[(collect, 401, MISSING)][..], "ok", "it is in the way"),
        (&[(collect, 503, r#"{"type":"urn:x-mpgate:reason:no_list"}"#)], "fail", "has no list yet"),
        (
            &[(collect, 429, r#"{"type":"urn:x-mpgate:reason:rate_limited"}"#)],
            "warn",
            "limit of rate",
        ),
        (&[(collect, 403, "RBAC: access denied")], "fail", "the tripwire answered"),
        (&[(collect, 200, valid)], "fail", "the gate is NOT in the way"),
        (&[(collect, 204, "")], "fail", "the gate is NOT in the way"),
        (
            &[(collect, 200, valid), ("/MP/collect", 404, UNKNOWN_PATH)],
            "warn",
            "without a secret have 200",
        ),
        (&[(collect, 401, "")], "fail", "is no gate"),
        (&[(collect, 503, "")], "fail", "no gate does"),
        (&[], "fail", "is no gate"),
    ] {
        let server = answering(answers);
        let (code, checks) = checks(&environment, &format!("--gate {}", url_of(&server)));
        let (name, told, found) = checks.last().expect("a check");
        assert_eq!((name.as_str(), told.as_str()), ("gate", result), "{checks:?}");
        assert!(found.contains(words), "{words}: {found}");
        assert_eq!(code, Some(i32::from(result == "fail")), "{checks:?}");
    }
    let status = r#"{"gate":"edge","version":"0.1.0","revision":7,"ready":true,"stale":false,
        "entries":{"keys":3,"streams":2}}"#;
    let server = answering(&[("/mpgate/status", 200, status)]);
    let page = url_of(&server);
    let closed = closed();
    for (flags, result, words) in [
        (format!("--gate {closed}"), "fail", "there is no gate"),
        (format!("--status {closed}"), "fail", "nothing answers"),
        (format!("--status {page}"), "ok", "revision 7, 3 keys, 2 streams"),
        (format!("--status {page}/other"), "fail", "is no status page"),
        (format!("--upstream {page}"), "ok", "answers (404)"),
        (format!("--upstream {closed}"), "fail", "cannot be reached"),
    ] {
        let (_, checks) = checks(&environment, &flags);
        let (_, told, found) = checks.last().expect("a check");
        assert!(told == result && found.contains(words), "{flags}: {checks:?}");
    }
    assert_eq!(run(&environment, "doctor --gate nonsense").code, Some(2));
}
