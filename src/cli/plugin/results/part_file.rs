//! A file of this machine until it is whole: `FILE.part`, which a fetch that broke leaves for the next one.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::FetchError;

/// The file, and the one that it will be.
pub struct PartFile {
    file: BufWriter<File>,
    part: PathBuf,
    whole: PathBuf,
}

impl PartFile {
    /// Opens what an earlier fetch has left, or an empty file. No other fetch can, while this one has it.
    ///
    /// # Errors
    ///
    /// [`FetchError`] of the disk, or of what is there.
    pub fn open(whole: &Path) -> Result<Self, FetchError> {
        // It would be replaced in the end: a device too, by one who may.
        if whole.metadata().is_ok_and(|there| !there.is_file()) {
            let path = whole.to_owned();
            return Err(FetchError::NoFile { path });
        }
        let mut part = whole.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        Ok(Self {
            file: BufWriter::new(open_alone(&part)?),
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

/// Opens a file, or makes it, and keeps other fetches from it.
fn open_alone(path: &Path) -> Result<File, FetchError> {
    let disk = |source| FetchError::Disk {
        path: path.to_owned(),
        source,
    };
    loop {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(disk)?;
        // Some file systems have no locks: there, nothing keeps two fetches apart.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let path = path.to_owned();
            return Err(FetchError::Busy { path });
        }
        // Another fetch may have given it its name between the two.
        if is_at(&file, path).map_err(disk)? {
            return Ok(file);
        }
    }
}

/// Whether a file that is open still has this path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    let is_same = |there: Metadata| (there.dev(), there.ino()) == (open.dev(), open.ino());
    Ok(path.metadata().is_ok_and(is_same))
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
    fn what_is_no_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), Path::new("/dev/null")] {
            let error = PartFile::open(path).err().unwrap();
            assert!(matches!(error, FetchError::NoFile { .. }), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn two_fetches_do_not_write_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("rows.jsonl");
        let mut first = PartFile::open(&whole).unwrap();
        let error = PartFile::open(&whole).err().unwrap();
        assert!(
            error
                .to_string()
                .ends_with("rows.jsonl.part` is written by another fetch: wait for it, or choose another -o")
        );
        first.write(b"one\n").unwrap();
        first.finish().unwrap();
        PartFile::open(&whole).unwrap();
    }

    #[test]
    fn a_file_that_has_its_name_is_not_written_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("rows.jsonl.part");
        let file = File::create(&part).unwrap();
        assert!(is_at(&file, &part).unwrap());
        std::fs::rename(&part, folder.path().join("rows.jsonl")).unwrap();
        assert!(!is_at(&file, &part).unwrap());
        File::create(&part).unwrap();
        assert!(!is_at(&file, &part).unwrap());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = PartFile::open(Path::new("/no/such/folder/rows.jsonl")).err().unwrap();
        assert_eq!(error.to_string(), "`/no/such/folder/rows.jsonl.part` cannot be written");
    }
}
