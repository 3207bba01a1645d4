//! The environment of the control service, `NAME=VALUE` in lines, read by what reads it when the service
//! starts: the command line of `serve`.

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command};
use core::net::SocketAddr;

use super::finding::Finding;

const PLACE: &str = "environment of mpgate serve";

/// What the command line reads, and `serve` does not.
const OF_THE_COMMAND_LINE: [&str; 7] = [
    "MPGATE_URL",
    "MPGATE_TOKEN",
    "MPGATE_TOKEN_FILE",
    "MPGATE_CA_FILE",
    "MPGATE_CONSUMER",
    "MPGATE_OUTPUT",
    "MPGATE_CONFIG",
];

/// Checks each line by itself, and then all of them together.
pub(super) fn check(text: &str, serve: &Command) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut flags = Vec::new();
    for (line, content) in text.lines().enumerate() {
        let line = line + 1;
        let content = content.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let Some((name, value)) = content.split_once('=') else {
            let fault = Finding::fault(line, PLACE, "this is no NAME=VALUE");
            findings.push(fault.next("one variable in a line; comments begin with #"));
            continue;
        };
        let (name, value) = (name.trim(), unquoted(value.trim()));
        if !name.starts_with("MPGATE_") || OF_THE_COMMAND_LINE.contains(&name) {
            continue;
        }
        match flag(serve, name, value) {
            None => {
                let fault = Finding::fault(line, PLACE, format!("{name} is read by nobody"));
                findings.push(fault.next("`mpgate serve --help` names the variables that are"));
            }
            Some(flag) => {
                findings.extend(parse(serve, &flag).err().and_then(|error| {
                    let of_one = [ErrorKind::ValueValidation, ErrorKind::InvalidValue];
                    of_one.contains(&error.kind()).then(|| fault(line, &error))
                }));
                flags.extend(flag);
            }
        }
    }
    if findings.is_empty() {
        match parse(serve, &flags) {
            Ok(matches) => findings.extend(in_clear(&matches)),
            Err(error) => findings.push(fault(1, &error)),
        }
    }
    findings
}

/// The variable as the flag it stands for; nothing for a variable that no flag has.
fn flag(serve: &Command, name: &str, value: &str) -> Option<Vec<String>> {
    let has_it = |flag: &&Arg| flag.get_env().is_some_and(|env| env == name);
    let flag = serve.get_arguments().find(has_it)?;
    let long = flag.get_long()?;
    if flag.get_action().takes_values() {
        return Some(vec![format!("--{long}={value}")]);
    }
    let is_set = !matches!(&*value.to_lowercase(), "" | "0" | "n" | "no" | "f" | "false" | "off");
    Some(is_set.then(|| format!("--{long}")).into_iter().collect())
}

fn parse(serve: &Command, flags: &[String]) -> Result<ArgMatches, clap::Error> {
    // Only what stands in the file counts, not this process's environment.
    let bare = serve.clone().mut_args(|flag| flag.env(None::<&str>));
    bare.try_get_matches_from(["serve"].into_iter().map(str::to_owned).chain(flags.iter().cloned()))
}

fn fault(line: usize, error: &clap::Error) -> Finding {
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let told: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    let what = told
        .join(" ")
        .trim_start_matches("error: ")
        .replace(" For more information, try '--help'.", "");
    Finding::fault(line, PLACE, what).next("`mpgate serve --help` has the values")
}

/// What `serve` itself refuses to do.
fn in_clear(matches: &ArgMatches) -> Option<Finding> {
    let address = matches.get_one::<SocketAddr>("listen")?;
    let has = |id: &str| matches.try_contains_id(id).unwrap_or(false);
    let is_allowed = matches.get_flag("allow_plaintext_on_the_network");
    let what =
        format!("{address} can be reached from other machines, and tokens would travel in clear");
    let fault = Finding::fault(1, PLACE, what);
    let next =
        "set MPGATE_TLS_CERTIFICATE and MPGATE_TLS_PRIVATE_KEY, or MPGATE_LISTEN=127.0.0.1:8430";
    (!address.ip().is_loopback() && !is_allowed && !has("tls_certificate"))
        .then(|| fault.next(next))
}

fn unquoted(value: &str) -> &str {
    let between = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    between('"').or_else(|| between('\'')).unwrap_or(value)
}
