//! Where rows go that become one file.

use std::io::{self, BufWriter, Stdout, Write};
use std::path::Path;

use super::super::standard_output::StandardOutputError;
use super::error::FetchError;
use super::part_file::PartFile;

/// A file, or standard output.
pub enum RowsSink {
    /// A file, named once it is whole.
    File(PartFile),
    /// Standard output, where nothing can be taken back.
    StandardOutput(BufWriter<Stdout>),
}

impl RowsSink {
    /// The file at a path; without one, or with `-`, standard output.
    ///
    /// # Errors
    ///
    /// As [`PartFile::open`].
    pub fn at(path: Option<&Path>) -> Result<Self, FetchError> {
        match path.filter(|path| *path != Path::new("-")) {
            Some(path) => PartFile::open(path).map(Self::File),
            None => Ok(Self::StandardOutput(BufWriter::new(io::stdout()))),
        }
    }

    /// Adds bytes.
    ///
    /// # Errors
    ///
    /// [`FetchError`] of the disk or of standard output.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::StandardOutput(stdout) => Ok(stdout.write_all(bytes).map_err(StandardOutputError::from)?),
        }
    }

    /// All is written.
    ///
    /// # Errors
    ///
    /// As [`RowsSink::write`].
    pub fn finish(self) -> Result<(), FetchError> {
        match self {
            Self::File(file) => file.finish(),
            Self::StandardOutput(mut stdout) => Ok(stdout.flush().map_err(StandardOutputError::from)?),
        }
    }
}
