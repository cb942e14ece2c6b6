//! A terminal whose last line is drawn again and again.

use std::io::{self, IsTerminal, Write};

/// What a terminal has that does not say how wide it is.
const WIDTH: usize = 80;
/// Back to the first column, and everything behind it erased (ECMA-48, CR and EL).
const ERASE: &str = "\r\x1b[K";

/// The columns of standard output; `None` when it is no terminal that can draw a line again.
#[must_use]
pub fn width() -> Option<usize> {
    let stdout = io::stdout();
    let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    if is_dumb || !stdout.is_terminal() {
        return None;
    }
    let columns = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
    Some(if columns == 0 { WIDTH } else { columns })
}

/// Lines that stay, and one below them that does not.
pub struct Screen<W: Write> {
    terminal: W,
    has_last_line: bool,
}

impl<W: Write> Screen<W> {
    /// Begins at the first column.
    pub fn new(terminal: W) -> Self {
        Self {
            terminal,
            has_last_line: false,
        }
    }

    /// Adds a line that stays; the last line is gone until it is drawn again.
    ///
    /// # Errors
    ///
    /// [`io::Error`] of the terminal.
    pub fn keep(&mut self, line: &str) -> io::Result<()> {
        self.erase()?;
        writeln!(self.terminal, "{line}")?;
        self.terminal.flush()
    }

    /// Draws the last line. It must be shorter than the terminal is wide.
    ///
    /// # Errors
    ///
    /// [`io::Error`] of the terminal.
    pub fn draw(&mut self, line: &str) -> io::Result<()> {
        self.erase()?;
        write!(self.terminal, "{line}")?;
        self.has_last_line = true;
        self.terminal.flush()
    }

    fn erase(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.has_last_line) {
            write!(self.terminal, "{ERASE}")?;
        }
        Ok(())
    }
}

impl<W: Write> Drop for Screen<W> {
    /// What comes next, a message or the prompt of a shell, begins a line of its own.
    fn drop(&mut self) {
        if self.has_last_line {
            // Who has gone does not see it.
            let _ = writeln!(self.terminal).and_then(|()| self.terminal.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_goes_before_another_is_written() {
        let mut written = Vec::new();
        let mut screen = Screen::new(&mut written);
        screen.keep("Pending").unwrap();
        screen.draw("10%").unwrap();
        screen.draw("20%").unwrap();
        screen.keep("Completed").unwrap();
        drop(screen);
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written, "Pending\n10%\r\x1b[K20%\r\x1b[KCompleted\n");
    }

    #[test]
    fn a_last_line_that_stays_is_ended() {
        let mut written = Vec::new();
        let mut screen = Screen::new(&mut written);
        screen.draw("10%").unwrap();
        drop(screen);
        assert_eq!(written, b"10%\n");
    }
}
