//! What cannot run here says so and is left out, or fails where nothing may be left out.

use std::env;
use std::io::Write as _;

use anyhow::{Result, bail};

/// `deny`: whatever would be left out fails. A CI that has all the tools sets it.
const VARIABLE: &str = "MPGATE_SKIPS";

/// Says on standard error that something is left out, and why.
///
/// # Errors
/// `MPGATE_SKIPS=deny`.
pub fn skip(what: &str, why: &str) -> Result<()> {
    let line = line(env::var(VARIABLE).ok().as_deref(), what, why)?;
    // Not by a macro: the output of a test that passes is not shown.
    writeln!(std::io::stderr(), "{line}")?;
    Ok(())
}

fn line(setting: Option<&str>, what: &str, why: &str) -> Result<String> {
    match setting {
        None | Some("" | "allow") => Ok(format!("SKIPPED {what}: {why}")),
        Some("deny") => bail!("{what} would be skipped, which {VARIABLE}=deny forbids: {why}"),
        Some(other) => bail!("{VARIABLE} is {other:?}, but has to be allow or deny"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_said_and_fails_where_that_is_forbidden() {
        let told = |setting| line(setting, "the fleet", "no 'ip'").map_err(|it| it.to_string());
        for setting in [None, Some(""), Some("allow")] {
            assert_eq!(told(setting), Ok("SKIPPED the fleet: no 'ip'".to_owned()));
        }
        let forbidden = told(Some("deny")).expect_err("a failure");
        assert!(forbidden.contains("the fleet") && forbidden.ends_with("no 'ip'"), "{forbidden}");
        assert!(told(Some("dney")).is_err(), "a mistake would let all pass");
    }
}
