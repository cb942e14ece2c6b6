//! Standard output, whose reader may go away at any time (`kubectl bij list | head -1`).

use std::io::{self, Write};

use super::exit;

/// Writes text as it is.
///
/// # Errors
///
/// [`io::Error`], when the reader has gone too.
pub fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// The exit code of what ended with this error; an error that should be told gives none.
#[must_use]
pub fn silent_code(error: &anyhow::Error) -> Option<u8> {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    let no_reader = causes.any(|error| error.kind() == io::ErrorKind::BrokenPipe);
    no_reader.then_some(exit::NO_READER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reader_that_has_gone_is_silent() {
        let error = |kind: io::ErrorKind| anyhow::Error::new(io::Error::from(kind)).context("while writing");
        assert_eq!(silent_code(&error(io::ErrorKind::BrokenPipe)), Some(exit::NO_READER));
        assert_eq!(silent_code(&error(io::ErrorKind::NotFound)), None);
    }
}
