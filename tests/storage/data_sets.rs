//! What the store of a data set must do: say which version is there, give any part of that version and of no other, and tell when the
//! object has gone.

use batch_inference_operator::dataset::{Source, SourceError, SourceVersion};
use batch_inference_operator::storage::{Credentials, Directories, Store, StoreUri, open_dataset};
use futures::TryStreamExt;

const KEY: &str = "rows.jsonl";
const ROWS: &str = "0123456789";
/// As long as [`ROWS`], so that only the version tells them apart.
const OTHER_ROWS: &str = "9876543210";

/// `store` writes below the prefix `uri`; `credentials` are the data set's.
pub async fn are_read_from(uri: &str, store: &Store, credentials: &Credentials) {
    store.create(KEY, ROWS).await.unwrap();
    let source = open(&format!("{uri}/{KEY}"), credentials);
    let version = source.version().await.unwrap();
    assert_eq!(version.size, 10);
    assert_eq!(source.version().await.unwrap(), version);
    assert_eq!(whole(&source, &version).await.unwrap(), ROWS.as_bytes());
    assert_eq!(source.read(2..5).await.unwrap(), "234");
    let beyond = source.read(8..12).await;
    assert!(matches!(beyond, Err(SourceError::Changed { .. })), "{beyond:?}");

    delete(store).await;
    store.create(KEY, OTHER_ROWS).await.unwrap();
    assert_ne!(source.version().await.unwrap(), version);
    let changed = whole(&source, &version).await;
    assert!(matches!(changed, Err(SourceError::Changed { .. })), "{changed:?}");

    delete(store).await;
    let gone = source.version().await;
    assert!(matches!(gone, Err(SourceError::NotFound { .. })), "{gone:?}");
    // A store may look at the condition before it looks for the object, as Azurite does.
    let gone = whole(&source, &version).await;
    let is_told = matches!(gone, Err(SourceError::NotFound { .. } | SourceError::Changed { .. }));
    assert!(is_told, "{gone:?}");
}

async fn delete(store: &Store) {
    store.delete(std::iter::once(KEY.to_owned())).await.unwrap();
}

fn open(uri: &str, credentials: &Credentials) -> Source {
    let uri = StoreUri::parse_object(uri).unwrap();
    let opened = open_dataset(&uri, credentials, Directories::default()).unwrap();
    Source::new(
        opened.store.clone(),
        opened.path.clone(),
        uri.to_string(),
        opened.hints(),
    )
    .with_read_bytes(3)
}

async fn whole(source: &Source, version: &SourceVersion) -> Result<Vec<u8>, SourceError> {
    let chunks: Vec<_> = source.stream(version).try_collect().await?;
    Ok(chunks.concat())
}
