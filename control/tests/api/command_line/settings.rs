//! Settings by flag, else by environment, else from the configuration file; and where a token may travel.

use std::fs;

use serde_json::Value;

use super::run;
use crate::harness::{Control, Directory};

/// Environment, arguments, exit status, and whether what came is JSON.
type Row<'a> = (&'a [(&'a str, &'a str)], String, i32, bool);

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_file() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let home = directory.path().display().to_string();
    let url = control.url.as_str();
    let closed = "http://127.0.0.1:1";
    // Under XDG_CONFIG_HOME, under HOME, and one that is named.
    for folder in ["xdg/mpgate", ".config/mpgate"] {
        fs::create_dir_all(directory.join(folder)).expect("a folder");
    }
    let write = |name: &str, text: String| fs::write(directory.join(name), text).expect("a file");
    let token = "token_file = \"~/admin-token\"\n";
    write(".config/mpgate/config.toml", format!("url = \"{url}\"\n{token}consumer = \"acme\"\n"));
    write("xdg/mpgate/config.toml", format!("url = \"{closed}\"\n{token}"));
    write(
        "named.toml",
        format!("url = \"{url}\"\ntoken_file = \"admin-token\"\noutput = \"json\""),
    );
    let xdg = format!("{home}/xdg");
    let named = format!("{home}/named.toml");
    let by_home = ("HOME", home.as_str());
    let by_xdg = ("XDG_CONFIG_HOME", xdg.as_str());
    let away = ("MPGATE_URL", closed);
    let list = "consumers list";
    let rows: &[Row] = &[
        (&[by_home], list.into(), 0, false),
        (&[by_home, by_xdg], list.into(), 4, false),
        (&[by_home, away], list.into(), 4, false),
        (&[by_home, away], format!("{list} --url {url}"), 0, false),
        (&[by_home, away, ("MPGATE_URL", "")], list.into(), 0, false),
        (&[by_home, ("XDG_CONFIG_HOME", "relative")], list.into(), 0, false),
        (&[by_home, by_xdg], format!("{list} --config {named}"), 0, true),
        (&[by_home, by_xdg, ("MPGATE_CONFIG", &named)], list.into(), 0, true),
        (&[("MPGATE_CONFIG", &named)], format!("{list} --output table"), 0, false),
        (&[("MPGATE_CONFIG", &named), ("MPGATE_OUTPUT", "table")], list.into(), 0, false),
        (&[by_home, ("MPGATE_OUTPUT", "json")], list.into(), 0, true),
        (&[by_home, ("MPGATE_OUTPUT", "xml")], list.into(), 2, false),
        (&[by_home], format!("{list} --config {home}/none.toml"), 2, false),
    ];
    for (environment, line, code, is_json) in rows {
        let ran = run(environment, line);
        assert_eq!(ran.code, Some(*code), "{environment:?} {line}: {}", ran.error);
        let parsed = serde_json::from_str::<Value>(&ran.out);
        assert_eq!(parsed.is_ok(), *is_json, "{environment:?} {line}: {}", ran.out);
    }
    // The consumer too: the file's, the environment's, the flag's.
    for consumer in ["acme", "beta", "gamma"] {
        assert_eq!(run(&[by_home], &format!("consumers create {consumer}")).code, Some(0));
        let stream = format!("G-{}", consumer.to_uppercase());
        let line = format!("streams create {stream} --consumer {consumer}");
        let line = format!("{line} --environment production --upstream-secret none");
        assert_eq!(run(&[by_home], &line).code, Some(0));
    }
    let beta = ("MPGATE_CONSUMER", "beta");
    for (environment, line, stream) in [
        (&[by_home][..], "streams list", "G-ACME"),
        (&[by_home, beta], "streams list", "G-BETA"),
        (&[by_home, beta], "streams list --consumer gamma", "G-GAMMA"),
        (&[by_home, beta], "streams get measurementConsumers/gamma/dataStreams/G-GAMMA", "G-GAMMA"),
        (&[by_home, beta], "streams get G-BETA", "G-BETA"),
    ] {
        let ran = run(environment, line);
        assert_eq!(ran.code, Some(0), "{line}: {}", ran.error);
        assert!(ran.out.contains(stream), "{line}: {}", ran.out);
        assert_eq!(ran.out.matches("G-").count(), 1, "{line}: {}", ran.out);
    }
}

#[test]
fn a_configuration_that_is_wrong_names_file_and_line() {
    let directory = Directory::new();
    let file = directory.join("config.toml");
    let name = file.display().to_string();
    for (text, line, word) in [
        ("url = \"http://127.0.0.1:1\"\ncolour = \"red\"\n", 2, "unknown field `colour`"),
        ("\n\ntoken = \"mpt_canary\"\n", 3, "name that in token_file"),
        ("consumer = \"Acme\"\n", 1, "a consumer id is"),
        ("output = \"xml\"\n", 1, "unknown variant `xml`"),
    ] {
        fs::write(&file, text).expect("a file");
        let ran = run(&[("MPGATE_CONFIG", &name), ("MPGATE_TOKEN", "mpt_a")], "consumers list");
        assert_eq!(ran.code, Some(2), "{text}: {}", ran.error);
        assert!(ran.error.contains(&format!("{name}:{line}: ")), "{text}: {}", ran.error);
        assert!(ran.error.contains(word) && !ran.error.contains("canary"), "{}", ran.error);
    }
}

/// A token leaves this machine encrypted, or because somebody said that clear will do.
#[test]
fn a_token_does_not_travel_in_clear() {
    let clear = ("MPGATE_ALLOW_PLAINTEXT_ON_THE_NETWORK", "true");
    let flag = "--allow-plaintext-on-the-network";
    for (url, environment, flags, code, word) in [
        ("http://control.invalid", &[][..], "", 2, "would travel in clear"),
        ("http://192.0.2.1:8430", &[], "", 2, flag),
        ("http://localhost.control.invalid:1", &[], "", 2, "would travel in clear"),
        (
            "http://control.invalid",
            &[("MPGATE_ALLOW_PLAINTEXT_ON_THE_NETWORK", "false")],
            "",
            2,
            flag,
        ),
        ("http://control.invalid", &[clear], "", 4, "cannot be reached"),
        ("http://control.invalid", &[], flag, 4, "cannot be reached"),
        ("http://127.0.0.1:1", &[], "", 4, "cannot be reached"),
        ("http://[::1]:1", &[], "", 4, "cannot be reached"),
        ("http://localhost:1", &[], "", 4, "cannot be reached"),
        ("ftp://control.example", &[], "", 2, "https://"),
        ("control.example:8430", &[], "", 2, "https://"),
        ("127.0.0.1:8430", &[], "", 2, "https://control.example.com:8430"),
        ("https://user@control.example", &[], "", 2, "more than a scheme, a host and a port"),
        ("https://control.example/v1", &[], "", 2, "more than a scheme, a host and a port"),
        ("https://127.0.0.1:1", &[], "--ca-file /nonexistent", 2, "/nonexistent (--ca-file)"),
        ("https://127.0.0.1:1", &[("MPGATE_CA_FILE", "Cargo.toml")], "", 2, "has no certificate"),
    ] {
        let environment = [&[("MPGATE_URL", url), ("MPGATE_TOKEN", "mpt_canary")], environment];
        let ran = run(&environment.concat(), &format!("consumers list {flags}"));
        assert_eq!(ran.code, Some(code), "{url} {flags}: {}", ran.error);
        assert!(ran.error.contains(word), "{url} {flags}: {}", ran.error);
        assert!(!ran.error.contains("canary"), "{}", ran.error);
        assert!(
            ran.error.contains("MPGATE_URL") || word.contains("file") || word.contains("has no")
        );
    }
}
