//! What a run needs outside of the target directory: directories of files, and network namespaces (`hosts`).
//!
//! Whoever is killed takes nothing away. So a name says which process it belongs to, and the next run removes what
//! belongs to one that is gone. A number that somebody else has by then keeps it for one more run.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

use anyhow::Result;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

/// A directory of one's own, which goes when it is dropped, or else with the next run.
///
/// # Errors
/// It cannot be made.
pub fn directory() -> Result<TempDir> {
    remove_once();
    let prefix = format!("{DIRECTORIES}{}-", std::process::id());
    Ok(tempfile::Builder::new().prefix(&prefix).tempdir()?)
}

/// What the names of directories begin with. A process's number and a dash follow.
const DIRECTORIES: &str = "mpgate-";

/// What the names of namespaces begin with. A process's number and an `x` follow: names of interfaces are short.
pub(crate) const NAMESPACES: &str = "mpg";

/// Removes what is left of runs that were killed, the first time it is called.
pub(crate) fn remove_once() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Of what belongs to another user nothing goes, and there is nobody to tell.
        for name in left_in(&std::env::temp_dir(), DIRECTORIES, '-') {
            let _gone = fs::remove_dir_all(std::env::temp_dir().join(name));
        }
        for name in left_in(Path::new("/run/netns"), NAMESPACES, 'x') {
            let _gone = Command::new("ip").args(["netns", "del", &name]).output();
        }
    });
}

fn left_in(parent: &Path, prefix: &str, behind: char) -> Vec<String> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_left = |name: &String| owner(name, prefix, behind).is_some_and(is_gone);
    names.filter(is_left).collect()
}

/// The process that a name says.
fn owner(name: &str, prefix: &str, behind: char) -> Option<Pid> {
    let (number, _) = name.strip_prefix(prefix)?.split_once(behind)?;
    Pid::from_raw(number.parse().ok()?)
}

fn is_gone(process: Pid) -> bool {
    test_kill_process(process) == Err(Errno::SRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_whose_they_are() {
        for (name, number) in [
            ("mpgate-17-aB3dE", Some(17)),
            ("mpgate-17-postgres", Some(17)),
            ("mpgate-17", None),
            ("mpgate--1-x", None),
            ("mpgate-0-x", None),
            ("mpgate-99999999999-x", None),
            ("mpgate-notes-1-x", None),
            ("other-17-x", None),
        ] {
            assert_eq!(owner(name, DIRECTORIES, '-').map(Pid::as_raw_pid), number, "{name}");
        }
        assert_eq!(owner("mpg17x0-switch", NAMESPACES, 'x').map(Pid::as_raw_pid), Some(17));
        assert_eq!(owner("mpgate-17-x", NAMESPACES, 'x'), None);
    }

    #[test]
    fn what_belongs_to_a_process_that_is_gone_is_found() {
        let parent = tempfile::tempdir().expect("a directory");
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn();
        let child = child.as_mut().expect("a process");
        let (of_child, of_us) =
            (format!("mpgate-{}-x", child.id()), format!("mpgate-{}-x", std::process::id()));
        for name in [&*of_child, &of_us, "mpgate-x-x"] {
            fs::create_dir(parent.path().join(name)).expect("a directory");
        }
        let left = || left_in(parent.path(), DIRECTORIES, '-');
        assert_eq!(left(), Vec::<String>::new());
        child.kill().expect("its end");
        child.wait().expect("its end");
        assert_eq!(left(), [of_child]);
    }
}
