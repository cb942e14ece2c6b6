//! A file of this machine until it is whole: `FILE.part`, which a fetch that broke leaves for the next one.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::error::FetchError;

/// The file, and the one that it will be.
pub struct PartFile {
    file: BufWriter<File>,
    part: PathBuf,
    whole: PathBuf,
}

impl PartFile {
    /// Opens what an earlier fetch has left, or an empty file.
    ///
    /// # Errors
    ///
    /// [`FetchError::Disk`].
    pub fn open(whole: &Path) -> Result<Self, FetchError> {
        let mut part = whole.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&part);
        let file = file.map_err(|source| FetchError::Disk {
            path: part.clone(),
            source,
        })?;
        Ok(Self {
            file: BufWriter::new(file),
            part,
            whole: whole.to_owned(),
        })
    }

    /// Passes the whole lines that are there, in order, and cuts off what is behind them. Writing goes on behind the last one.
    ///
    /// # Errors
    ///
    /// [`FetchError::Disk`].
    pub fn lines(&mut self, pass: impl FnMut(&[u8])) -> Result<(), FetchError> {
        let kept = pass_lines(self.file.get_ref(), pass);
        kept.and_then(|bytes| self.cut(bytes))
            .map_err(|source| self.error(source))
    }

    /// Forgets what is there.
    ///
    /// # Errors
    ///
    /// [`FetchError::Disk`].
    pub fn clear(&mut self) -> Result<(), FetchError> {
        let flushed = self.file.flush();
        flushed.and_then(|()| self.cut(0)).map_err(|source| self.error(source))
    }

    /// Adds bytes.
    ///
    /// # Errors
    ///
    /// [`FetchError::Disk`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).map_err(|source| self.error(source))
    }

    /// Gives the file its name, in place of any other.
    ///
    /// # Errors
    ///
    /// [`FetchError::Disk`].
    pub fn finish(mut self) -> Result<(), FetchError> {
        let durable = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        let named = durable.and_then(|()| std::fs::rename(&self.part, &self.whole));
        named.map_err(|source| self.error(source))
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        let file = self.file.get_mut();
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes)).map(drop)
    }

    fn error(&self, source: io::Error) -> FetchError {
        FetchError::Disk {
            path: self.part.clone(),
            source,
        }
    }
}

/// Passes the whole lines of a file, and gives their bytes.
fn pass_lines(mut file: &File, mut pass: impl FnMut(&[u8])) -> io::Result<u64> {
    file.rewind()?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut line, mut bytes) = (Vec::new(), 0);
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(bytes);
        }
        bytes += line.len() as u64;
        pass(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &mut PartFile) -> Vec<String> {
        let mut lines = Vec::new();
        let pass = |line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
        file.lines(pass).unwrap();
        lines
    }

    #[test]
    fn a_fetch_goes_on_behind_the_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("rows.jsonl");
        std::fs::write(folder.path().join("rows.jsonl.part"), "one\ntwo\nthr").unwrap();
        let mut file = PartFile::open(&whole).unwrap();
        assert_eq!(lines(&mut file), ["one\n", "two\n"]);
        file.write(b"three\n").unwrap();
        assert!(!whole.exists());
        file.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&whole).unwrap(), "one\ntwo\nthree\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_cleared_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("rows.jsonl");
        let mut file = PartFile::open(&whole).unwrap();
        file.write(b"old\n").unwrap();
        file.clear().unwrap();
        file.write(b"new\n").unwrap();
        file.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&whole).unwrap(), "new\n");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = PartFile::open(Path::new("/no/such/folder/rows.jsonl")).err().unwrap();
        assert_eq!(error.to_string(), "`/no/such/folder/rows.jsonl.part` cannot be written");
    }
}
