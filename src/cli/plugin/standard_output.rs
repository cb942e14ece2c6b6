//! Standard output, whose reader may go away at any time (`kubectl bij list | head -1`).

use std::io::{self, BufWriter, Write};

use super::exit;

/// Standard output cannot be written. A type of its own: connections break with the same error as pipes.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written")]
pub struct StandardOutputError(#[from] io::Error);

/// Writes text as it is.
///
/// # Errors
///
/// [`StandardOutputError`], when the reader has gone too.
pub fn write(text: &str) -> Result<(), StandardOutputError> {
    write_with(|out| out.write_all(text.as_bytes()))
}

/// Writes what need not be in memory as a whole.
///
/// # Errors
///
/// As [`write`].
pub fn write_with(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), StandardOutputError> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    write(&mut stdout)?;
    Ok(stdout.flush()?)
}

/// The exit code of what ended with this error; an error that should be told gives none.
#[must_use]
pub fn silent_code(error: &anyhow::Error) -> Option<u8> {
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<StandardOutputError>());
    let no_reader = causes.any(|StandardOutputError(error)| error.kind() == io::ErrorKind::BrokenPipe);
    no_reader.then_some(exit::NO_READER)
}

#[cfg(test)]
mod tests {
    use anyhow::Error;

    use super::*;

    #[test]
    fn only_a_reader_of_standard_output_that_has_gone_is_silent() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let reader_gone = Error::new(StandardOutputError(broken())).context("while writing");
        assert_eq!(silent_code(&reader_gone), Some(exit::NO_READER));
        let full = StandardOutputError(io::ErrorKind::StorageFull.into());
        let connection_lost = Error::new(broken()).context("while uploading");
        for told in [Error::new(full), connection_lost] {
            assert_eq!(silent_code(&told), None, "{told:?}");
        }
    }
}
