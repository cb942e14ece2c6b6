//! What is where a file goes to. The job of an upload may not have come to be: then the same command finds its own object.

use super::UploadError;
use super::pieces::Pieces;
use crate::storage::Store;

/// What is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No object.
    Nothing,
    /// An object with the bytes of the file.
    Same,
    /// Another one.
    Other,
}

/// Looks for an object, and compares its bytes if it is as large as the file.
///
/// # Errors
///
/// [`UploadError::Store`], or [`UploadError::File`].
pub async fn find(store: &Store, key: &str, pieces: &Pieces) -> Result<Found, UploadError> {
    match store.size(key).await? {
        None => return Ok(Found::Nothing),
        Some(bytes) if bytes != pieces.bytes => return Ok(Found::Other),
        Some(_) => {}
    }
    let mut start = 0;
    for number in 0..pieces.count() {
        let piece = pieces.read(number)?;
        let end = start + piece.len() as u64;
        if store.read_range(key, start..end).await? != piece {
            return Ok(Found::Other);
        }
        start = end;
    }
    Ok(Found::Same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_object_is_the_file_if_all_of_its_bytes_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        // Of more than one part.
        let rows = vec![b'x'; 9 << 20];
        std::fs::write(&path, &rows).unwrap();
        let pieces = Pieces::open(path.to_str().unwrap()).unwrap();
        let store = Store::in_memory();
        assert_eq!(find(&store, "rows", &pieces).await.unwrap(), Found::Nothing);
        let mut other_end = rows.clone();
        *other_end.last_mut().unwrap() = b'y';
        let longer = [&rows[..], b"x"].concat();
        for (content, expected) in [(rows, Found::Same), (other_end, Found::Other), (longer, Found::Other)] {
            store.replace("rows", content).await.unwrap();
            assert_eq!(find(&store, "rows", &pieces).await.unwrap(), expected);
        }
    }
}
