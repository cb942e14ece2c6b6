//! `fetch-adapters`: puts adapters of a store into a directory. An init container of servers whose engine cannot do it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use tokio::fs::{File, create_dir_all};
use tokio::io::AsyncWriteExt;

use super::environment::environment;
use crate::engine::adapters::below_fetched;
use crate::storage::{Credentials, Side, Store, StoreUri, open_output};

/// Read and written at a time.
const PIECE_BYTES: u64 = 8 << 20;

/// Arguments of `fetch-adapters`. The store is opened with the keys in the environment whose names begin with `ADAPTERS_`.
#[derive(Debug, clap::Args)]
pub struct FetchAdaptersArguments {
    /// Where to put them, each in a folder that is named as its address.
    #[arg(long, value_name = "DIRECTORY")]
    pub into: PathBuf,
    /// Their addresses: s3://BUCKET/PATH of a folder, or of one file.
    #[arg(required = true, value_name = "URI")]
    pub addresses: Vec<String>,
}

/// Fetches all. One that is not there is left out: the server says so of it when it is to load it, or, as llama-server, in its last words, as
/// it does not start without.
///
/// # Errors
///
/// A store that does not give what it has, or a directory that cannot be written.
pub async fn fetch_adapters(arguments: &FetchAdaptersArguments) -> anyhow::Result<ExitCode> {
    for address in &arguments.addresses {
        let into = arguments.into.join(below_fetched(address));
        let files = fetch(address, &into).await;
        match files.with_context(|| format!("the adapter `{address}` cannot be fetched"))? {
            0 => tracing::warn!(%address, "there is no such adapter"),
            files => tracing::info!(%address, files, "an adapter is fetched"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How many files it has.
async fn fetch(address: &str, into: &Path) -> anyhow::Result<usize> {
    let files = fetch_folder(&open(address)?, into).await?;
    if files > 0 {
        return Ok(files);
    }
    let Some((folder, file)) = address.rsplit_once('/') else {
        return Ok(0);
    };
    fetch_file(&open(folder)?, file, into).await
}

fn open(folder: &str) -> anyhow::Result<Store> {
    let uri = StoreUri::parse_prefix(folder)?;
    let credentials = Credentials::from_env(Side::Adapters, environment());
    Ok(open_output(&uri, &credentials, None)?)
}

async fn fetch_folder(store: &Store, into: &Path) -> anyhow::Result<usize> {
    let entries = store.list("").await?;
    for entry in &entries {
        copy(store, &entry.key, entry.size, &into.join(&entry.key)).await?;
    }
    Ok(entries.len())
}

async fn fetch_file(store: &Store, key: &str, into: &Path) -> anyhow::Result<usize> {
    let Some(size) = store.size(key).await? else {
        return Ok(0);
    };
    copy(store, key, size, into).await?;
    Ok(1)
}

async fn copy(store: &Store, key: &str, size: u64, to: &Path) -> anyhow::Result<()> {
    let written = || format!("`{}` cannot be written", to.display());
    if let Some(folder) = to.parent() {
        create_dir_all(folder).await.with_context(written)?;
    }
    let mut file = File::create(to).await.with_context(written)?;
    let mut start = 0;
    while start < size {
        let piece = store.read_range(key, start..size.min(start + PIECE_BYTES)).await?;
        anyhow::ensure!(
            !piece.is_empty(),
            "`{}` became shorter while it was read",
            store.uri_of(key)
        );
        file.write_all(&piece).await.with_context(written)?;
        start += piece.len() as u64;
    }
    file.flush().await.with_context(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_fetched_with_all_that_is_in_it() {
        let store = Store::in_memory();
        for (key, content) in [
            ("adapter_config.json", "{}"),
            ("more/adapter_model.safetensors", "weights"),
        ] {
            store.create(key, content).await.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let into = directory.path().join("bucket/sql");
        assert_eq!(fetch_folder(&store, &into).await.unwrap(), 2);
        let read = |path: &str| std::fs::read_to_string(into.join(path)).unwrap();
        assert_eq!(read("adapter_config.json"), "{}");
        assert_eq!(read("more/adapter_model.safetensors"), "weights");
    }

    #[tokio::test]
    async fn a_file_is_fetched_in_pieces_and_one_that_is_not_there_is_left_out() {
        let store = Store::in_memory();
        let content = vec![7; usize::try_from(PIECE_BYTES).unwrap() + 1];
        store.create("sql.gguf", content.clone()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let into = directory.path().join("bucket/sql.gguf");
        assert_eq!(fetch_file(&store, "sql.gguf", &into).await.unwrap(), 1);
        assert_eq!(std::fs::read(&into).unwrap(), content);
        assert_eq!(fetch_file(&store, "other.gguf", &into).await.unwrap(), 0);
        assert_eq!(fetch_folder(&store, &directory.path().join("x")).await.unwrap(), 1);
    }
}
