use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    path::Path,
};

use crate::openai::RowNumber;

/// Of a file that is read or written, in bytes. A merge has some hundred.
const BUFFER: usize = 16 * 1024;

/// The hash of an id and the row that has it, sorted by hash, then row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Record {
    pub(super) hash: u128,
    pub(super) row: RowNumber,
}

impl Record {
    const BYTES: usize = 24;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.hash.to_be_bytes());
        bytes[16..].copy_from_slice(&self.row.0.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let (mut hash, mut row) = ([0; 16], [0; 8]);
        hash.copy_from_slice(&bytes[..16]);
        row.copy_from_slice(&bytes[16..]);
        Self {
            hash: u128::from_be_bytes(hash),
            row: RowNumber(u64::from_be_bytes(row)),
        }
    }
}

/// Sorted records in a file that has no name any more, so that nothing is left behind even when the process is killed.
#[derive(Debug)]
pub(super) struct Run {
    file: File,
    records: u64,
}

impl Run {
    /// Writes sorted records to a file in `directory`.
    pub(super) fn write(directory: &Path, sorted: impl Iterator<Item = io::Result<Record>>) -> io::Result<Self> {
        let path = directory.join("custom-ids");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        fs::remove_file(path)?;
        let mut writer = BufWriter::with_capacity(BUFFER, file);
        let mut records = 0;
        for record in sorted {
            writer.write_all(&record?.to_bytes())?;
            records += 1;
        }
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Self { file, records })
    }

    pub(super) fn read(mut self) -> io::Result<impl Iterator<Item = io::Result<Record>>> {
        self.file.rewind()?;
        let mut reader = BufReader::with_capacity(BUFFER, self.file);
        Ok((0..self.records).map(move |_| {
            let mut bytes = [0; Record::BYTES];
            reader.read_exact(&mut bytes)?;
            Ok(Record::from_bytes(bytes))
        }))
    }
}
