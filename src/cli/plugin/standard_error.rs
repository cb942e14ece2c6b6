//! Standard error, whose reader may go away too: then nobody is left to be told, and the work goes on.

use std::fmt::Display;
use std::io::{self, Write};

/// Tells a person something, in a line.
pub fn tell(line: impl Display) {
    // `eprintln!` would panic.
    let _ = writeln!(io::stderr(), "{line}");
}
