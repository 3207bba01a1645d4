//! The words that the command line takes where the API has an enum: completed by shells, shown in help,
//! and refused before control is asked.

use clap::ValueEnum;
use serde_json::Value;

/// Of a stream.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Environment {
    /// What counts.
    Production,
    /// Before it counts.
    Staging,
    /// At a developer's desk.
    Development,
}

/// What is done about what is not right.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Mode {
    /// Not judged.
    Off,
    /// Judged, counted and forwarded.
    #[value(name = "dry_run")]
    DryRun,
    /// Refused.
    Enforce,
    /// As the gate's configuration says.
    Default,
}

/// Of a principal.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Role {
    /// Everything.
    Admin,
    /// Streams and keys of its consumers.
    Owner,
    /// Looks at its consumers, and changes nothing.
    Viewer,
    /// Posts its consumers' totals (`mpgate reconcile`), and does nothing else.
    Reporter,
    /// Reads the allowlist's changes.
    Gateway,
}

/// The word of the API, which is the word of the command line.
pub(super) fn word<W: ValueEnum + Copy>(value: W) -> Value {
    value.to_possible_value().map(|value| value.get_name().to_owned()).into()
}

impl Mode {
    /// `null` for the gate's own.
    pub(super) fn member(self) -> Value {
        match self {
            Self::Default => Value::Null,
            mode => word(mode),
        }
    }
}
