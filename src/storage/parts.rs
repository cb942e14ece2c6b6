//! One large object that several processes upload, each a part, and none of which knows the others.

use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};

use super::clouds::{self, CloudError};
use super::credentials::{self, Credentials};
use super::error::Error;
use super::open::{OpenError, open_output};
use super::store::Store;
use super::uri::{Cloud, Root, StoreUri};

/// Uploads in parts below a prefix. What an upload is known by is its opener's to keep; one that is neither completed nor aborted costs
/// its parts until a rule of the bucket clears them.
pub struct Parts {
    objects: Arc<dyn MultipartStore>,
    store: Store,
}

/// Opens a prefix of a bucket for uploads in parts.
///
/// # Errors
///
/// [`OpenError`], also where the prefix is of no bucket; the store itself is not asked yet.
pub fn open_parts(uri: &StoreUri, credentials: &Credentials) -> Result<Parts, OpenError> {
    let Root::Bucket(cloud, bucket) = uri.root() else {
        return Err(OpenError::NotMounted { uri: uri.clone() });
    };
    let objects = open_bucket(*cloud, bucket, credentials).map_err(|error| OpenError::of_cloud(error, uri))?;
    let store = open_output(uri, credentials, None)?;
    Ok(Parts { objects, store })
}

fn open_bucket(cloud: Cloud, bucket: &str, credentials: &Credentials) -> Result<Arc<dyn MultipartStore>, CloudError> {
    let objects: Arc<dyn MultipartStore> = match cloud {
        Cloud::S3 => Arc::new(clouds::s3(bucket, &credentials.keys(&credentials::S3)?)?),
        Cloud::Google => Arc::new(clouds::google(bucket, credentials.keys(&credentials::GOOGLE)?)?),
        Cloud::Azure => Arc::new(clouds::azure(bucket, credentials.keys(&credentials::AZURE)?)?),
    };
    Ok(objects)
}

impl Parts {
    /// Begins an upload, and gives what it is known by; an empty text at some stores.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn begin(&self, key: &str) -> Result<String, Error> {
        let begun = self.objects.create_multipart(&self.store.path(key)).await;
        begun.map_err(|source| self.store.write_error(key, source))
    }

    /// Uploads the part of this number, from 0 on, and gives what it is known by. All but the last have the same size, of 5 MiB at least.
    /// The same part may be uploaded again; the later one counts.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn put(&self, key: &str, upload: &str, number: usize, bytes: Bytes) -> Result<String, Error> {
        let (path, upload) = (self.store.path(key), upload.to_owned());
        let put = self.objects.put_part(&path, &upload, number, bytes.into()).await;
        put.map(|part| part.content_id)
            .map_err(|source| self.store.write_error(key, source))
    }

    /// Makes the object visible, in place of any other of its name, of all its parts in order.
    ///
    /// # Errors
    ///
    /// [`Error`]; after one, the object may be there all the same.
    pub async fn complete(&self, key: &str, upload: &str, parts: Vec<String>) -> Result<(), Error> {
        let (path, upload) = (self.store.path(key), upload.to_owned());
        let parts = parts.into_iter().map(|content_id| PartId { content_id }).collect();
        let completed = self.objects.complete_multipart(&path, &upload, parts).await;
        completed
            .map(drop)
            .map_err(|source| self.store.write_error(key, source))
    }

    /// Gives up an upload: its parts are removed, and what was there before stays.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn abort(&self, key: &str, upload: &str) -> Result<(), Error> {
        let (path, upload) = (self.store.path(key), upload.to_owned());
        let aborted = self.objects.abort_multipart(&path, &upload).await;
        aborted.map_err(|source| self.store.write_error(key, source))
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn parts() -> Parts {
        let objects = Arc::new(InMemory::new());
        let uri = StoreUri::bucket_root("memory").join("team/");
        let store = Store::new(objects.clone(), uri, "".into());
        Parts { objects, store }
    }

    #[tokio::test]
    async fn parts_that_come_in_any_order_and_twice_are_one_object() {
        let parts = parts();
        let upload = parts.begin("rows.jsonl").await.unwrap();
        let put = async |number, text: &'static str| parts.put("rows.jsonl", &upload, number, text.into()).await;
        let second = put(1, "two").await.unwrap();
        put(0, "lost").await.unwrap();
        let first = put(0, "one").await.unwrap();
        assert_eq!(parts.store.read("rows.jsonl").await.unwrap(), None);
        parts
            .complete("rows.jsonl", &upload, vec![first, second])
            .await
            .unwrap();
        assert_eq!(parts.store.read("rows.jsonl").await.unwrap().unwrap(), "onetwo");
        assert_eq!(parts.store.list("").await.unwrap()[0].key, "rows.jsonl");
    }

    #[tokio::test]
    async fn an_upload_that_is_given_up_leaves_nothing() {
        let parts = parts();
        let upload = parts.begin("rows.jsonl").await.unwrap();
        parts.put("rows.jsonl", &upload, 0, "one".into()).await.unwrap();
        parts.abort("rows.jsonl", &upload).await.unwrap();
        assert!(parts.store.list("").await.unwrap().is_empty());
    }

    #[test]
    fn only_a_bucket_takes_parts() {
        let none = Credentials::from_env(credentials::Side::Output, []);
        let claim = StoreUri::parse_prefix("pvc://claim/run").unwrap();
        assert!(matches!(open_parts(&claim, &none), Err(OpenError::NotMounted { .. })));
    }
}
