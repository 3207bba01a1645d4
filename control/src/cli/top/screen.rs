//! The terminal: another screen for as long as this runs, drawn in place, and the old one given back.

use std::io::{self, Write as _};

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use rustix::termios::tcgetwinsize;

use super::board::Board;

/// To the other screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the first line; away with the rest of a line; away with all below.
const HOME: &str = "\x1b[H";
const END_OF_LINE: &str = "\x1b[K";
const END_OF_SCREEN: &str = "\x1b[J";

/// What a terminal has that does not tell.
const SIZE: (u16, u16) = (80, 24);

pub(super) struct Screen {
    is_coloured: bool,
}

impl Screen {
    pub(super) fn enter() -> io::Result<Self> {
        let mut out = io::stdout();
        let screen = Self { is_coloured: AutoStream::choice(&out) != ColorChoice::Never };
        out.write_all(ENTER.as_bytes())?;
        out.flush()?;
        Ok(screen)
    }

    pub(super) fn draw(&self, board: &Board) -> io::Result<()> {
        let (width, height) = size();
        let mut text = HOME.to_owned();
        for (number, line) in board.lines(width, height).into_iter().enumerate() {
            // Not behind the last line: that would move them all up.
            if number > 0 {
                text.push_str("\r\n");
            }
            let style = if self.is_coloured { line.style } else { Style::new() };
            let (on, off) = (style.render().to_string(), style.render_reset().to_string());
            text.extend([on.as_str(), &line.text, &off, END_OF_LINE]);
        }
        text.push_str(END_OF_SCREEN);
        let mut out = io::stdout();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout();
        // A terminal that is gone has nothing to be given back.
        out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush()).ok();
    }
}

/// Columns and lines.
fn size() -> (usize, usize) {
    let size = tcgetwinsize(io::stdout()).map(|size| (size.ws_col, size.ws_row)).ok();
    let (columns, lines) = size.filter(|size| size.0 > 0 && size.1 > 0).unwrap_or(SIZE);
    (columns.into(), lines.into())
}
