//! A data set of this machine, brought to its store.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use super::super::interruption::interruption;
use super::super::standard_error::tell;
use crate::dataset::Compression;
use crate::storage::{self, Credentials, ObjectWriter, OpenError, Root, StoreUri, UriError, open_output};

/// Read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// What becomes of an object that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is uploaded.
    Keep,
    /// It is replaced.
    Replace,
}

/// Why a data set is not uploaded.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// No bucket.
    #[error("`{uri}` is no place to upload to: write s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/KEY")]
    NoBucket {
        /// What was given.
        uri: StoreUri,
    },
    /// Its reader would not know how it is stored.
    #[error("`{file}` and `{uri}` end as differently compressed files do: let both end in .gz, in .zst, or in neither")]
    OtherCompression {
        /// The file.
        file: String,
        /// Where it would be.
        uri: StoreUri,
    },
    /// There is one.
    #[error("`{uri}` is there already: --overwrite replaces it, or choose another --dataset-uri")]
    Exists {
        /// The object.
        uri: StoreUri,
    },
    /// The file of this machine.
    #[error("`{}` cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// By the person who began it.
    #[error("the upload of `{uri}` was interrupted, and no job was created: start it again")]
    Interrupted {
        /// The object.
        uri: StoreUri,
    },
    /// A wrong URI.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// The store cannot be asked with these keys.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] storage::Error),
}

/// Where a file goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    uri: StoreUri,
    folder: StoreUri,
    name: String,
}

impl Target {
    /// Reads the URI that a file is to be uploaded to.
    ///
    /// # Errors
    ///
    /// [`UploadError`] when that cannot be.
    pub fn parse(file: &str, text: &str) -> Result<Self, UploadError> {
        let uri = StoreUri::parse_object(text)?;
        if !matches!(uri.root(), Root::Bucket(..)) {
            return Err(UploadError::NoBucket { uri });
        }
        if Compression::of_name(file) != Compression::of_name(text) {
            let file = file.to_owned();
            return Err(UploadError::OtherCompression { file, uri });
        }
        // The URI of an object has a slash behind its bucket.
        let (folder, name) = text.rsplit_once('/').unwrap_or((text, ""));
        Ok(Self {
            folder: StoreUri::parse_prefix(folder)?,
            name: name.to_owned(),
            uri,
        })
    }

    /// Where it goes.
    #[must_use]
    pub fn uri(&self) -> &StoreUri {
        &self.uri
    }
}

/// Uploads a file. The object is there as a whole, or not at all.
///
/// # Errors
///
/// [`UploadError`].
pub async fn upload(
    file: &str,
    target: &Target,
    credentials: &Credentials,
    existing: Existing,
) -> Result<(), UploadError> {
    let store = open_output(&target.folder, credentials, None)?;
    let uri = || target.uri.clone();
    if existing == Existing::Keep && store.size(&target.name).await?.is_some() {
        return Err(UploadError::Exists { uri: uri() });
    }
    let unreadable = |source| UploadError::File {
        path: file.into(),
        source,
    };
    let opened = File::open(file).map_err(unreadable)?;
    let bytes = opened.metadata().map_err(unreadable)?.len();
    let mut writer = store.overwrite(&target.name, bytes);
    let interruption = interruption();
    let interrupted = || UploadError::Interrupted { uri: uri() };
    let copied = interruption.run_until_cancelled(copy(file, opened, &mut writer)).await;
    if let Err(error) = copied.unwrap_or_else(|| Err(interrupted())) {
        writer.abort().await;
        return Err(error);
    }
    let finished = interruption.run_until_cancelled(writer.finish()).await;
    finished.ok_or_else(interrupted)??;
    tell(format_args!("{file} is uploaded to {} ({bytes} bytes)", target.uri));
    Ok(())
}

async fn copy(path: &str, mut file: File, writer: &mut ObjectWriter) -> Result<(), UploadError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = file.read(&mut chunk).map_err(|source| UploadError::File {
            path: path.into(),
            source,
        })?;
        if read == 0 {
            return Ok(());
        }
        writer.write(&chunk[..read]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_to_a_bucket_under_a_name_that_ends_alike() {
        let target = Target::parse("rows.jsonl", "s3://bucket/rows.jsonl").unwrap();
        assert_eq!(
            (target.folder.to_string(), target.name.as_str()),
            ("s3://bucket/".into(), "rows.jsonl")
        );
        let target = Target::parse("rows.jsonl.gz", "gs://bucket/a/b.gz").unwrap();
        assert_eq!(
            (target.folder.to_string(), target.name.as_str()),
            ("gs://bucket/a/".into(), "b.gz")
        );
        for (uri, expected) in [
            ("https://host/rows.jsonl", "no place to upload to"),
            ("pvc://claim/rows.jsonl", "no place to upload to"),
            ("s3://bucket/rows.jsonl.gz", "compressed"),
            ("s3://bucket/", "names no"),
        ] {
            let error = Target::parse("rows.jsonl", uri).unwrap_err().to_string();
            assert!(error.contains(expected), "{uri}: {error}");
        }
    }
}
