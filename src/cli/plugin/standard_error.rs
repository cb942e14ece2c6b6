//! Standard error, whose reader may go away too: then nobody is left to be told, and the work goes on.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};

/// Tells a person something, in a line.
pub fn tell(line: impl Display) {
    // `eprintln!` would panic.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Tells what need not be in memory as a whole.
pub fn tell_with(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    let mut stderr = BufWriter::new(io::stderr().lock());
    let _ = write(&mut stderr).and_then(|()| stderr.flush());
}
