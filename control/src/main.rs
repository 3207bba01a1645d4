//! The binary `mpgate`: reads the command line, runs it, answers with its exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    mpgate_control::cli::run()
}
