//! `mpgate completion`: what a shell needs to complete the command line.

use clap::{Args, ValueEnum};

use super::CliError;
use super::output;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mpgate completion bash > ~/.local/share/bash-completion/completions/mpgate
  mpgate completion zsh > ~/.zfunc/_mpgate
  mpgate completion fish > ~/.config/fish/completions/mpgate.fish")]
pub(super) struct CompletionArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(arguments: &CompletionArgs, command: &mut clap::Command) -> Result<(), CliError> {
    let shell = match arguments.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "mpgate", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
