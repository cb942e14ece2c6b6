use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    path::Path,
};

use crate::openai::LineNumber;

/// The hash of an id and the line where it stands, sorted by hash, then line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Record {
    pub(super) hash: [u8; 16],
    pub(super) line: LineNumber,
}

impl Record {
    const BYTES: usize = 24;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.hash);
        bytes[16..].copy_from_slice(&self.line.0.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let (mut hash, mut line) = ([0; 16], [0; 8]);
        hash.copy_from_slice(&bytes[..16]);
        line.copy_from_slice(&bytes[16..]);
        Self {
            hash,
            line: LineNumber(u64::from_be_bytes(line)),
        }
    }
}

/// Sorted records in a file that has no name any more, so that nothing is left behind even when the process is killed.
#[derive(Debug)]
pub(super) struct Run {
    file: File,
    records: usize,
}

impl Run {
    pub(super) fn write(path: &Path, records: &[Record]) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        fs::remove_file(path)?;
        let mut writer = BufWriter::new(file);
        for record in records {
            writer.write_all(&record.to_bytes())?;
        }
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Self {
            file,
            records: records.len(),
        })
    }

    pub(super) fn read(mut self) -> io::Result<impl Iterator<Item = io::Result<Record>>> {
        self.file.rewind()?;
        let mut reader = BufReader::new(self.file);
        Ok((0..self.records).map(move |_| {
            let mut bytes = [0; Record::BYTES];
            reader.read_exact(&mut bytes)?;
            Ok(Record::from_bytes(bytes))
        }))
    }
}
