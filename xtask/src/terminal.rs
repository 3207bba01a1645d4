//! Colour where a person looks on, plain text everywhere else (<https://no-color.org>).

use std::io::IsTerminal as _;

/// Whether to colour.
#[derive(Clone, Copy)]
pub(crate) struct Terminal {
    colour: bool,
}

impl Terminal {
    pub(crate) fn detect() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: std::io::stdout().is_terminal() && !refused }
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_an_addition() {
        let (plain, coloured) = (Terminal { colour: false }, Terminal { colour: true });
        assert_eq!(plain.good("ok"), "ok");
        assert_eq!(coloured.good("ok"), "\u{1b}[32mok\u{1b}[0m");
    }
}
