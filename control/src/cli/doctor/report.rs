//! What was found, check by check.

use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::output::{self, Format};

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Ok,
    Warn,
    Fail,
}

impl Ending {
    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

struct Check {
    ending: Ending,
    name: &'static str,
    found: String,
    next: String,
}

/// All checks so far.
#[derive(Default)]
pub(super) struct Report(Vec<Check>);

impl Report {
    pub(super) fn ok(&mut self, name: &'static str, found: impl Into<String>) {
        self.add(Ending::Ok, name, found.into(), String::new());
    }

    pub(super) fn warn(
        &mut self,
        name: &'static str,
        found: impl Into<String>,
        next: impl Into<String>,
    ) {
        self.add(Ending::Warn, name, found.into(), next.into());
    }

    pub(super) fn fail(
        &mut self,
        name: &'static str,
        found: impl Into<String>,
        next: impl Into<String>,
    ) {
        self.add(Ending::Fail, name, found.into(), next.into());
    }

    fn add(&mut self, ending: Ending, name: &'static str, found: String, next: String) {
        self.0.push(Check { ending, name, found, next });
    }

    /// Prints all of it; a failure if a check failed.
    pub(super) fn print(&self, format: Format) -> Result<(), CliError> {
        let failed = self.0.iter().filter(|check| check.ending == Ending::Fail).count();
        if format == Format::Json {
            let checks: Vec<Value> = self.0.iter().map(Check::to_json).collect();
            output::json(&json!({"checks": checks, "failed": failed}))?;
        } else {
            let rows: Vec<_> = self.0.iter().flat_map(Check::to_rows).collect();
            output::table(&rows)?;
        }
        match failed {
            0 => Ok(()),
            1 => Err(CliError::Failed(format!("1 of {} checks failed", self.0.len()))),
            failed => Err(CliError::Failed(format!("{failed} of {} checks failed", self.0.len()))),
        }
    }
}

impl Check {
    fn to_json(&self) -> Value {
        json!({
            "check": self.name, "result": self.ending.label(), "found": self.found, "next": self.next,
        })
    }

    /// One row, and one more for what to do.
    fn to_rows(&self) -> Vec<Vec<String>> {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let mut rows = vec![row([self.ending.label(), self.name, &self.found])];
        if !self.next.is_empty() {
            rows.push(row(["", "", &format!("do: {}", self.next)]));
        }
        rows
    }
}
