//! Where a file goes that is uploaded. Pure.

use super::UploadError;
use crate::dataset::Compression;
use crate::storage::{Root, StoreUri};

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
        check_ending(file, text)?;
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

    /// The prefix that it goes to.
    #[must_use]
    pub fn folder(&self) -> &StoreUri {
        &self.folder
    }

    /// Its name there.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Whoever reads an object knows by the end of its name how it is compressed.
///
/// # Errors
///
/// [`UploadError::OtherCompression`].
pub fn check_ending(file: &str, place: &str) -> Result<(), UploadError> {
    if Compression::of_name(file) == Compression::of_name(place) {
        return Ok(());
    }
    Err(UploadError::OtherCompression {
        file: file.to_owned(),
        place: place.to_owned(),
    })
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
