//! Writes one large object, in parts, without knowing its end.

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutPayload, PutPayloadMut, WriteMultipart};

use super::error::Error;
use super::store::Store;

/// S3 takes at most this many parts an object:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const MOST_PARTS: u64 = 10_000;
/// Above the 5 MiB that S3 asks of every part but the last, and few enough bytes to keep some in memory.
const SMALLEST_PART: u64 = 8 << 20;
/// Enough to keep a link busy while the next part fills; each costs a part of memory.
const PARTS_IN_FLIGHT: usize = 2;

/// The size of a part, in bytes, so that an object of `expected` bytes fits the limit of parts. All parts
/// but the last have it, as some stores demand. An eighth is left for an estimate that is too low.
#[must_use]
pub fn part_bytes(expected: u64) -> u64 {
    expected.div_ceil(MOST_PARTS * 7 / 8).max(SMALLEST_PART)
}

/// An object on its way. Nothing is visible before [`ObjectWriter::finish`]; one that is not finished
/// should be aborted, or S3 keeps (and bills) its parts until a lifecycle rule clears them.
#[derive(Debug)]
pub struct ObjectWriter {
    store: Store,
    key: String,
    part_bytes: usize,
    /// All bytes so far, while they fit one part: small objects need one request instead of three.
    first: PutPayloadMut,
    upload: Option<WriteMultipart>,
}

impl ObjectWriter {
    pub(super) fn new(store: Store, key: &str, expected: u64) -> Self {
        Self {
            store,
            key: key.to_owned(),
            part_bytes: usize::try_from(part_bytes(expected)).unwrap_or(usize::MAX),
            first: PutPayloadMut::new(),
            upload: None,
        }
    }

    /// Adds bytes; waits while enough parts are on their way.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store failed with this part or an earlier one.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if let Some(upload) = &mut self.upload {
            let waited = upload.wait_for_capacity(PARTS_IN_FLIGHT).await;
            waited.map_err(|source| self.store.write_error(&self.key, source))?;
            upload.write(bytes);
            return Ok(());
        }
        self.first.extend_from_slice(bytes);
        if self.first.content_length() < self.part_bytes {
            return Ok(());
        }
        self.start().await
    }

    /// Makes the object visible, in place of any other of its name.
    ///
    /// # Errors
    ///
    /// [`Error`]; after one, the object may be there all the same.
    pub async fn finish(self) -> Result<(), Error> {
        let finished = if let Some(upload) = self.upload {
            upload.finish().await
        } else {
            let path = self.store.path(&self.key);
            let payload = PutPayload::from(self.first);
            self.store.objects().put(&path, payload).await
        };
        finished.map_err(|source| self.store.write_error(&self.key, source))?;
        Ok(())
    }

    /// Gives the parts back. What was there before stays.
    pub async fn abort(self) {
        let Some(upload) = self.upload else { return };
        if let Err(error) = upload.abort().await {
            let key = self.key;
            tracing::warn!(%key, %error, "the parts of an unfinished upload could not be removed");
        }
    }

    async fn start(&mut self) -> Result<(), Error> {
        let path = self.store.path(&self.key);
        let started = self.store.objects().put_multipart(&path).await;
        let upload = started.map_err(|source| self.store.write_error(&self.key, source))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, self.part_bytes);
        let first = PutPayload::from(std::mem::take(&mut self.first));
        first.into_iter().for_each(|bytes: Bytes| upload.put(bytes));
        self.upload = Some(upload);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn parts_are_as_small_as_the_limit_allows() {
        assert_eq!(part_bytes(0), 8 << 20);
        assert_eq!(part_bytes(60 * GIB), 8 << 20);
        for expected in [80 * GIB, 5000 * GIB] {
            let parts = (expected + expected / 8).div_ceil(part_bytes(expected));
            assert!(parts <= MOST_PARTS, "{parts}");
            assert!(parts > MOST_PARTS * 9 / 10, "{parts}");
        }
    }
}
