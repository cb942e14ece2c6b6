//! Writes one large object, in parts, without knowing its end.

use bytes::Bytes;
use object_store::{ObjectMeta, ObjectStoreExt, PutPayload, PutPayloadMut, WriteMultipart};

use super::error::Error;
use super::store::Store;

/// S3 takes at most this many parts an object:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const MOST_PARTS: u64 = 10_000;
/// What S3 asks of every part but the last, so that as few bytes as possible are in memory.
const SMALLEST_PART: u64 = 5 << 20;
/// Enough to keep a link busy while the next part fills; each costs a part of memory.
const PARTS_IN_FLIGHT: usize = 1;

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
    /// Bytes that were written.
    written: u64,
    /// Not sent yet. While all bytes fit one part, there is no upload: small objects need one request instead of three.
    part: PutPayloadMut,
    upload: Option<Upload>,
}

/// An upload in parts.
#[derive(Debug)]
struct Upload {
    parts: WriteMultipart,
    /// What was there when it began.
    before: Option<ObjectMeta>,
}

impl ObjectWriter {
    pub(super) fn new(store: Store, key: &str, expected: u64) -> Self {
        Self {
            store,
            key: key.to_owned(),
            part_bytes: usize::try_from(part_bytes(expected)).unwrap_or(usize::MAX),
            written: 0,
            part: PutPayloadMut::new(),
            upload: None,
        }
    }

    /// Adds bytes, which are copied; waits while enough parts are on their way.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store failed with this part or an earlier one.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.room()));
            self.part.extend_from_slice(now);
            bytes = later;
            self.send_full_part().await?;
        }
        Ok(())
    }

    /// The same without a copy.
    ///
    /// # Errors
    ///
    /// As [`ObjectWriter::write`].
    pub async fn put(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        while !bytes.is_empty() {
            self.part.push(bytes.split_to(bytes.len().min(self.room())));
            self.send_full_part().await?;
        }
        Ok(())
    }

    fn room(&self) -> usize {
        self.part_bytes - self.part.content_length()
    }

    async fn send_full_part(&mut self) -> Result<(), Error> {
        if self.room() > 0 {
            return Ok(());
        }
        let Self {
            store,
            key,
            part,
            upload,
            part_bytes,
            written,
        } = self;
        *written += part.content_length() as u64;
        // It stays where `abort` finds it, as whoever gives up drops this in the middle.
        let upload = match upload {
            Some(upload) => upload,
            none => none.insert(start(store, key, *part_bytes).await?),
        };
        let waited = upload.parts.wait_for_capacity(PARTS_IN_FLIGHT).await;
        send(&mut upload.parts, part);
        waited.map_err(|source| store.write_error(key, source))
    }

    /// Makes the object visible, in place of any other of its name.
    ///
    /// # Errors
    ///
    /// [`Error`]; after one, the object may be there all the same.
    pub async fn finish(mut self) -> Result<(), Error> {
        let (store, key) = (&self.store, &self.key);
        let Some(Upload { mut parts, before }) = self.upload else {
            let payload = PutPayload::from(self.part);
            let put = store.objects().put(&store.path(key), payload).await;
            return put.map(drop).map_err(|source| store.write_error(key, source));
        };
        let bytes = self.written + self.part.content_length() as u64;
        send(&mut parts, &mut self.part);
        match parts.finish().await.map_err(|source| store.write_error(key, source)) {
            Ok(_) => Ok(()),
            Err(error) if error.is_no_upload() && is_new(store, key, before.as_ref(), bytes).await? => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives the parts back. What was there before stays.
    pub async fn abort(self) {
        let Some(upload) = self.upload else { return };
        if let Err(error) = upload.parts.abort().await {
            let key = self.key;
            tracing::warn!(%key, %error, "the parts of an unfinished upload could not be removed");
        }
    }
}

async fn start(store: &Store, key: &str, part_bytes: usize) -> Result<Upload, Error> {
    let before = store.look(key).await?;
    let started = store.objects().put_multipart(&store.path(key)).await;
    let upload = started.map_err(|source| store.write_error(key, source))?;
    Ok(Upload {
        parts: WriteMultipart::new_with_chunk_size(upload, part_bytes),
        before,
    })
}

/// Whether an object of this size has come since `before` was there.
async fn is_new(store: &Store, key: &str, before: Option<&ObjectMeta>, bytes: u64) -> Result<bool, Error> {
    let there = store.look(key).await?;
    let marks = |meta: &ObjectMeta| (meta.e_tag.clone(), meta.version.clone(), meta.last_modified);
    Ok(there.is_some_and(|there| there.size == bytes && before.is_none_or(|before| marks(before) != marks(&there))))
}

/// Hands a part to its upload, which sends it once it is full.
fn send(upload: &mut WriteMultipart, part: &mut PutPayloadMut) {
    let part = PutPayload::from(std::mem::take(part));
    part.into_iter().for_each(|bytes: Bytes| upload.put(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_limit_of_parts_holds_on_both_sides_of_every_boundary() {
        let estimate = MOST_PARTS * 7 / 8;
        for part in [SMALLEST_PART, SMALLEST_PART + 1, 64 << 20, 512 << 20] {
            for expected in [estimate * part - 1, estimate * part, estimate * part + 1] {
                let bytes = part_bytes(expected);
                assert!(bytes >= SMALLEST_PART);
                // Also when the estimate was an eighth too low.
                assert!((expected + expected / 8).div_ceil(bytes) <= MOST_PARTS, "{expected}");
            }
            assert_eq!(part_bytes(estimate * part), part);
            assert_eq!(part_bytes(estimate * part + 1), part + 1);
        }
    }

    #[test]
    fn parts_are_as_small_as_the_limit_allows() {
        assert_eq!(part_bytes(0), 5 << 20);
        assert_eq!(part_bytes(42 * GIB), 5 << 20);
        for expected in [80 * GIB, 5000 * GIB] {
            let parts = (expected + expected / 8).div_ceil(part_bytes(expected));
            assert!(parts <= MOST_PARTS, "{parts}");
            assert!(parts > MOST_PARTS * 9 / 10, "{parts}");
        }
    }
}
