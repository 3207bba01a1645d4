//! Each way for a command to end has its exit status, and says what to do next.

use std::fs;
use std::net::TcpListener;

use super::run;
use crate::harness::{Control, Directory, is_skipped_on_postgres, serve};

/// Environment, arguments, exit status, and a word of standard error.
type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, i32, &'a str);

#[test]
fn each_way_to_end_has_its_exit_status() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let url = control.url.as_str();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    let good = [("MPGATE_URL", url), ("MPGATE_TOKEN", control.admin.as_str())];
    let none = [("MPGATE_URL", url)];
    let away = [("MPGATE_URL", closed.as_str()), ("MPGATE_TOKEN", "mpt_any")];
    let key = "keys update 000000000000";
    let rows: &[Row] = &[
        (&good, "consumers list", 0, ""),
        (&good, "consumers get nobody", 1, "no such measurement consumer"),
        (&good, "principals delete admin", 1, "the last admin"),
        (&good, "principals create --role king --show-secret", 2, "admin"),
        (&good, "principals create --role viewer --expires-in soon --show-secret", 2, "90d"),
        (&good, "principals create --role viewer --expires-in 0s --show-secret", 1, "has passed"),
        (&good, "principals create --role viewer --expires-in 999999w", 2, "too far in the future"),
        (&good, "principals rotate admin --expires-in 30d --show-secret", 1, "last admin"),
        (&good, "principals rotate admin --expires-in 1d --no-expire-time", 2, "cannot be used"),
        (&none, "consumers list", 2, "no token; set MPGATE_TOKEN"),
        (&good, "consumers create Acme", 2, "a consumer id is"),
        (&good, "keys get 000000000000", 2, "add --consumer"),
        (&good, "keys create --consumer acme --sender crm", 2, "--stream"),
        (&good, "keys create --sender crm --stream G-A --show-secret", 2, "add --consumer"),
        (&good, "keys create --consumer a --sender a --stream G-A --expires-in soon", 2, "90d"),
        (&good, "streams update G-A --consumer acme", 2, "nothing to change"),
        (&good, &format!("{key} --consumer acme"), 2, "nothing to change"),
        (&good, &format!("{key} --nickname x"), 2, "add --consumer"),
        (&good, &format!("{key} --event * --consumer acme"), 2, "an event is a name"),
        (&good, &format!("{key} --source-network 10.0.0.1/8"), 2, "behind its prefix"),
        (&good, &format!("{key} --event a --clear-events"), 2, "cannot be used with"),
        (&good, &format!("{key} --expires-in 1d --no-expire-time"), 2, "cannot be used with"),
        (&good, &format!("{key} --sender crm"), 2, "--sender"),
        (&good, &format!("{key} --consumer acme --nickname x"), 1, "no such API key"),
        (&good, "streams update G-A --consumer acme --silent yes", 2, "true, false, default"),
        (&good, "streams update G-A --mode allow", 2, "off, dry_run, enforce, default"),
        (&good, "streams update G-A --protocol-rules x", 2, "off, dry_run, enforce, default"),
        (
            &good,
            "streams create G-A --environment prod --upstream-secret none",
            2,
            "production, staging, development",
        ),
        (&good, "completion tcsh", 2, "bash, zsh, fish"),
        (&good, "nonsense", 2, "nonsense"),
        (&away, "consumers list", 4, "is `mpgate serve` running"),
    ];
    for (environment, line, code, word) in rows {
        let ran = run(environment, line);
        assert_eq!(ran.code, Some(*code), "{line}: {}", ran.error);
        assert!(ran.error.contains(word), "{line}: {}", ran.error);
        assert_eq!(ran.error.is_empty(), *code == 0, "{line}: {}", ran.error);
        assert!(!ran.error.contains(&control.admin), "{line}");
    }
}

/// What control does not accept, or nobody can read, is named with where it came from.
#[test]
fn an_error_about_a_token_names_where_it_came_from() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (wrong, empty) = (write("wrong", "mpt_canary\n"), write("empty", " \n"));
    let (secret, other) = (write("secret", "mpg_canary"), write("other", "canary"));
    let configuration = write("config.toml", "token_file = \"wrong\"\n");
    let good = directory.join("admin-token").display().to_string();
    let variable = ("MPGATE_TOKEN", "mpt_canary");
    let rows: [Row; 10] = [
        (&[variable], "", 1, "The token came from MPGATE_TOKEN."),
        (&[("MPGATE_TOKEN_FILE", &wrong)], "", 1, &format!("from {wrong} (MPGATE_TOKEN_FILE).")),
        (&[variable], &format!("--token-file {wrong}"), 1, &format!("{wrong} (--token-file).")),
        (
            &[],
            &format!("--config {configuration}"),
            1,
            &format!("{wrong} (token_file in {configuration})."),
        ),
        // Each goes before the next.
        (&[variable], &format!("--token-file {good}"), 0, ""),
        (&[("MPGATE_TOKEN", &control.admin), ("MPGATE_TOKEN_FILE", &wrong)], "", 0, ""),
        (&[], &format!("--token-file {empty}"), 2, &format!("{empty} (--token-file) is empty")),
        (&[], "--token-file /nonexistent", 2, "cannot read the token file /nonexistent"),
        (&[], &format!("--token-file {secret}"), 2, "is a sender's secret"),
        (&[], &format!("--token-file {other}"), 2, "a token begins with mpt_"),
    ];
    for (environment, flags, code, words) in rows {
        let environment = [&[("MPGATE_URL", control.url.as_str())], environment].concat();
        let ran = run(&environment, &format!("consumers list {flags}"));
        assert_eq!(ran.code, Some(code), "{flags}: {}", ran.error);
        assert!(ran.error.contains(words), "{words}: {}", ran.error);
        assert!(!ran.error.contains("canary"), "{}", ran.error);
    }
}

#[test]
fn an_error_of_the_database_names_its_file() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let file = directory.join("mpgate.sqlite");
    fs::write(&file, "this is no database, whatever its name says").expect("a file");
    let output = serve(&directory).output().expect("mpgate runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    let named = format!("error: the database {}: ", file.display());
    assert!(error.contains(&named), "{error}");
}

#[test]
fn version_help_and_completion() {
    let version = run(&[], "--version");
    assert_eq!((version.code, version.out.as_str()), (Some(0), "mpgate 0.1.0\n"));
    let help = run(&[], "--help");
    for word in ["Exit status", "MPGATE_URL", "MPGATE_TOKEN_FILE", "Examples", "serve", "NO_COLOR"]
    {
        assert!(help.out.contains(word), "{}", help.out);
    }
    // A token in the environment is not shown as a default.
    let help = run(&[("MPGATE_TOKEN", "mpt_canary")], "keys create --help");
    assert!(help.out.contains("Examples") && !help.out.contains("canary"), "{}", help.out);
    assert!(help.out.contains("\nConnection options:\n"), "{}", help.out);
    let help = run(&[], "streams create --help");
    for word in ["production", "dry_run", "As the gate's configuration says"] {
        assert!(help.out.contains(word), "{word}: {}", help.out);
    }
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef mpgate"), ("fish", "complete -c mpgate")]
    {
        let script = run(&[], &format!("completion {shell}"));
        assert_eq!((script.code, script.error.as_str()), (Some(0), ""));
        assert!(script.out.contains(word) && script.out.contains("dry_run"), "{shell}");
    }
}
