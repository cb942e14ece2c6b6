//! Data sets in memory for tests.

use std::{io::Write, sync::Arc};

use object_store::{ObjectStoreExt, memory::InMemory, path::Path};

use super::{ModelNames, Source};

/// A file in a store, and the source that reads it.
pub(super) struct StoredFile {
    store: Arc<InMemory>,
    path: Path,
    pub(super) source: Source,
}

impl StoredFile {
    pub(super) async fn new(content: impl AsRef<[u8]>) -> Self {
        Self::named("rows.jsonl", content).await
    }

    pub(super) async fn named(name: &str, content: impl AsRef<[u8]>) -> Self {
        let (store, path) = (Arc::new(InMemory::new()), Path::from(name));
        let source = Source::new(
            store.clone(),
            path.clone(),
            "s3://bucket/rows.jsonl",
            "check the Secret",
        );
        let file = Self { store, path, source };
        file.write(content).await;
        file
    }

    pub(super) async fn write(&self, content: impl AsRef<[u8]>) {
        self.store
            .put(&self.path, content.as_ref().to_vec().into())
            .await
            .unwrap();
    }

    pub(super) async fn remove(&self) {
        self.store.delete(&self.path).await.unwrap();
    }
}

pub(super) async fn source_of(content: impl AsRef<[u8]>) -> Source {
    StoredFile::new(content).await.source
}

/// One gzip member.
pub(super) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// One zstd frame, with a checksum.
pub(super) fn zstd(text: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A good row for the base model.
pub(super) fn row(custom_id: &str) -> String {
    row_with_body(custom_id, "{}")
}

pub(super) fn row_with_body(custom_id: &str, body: &str) -> String {
    format!(r#"{{"custom_id":"{custom_id}","method":"POST","url":"/v1/completions","body":{body}}}"#)
}

pub(super) fn models() -> ModelNames {
    ModelNames::new(["qwen3-8b", "gpt-4o-mini"])
}
