//! Where control is, who calls it and how to print: by flag, else by environment, else by the
//! configuration file. Each setting remembers where it came from, so that an error can name the place.
//!
//! A token is in none of the three but `MPGATE_TOKEN`: arguments are seen by every user of the machine,
//! and configuration files are shown around.

use core::fmt;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum as _};
use mpgate_contract::ConsumerId;
use serde::Deserialize;
use toml::Spanned;

use super::CliError;
use super::output::Format;

const DEFAULT_URL: &str = "http://127.0.0.1:8430";

/// The flags of everything that calls control.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Where control is [env: `MPGATE_URL`] [default: `http://127.0.0.1:8430`]
    #[arg(long, global = true, help_heading = HEADING, value_name = "URL")]
    url: Option<String>,
    /// A file that holds the token [env: `MPGATE_TOKEN`, the token itself, or `MPGATE_TOKEN_FILE`]
    #[arg(long, global = true, help_heading = HEADING, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates (PEM) to trust beside the system's, for https [env: `MPGATE_CA_FILE`]
    #[arg(long, global = true, help_heading = HEADING, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Call a control elsewhere by http although the token travels in clear
    /// [env: `MPGATE_ALLOW_PLAINTEXT_ON_THE_NETWORK`]
    #[arg(long, global = true, help_heading = HEADING)]
    allow_plaintext_on_the_network: bool,
    #[command(flatten)]
    printing: Printing,
}

/// The flags of everything that prints, offline too.
#[derive(Debug, Args)]
pub(super) struct Printing {
    /// A file of settings: `url`, `token_file`, `ca_file`, `consumer`, `output`
    /// [env: `MPGATE_CONFIG`] [default: ~/.config/mpgate/config.toml]
    #[arg(long, global = true, help_heading = HEADING, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A table for people, or JSON for programs [env: `MPGATE_OUTPUT`] [default: table]
    #[arg(long, global = true, help_heading = HEADING, value_enum)]
    output: Option<Format>,
}

const HEADING: &str = "Connection options";

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The command line.
    Flag(&'static str),
    /// The environment.
    Variable(&'static str),
    /// A member of the configuration file.
    File(&'static str, PathBuf),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => out.write_str(name),
            Self::File(member, path) => write!(out, "{member} in {}", path.display()),
            Self::Default => out.write_str("the default"),
        }
    }
}

/// A setting, and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Set<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

/// All settings, as the three places give them.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) url: Set<String>,
    /// Files that were named as holding the token; `MPGATE_TOKEN` is read where it is used.
    pub(super) token_file: Option<Set<PathBuf>>,
    pub(super) ca_file: Option<Set<PathBuf>>,
    pub(super) consumer: Option<ConsumerId>,
    pub(super) output: Format,
    pub(super) allow_plaintext_on_the_network: bool,
}

/// The configuration file as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    url: Option<String>,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    consumer: Option<Spanned<String>>,
    output: Option<Format>,
}

/// What is wrong with a configuration file, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) what: String,
}

impl Options {
    pub(super) fn read(&self) -> Result<Settings, CliError> {
        let file = self.printing.file()?;
        let written = |member: &'static str| Origin::File(member, file.path.clone());
        let given = |flag: &'static str, value: &Option<PathBuf>| {
            value.clone().map(|value| Set { value, origin: Origin::Flag(flag) })
        };
        let named = |name: &'static str| {
            variable(name).map(|value| Set { value: value.into(), origin: Origin::Variable(name) })
        };
        let in_file = |member: &'static str, path: &Option<PathBuf>| {
            path.as_deref().map(|path| Set { value: file.resolve(path), origin: written(member) })
        };
        let url = match &self.url {
            Some(url) => Set { value: url.clone(), origin: Origin::Flag("--url") },
            None => match (variable("MPGATE_URL"), &file.written.url) {
                (Some(value), _) => Set { value, origin: Origin::Variable("MPGATE_URL") },
                (None, Some(url)) => Set { value: url.clone(), origin: written("url") },
                (None, None) => Set { value: DEFAULT_URL.to_owned(), origin: Origin::Default },
            },
        };
        let allowed = variable("MPGATE_ALLOW_PLAINTEXT_ON_THE_NETWORK");
        Ok(Settings {
            url,
            token_file: given("--token-file", &self.token_file)
                .or_else(|| named("MPGATE_TOKEN_FILE"))
                .or_else(|| in_file("token_file", &file.written.token_file)),
            ca_file: given("--ca-file", &self.ca_file)
                .or_else(|| named("MPGATE_CA_FILE"))
                .or_else(|| in_file("ca_file", &file.written.ca_file)),
            consumer: consumer(&file)?,
            output: self.printing.choose(&file)?,
            allow_plaintext_on_the_network: self.allow_plaintext_on_the_network
                || allowed.is_some_and(|word| {
                    !matches!(&*word.to_lowercase(), "0" | "n" | "no" | "f" | "false" | "off")
                }),
        })
    }
}

impl Printing {
    /// How to print, for what needs nothing else.
    pub(super) fn format(&self) -> Result<Format, CliError> {
        self.choose(&self.file()?)
    }

    fn choose(&self, file: &File) -> Result<Format, CliError> {
        if let Some(format) = self.output {
            return Ok(format);
        }
        match variable("MPGATE_OUTPUT") {
            Some(word) => Format::from_str(&word, false).map_err(|_| {
                CliError::Usage(format!("MPGATE_OUTPUT is {word:?}, but has to be table or json"))
            }),
            None => Ok(file.written.output.unwrap_or(Format::Table)),
        }
    }

    /// Reads the configuration file. That there is none is fine where nobody named it.
    fn file(&self) -> Result<File, CliError> {
        let named = self.config.clone().or_else(|| variable("MPGATE_CONFIG").map(PathBuf::from));
        let Some(path) = named.clone().or_else(default_path) else { return Ok(File::default()) };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {
                return Ok(File::default());
            }
            Err(error) => {
                let what = format!("cannot read the configuration {}: {error}", path.display());
                return Err(CliError::Usage(what));
            }
        };
        let written = parse(&text).map_err(|fault| {
            CliError::Usage(format!("{}:{}: {}", path.display(), fault.line, fault.what))
        })?;
        Ok(File { path, written })
    }
}

/// A configuration file and where it is.
#[derive(Default)]
struct File {
    path: PathBuf,
    written: Written,
}

impl File {
    /// A path in the file starts where the file is, or at home.
    fn resolve(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), variable("HOME")) {
            (Ok(rest), Some(home)) => Path::new(&home).join(rest),
            _ => self.path.parent().unwrap_or(Path::new("")).join(path),
        }
    }
}

/// The consumer that is meant where none is named.
fn consumer(file: &File) -> Result<Option<ConsumerId>, CliError> {
    let (text, place) = match (variable("MPGATE_CONSUMER"), &file.written.consumer) {
        (Some(text), _) => (text, "MPGATE_CONSUMER".to_owned()),
        (None, Some(text)) => (text.get_ref().clone(), file.path.display().to_string()),
        (None, None) => return Ok(None),
    };
    let id = ConsumerId::parse(&text);
    id.map(Some).map_err(|error| CliError::Usage(format!("{place}: {error}")))
}

/// `$XDG_CONFIG_HOME/mpgate/config.toml`, or the same under `~/.config`.
fn default_path() -> Option<PathBuf> {
    let xdg = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = xdg.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".config")))?;
    Some(base.join("mpgate").join("config.toml"))
}

/// An environment variable that is there and not empty.
pub(super) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether this is a configuration file of the command line, and if not, why.
pub(super) fn check(text: &str) -> Result<(), Fault> {
    parse(text).map(drop)
}

fn parse(text: &str) -> Result<Written, Fault> {
    let line_at = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    // The error's own text would repeat the line, and with it perhaps a token that was put there.
    let written: Written = toml::from_str(text).map_err(|error| {
        let message = error.message().trim().replace('\n', "; ");
        let hint = if message.contains("`token`") {
            "; a token is never in this file: put it into a file of its own and name that in token_file"
        } else {
            ""
        };
        let line = error.span().map_or(1, |span| line_at(span.start));
        Fault { line, what: format!("{message}{hint}") }
    })?;
    if let Some(consumer) = &written.consumer {
        ConsumerId::parse(consumer.get_ref()).map_err(|error| Fault {
            line: line_at(consumer.span().start),
            what: format!("consumer: {error}"),
        })?;
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_its_line_and_never_the_value() {
        let good = "url = \"https://control.example\"\noutput = \"json\"\nconsumer = \"acme\"\n\
            token_file = \"t\"\nca_file = \"c\"\n";
        assert_eq!(check(good), Ok(()));
        for (text, line, word) in [
            ("colour = 1", 1, "unknown field `colour`, expected one of `url`"),
            ("url = \"x\"\n\ntoken = \"mpt_canary\"", 3, "put it into a file of its own"),
            ("url = \"x\"\nurl = \"y\"", 2, "duplicate key"),
            ("url = 5", 1, "expected a string"),
            ("consumer = \"Acme\"", 1, "a consumer id is"),
            ("output = \"xml\"", 1, "unknown variant `xml`"),
            ("mpt_canary", 1, "expected"),
            ("[url]\n", 1, "expected a string"),
        ] {
            let fault = check(text).expect_err(text);
            assert_eq!(fault.line, line, "{text}: {fault:?}");
            assert!(fault.what.contains(word), "{text}: {fault:?}");
            assert!(!fault.what.contains("canary"), "{text}: {fault:?}");
        }
    }
}
