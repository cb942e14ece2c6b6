//! An upload from this machine to the store, with keys.

use std::fs::File;
use std::io::Read;

use bytes::Bytes;

use super::super::super::interruption::Interruption;
use super::existing::{Found, find};
use super::pieces::Pieces;
use super::target::Target;
use super::{Existing, UploadError, tell_same, tell_uploaded};
use crate::storage::{Credentials, ObjectWriter, Put, Store, open_output, part_bytes};

/// Read at a time.
const CHUNK_BYTES: usize = 1 << 20;

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
    let store = open_output(target.folder(), credentials, None)?;
    let uri = || target.uri().clone();
    if existing == Existing::Keep {
        match find(&store, target.name(), &Pieces::open(file)?).await? {
            Found::Nothing => {}
            Found::Same => {
                tell_same(file, target.uri());
                return Ok(());
            }
            Found::Other => return Err(UploadError::Exists { uri: uri() }),
        }
    }
    let unreadable = |source| UploadError::File {
        path: file.into(),
        source,
    };
    let opened = File::open(file).map_err(unreadable)?;
    let bytes = opened.metadata().map_err(unreadable)?.len();
    let interruption = Interruption::watch();
    if existing == Existing::Keep && bytes < part_bytes(bytes) {
        let content = Bytes::from(std::fs::read(file).map_err(unreadable)?);
        unless_interrupted(create(&store, target, content), target, &interruption).await?;
        tell_uploaded(file, target.uri(), bytes);
        return Ok(());
    }
    let mut writer = store.overwrite(target.name(), bytes);
    let copied = unless_interrupted(copy(file, opened, &mut writer), target, &interruption).await;
    if let Err(error) = copied {
        writer.abort().await;
        return Err(error);
    }
    // Not given up in the middle, which would leave the parts.
    writer.finish().await?;
    if interruption.has_come() {
        return Err(UploadError::Interrupted { uri: uri() });
    }
    tell_uploaded(file, target.uri(), bytes);
    Ok(())
}

/// What goes in one request can be created only if there is none: the store itself sees to it.
async fn create(store: &Store, target: &Target, content: Bytes) -> Result<(), UploadError> {
    if store.create(target.name(), content.clone()).await? == Put::Created {
        return Ok(());
    }
    // It may be our own, when the answer to an earlier try was lost.
    if store.read(target.name()).await? == Some(content) {
        return Ok(());
    }
    let uri = target.uri().clone();
    Err(UploadError::Exists { uri })
}

/// Does a part of it, until the person who began it wants no more.
async fn unless_interrupted(
    work: impl Future<Output = Result<(), UploadError>>,
    target: &Target,
    interruption: &Interruption,
) -> Result<(), UploadError> {
    tokio::select! {
        done = work => done,
        () = interruption.came() => Err(UploadError::Interrupted { uri: target.uri().clone() }),
    }
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
