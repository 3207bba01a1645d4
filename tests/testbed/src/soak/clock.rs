//! Another time of day for one process: a small library that the loader puts before the C library's.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};

/// A day, which is what a clock is off by when a date was typed wrongly.
pub(super) const DAY: i64 = 24 * 60 * 60;

const SOURCE: &str = include_str!("clock.c");

/// Builds the library in this directory; answers the environment that sets a process's clock off by so
/// many seconds.
pub(super) fn offset(seconds: i64, directory: &Path) -> Result<Vec<(String, String)>> {
    let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
    fs::write(&source, SOURCE)?;
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut command = Command::new(&compiler);
    let built = command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).output();
    let built = built.with_context(|| format!("'{compiler}' does not run"))?;
    ensure!(built.status.success(), "clock.c: {}", String::from_utf8_lossy(&built.stderr));
    Ok(vec![
        ("LD_PRELOAD".to_owned(), library.to_string_lossy().into_owned()),
        ("SOAK_CLOCK_OFFSET_SECONDS".to_owned(), seconds.to_string()),
    ])
}

/// The moment so far from now, in RFC 3339 as control takes it.
pub(super) fn from_now(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    text(now.saturating_add_signed(seconds))
}

/// Days since 1970 to a date, by counting days from the first of March: leap days then come last.
fn text(unix: u64) -> String {
    let (days, second) = (unix / 86_400 + 719_468, unix % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) =
        (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The time of day of a program that is run with this environment.
fn shown(environment: Vec<(String, String)>) -> Result<Duration> {
    let mut command = Command::new("date");
    let told = command.arg("+%s").envs(environment).output()?;
    Ok(Duration::from_secs(String::from_utf8_lossy(&told.stdout).trim().parse()?))
}

/// Makes sure that the library works here: a clock that is not off would prove nothing.
pub(super) fn check(environment: &[(String, String)], seconds: i64) -> Result<()> {
    let is = i64::try_from(shown(environment.to_vec())?.as_secs())?;
    let was = i64::try_from(shown(Vec::new())?.as_secs())?;
    ensure!((is - was - seconds).abs() < 60, "a clock that should be off by {seconds} s is not");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
        ] {
            assert_eq!(text(unix), expected);
        }
    }

    #[test]
    fn a_process_sees_another_day() {
        let directory = crate::directory().expect("a directory");
        for seconds in [DAY, -DAY] {
            let environment = offset(seconds, directory.path()).expect("a library");
            check(&environment, seconds).expect("another day");
        }
    }
}
