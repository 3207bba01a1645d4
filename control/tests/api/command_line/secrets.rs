//! A secret is shown once: to a terminal, into a new private file, or where somebody asked for it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::run;
use super::terminal::Terminal;
use crate::harness::{Control, Directory};

const KEY: &str = "keys create --consumer acme --sender crm --stream G-A";
const PRINCIPAL: &str = "principals create --role gateway";

fn with_a_stream(directory: &Directory) -> Control {
    let control = Control::start(directory);
    let environment = [("MPGATE_URL", control.url.as_str()), ("MPGATE_TOKEN", &control.admin)];
    for setting in [
        "consumers create acme",
        "streams create G-A --consumer acme --environment production --upstream-secret none",
    ] {
        assert_eq!(run(&environment, setting).code, Some(0));
    }
    control
}

/// How many keys and principals there are.
fn issued(environment: &[(&str, &str)]) -> (usize, usize) {
    let count = |line| run(environment, line).out.lines().count();
    (count("keys list --consumer acme --show-deleted"), count("principals list --show-deleted"))
}

#[test]
fn secrets_go_to_new_private_files() {
    let directory = Directory::new();
    let control = with_a_stream(&directory);
    let environment = [("MPGATE_URL", control.url.as_str()), ("MPGATE_TOKEN", &control.admin)];
    for (line, option, prefix) in
        [(KEY, "--secret-file", "mpg_"), (PRINCIPAL, "--token-to", "mpt_")]
    {
        for output in ["table", "json"] {
            let file = directory.join(&format!("{prefix}{output}"));
            let line = format!("{line} {option} {} --output {output}", file.display());
            let ran = run(&environment, &line);
            assert_eq!((ran.code, ran.error.as_str()), (Some(0), ""));
            let secret = fs::read_to_string(&file).expect("the file");
            assert!(secret.starts_with(prefix) && secret.trim() == secret);
            assert!(!ran.out.contains(&secret), "{}", ran.out);
            let mode = fs::metadata(&file).expect("the file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            // Not overwritten, and nothing is created for nothing.
            let before = issued(&environment);
            let again = run(&environment, &line);
            assert_eq!(again.code, Some(2), "{}", again.error);
            assert_eq!(fs::read_to_string(&file).ok(), Some(secret));
            assert_eq!(issued(&environment), before);
        }
    }
}

#[test]
fn a_pipe_gets_a_secret_only_when_somebody_says_so() {
    let directory = Directory::new();
    let control = with_a_stream(&directory);
    let environment = [("MPGATE_URL", control.url.as_str()), ("MPGATE_TOKEN", &control.admin)];
    let nowhere = directory.join("no-such-directory/secret").display().to_string();
    for (line, option, prefix) in
        [(KEY, "--secret-file", "mpg_"), (PRINCIPAL, "--token-to", "mpt_")]
    {
        let before = issued(&environment);
        for output in ["table", "json"] {
            let line = format!("{line} --output {output}");
            let refused = run(&environment, &line);
            assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""), "{line}");
            for word in [option, "--show-secret", "Nothing was issued"] {
                assert!(refused.error.contains(word), "{word}: {}", refused.error);
            }
        }
        let refused = run(&environment, &format!("{line} {option} {nowhere}"));
        assert_eq!(refused.code, Some(2), "{}", refused.error);
        assert!(refused.error.contains("nothing was issued"), "{}", refused.error);
        assert_eq!(issued(&environment), before, "{line}");
        for output in ["table", "json"] {
            let shown = run(&environment, &format!("{line} --show-secret --output {output}"));
            assert_eq!((shown.code, shown.out.matches(prefix).count()), (Some(0), 1), "{line}");
        }
    }
    // What control refuses leaves no empty file behind.
    let file = directory.join("refused");
    let line = format!("{KEY} --stream G-NONE --secret-file {}", file.display());
    assert_eq!(run(&environment, &line).code, Some(1));
    assert!(!file.exists());
}

#[test]
fn a_terminal_gets_secrets_and_colour() {
    let directory = Directory::new();
    let control = with_a_stream(&directory);
    let url = ("MPGATE_URL", control.url.as_str());
    let token = ("MPGATE_TOKEN", control.admin.as_str());
    let environment = [url, token];
    let on_a_terminal = |environment: &[(&str, &str)], line: &str| {
        Terminal::start(environment, line, (200, 50)).ended()
    };
    for (line, prefix) in [(KEY, "mpg_"), (PRINCIPAL, "mpt_")] {
        for output in ["table", "json"] {
            let (code, shown) = on_a_terminal(&environment, &format!("{line} --output {output}"));
            assert_eq!((code, shown.matches(prefix).count()), (Some(0), 1), "{line}: {shown}");
        }
    }
    let green = "\u{1b}[32mACTIVE\u{1b}[0m";
    let list = "keys list --consumer acme";
    assert_eq!(on_a_terminal(&environment, list).1.matches(green).count(), 2);
    let (code, red) = on_a_terminal(&environment, "consumers get nobody");
    assert_eq!(code, Some(1));
    let begin = "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m There is no such";
    assert!(red.contains(begin), "{red:?}");
    // Not where it was asked for nowhere, and not in a pipe.
    let plain = [url, token, ("NO_COLOR", "1")];
    for out in [on_a_terminal(&plain, list).1, run(&environment, list).out] {
        assert!(out.contains("ACTIVE") && !out.contains('\u{1b}'), "{out:?}");
    }
}
