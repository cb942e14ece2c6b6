//! `output`: what `kubectl bij` asks of a pod that has the keys or the claim of a store, by `kubectl exec`'s way.
//!
//! [`OutputArguments`], [`Place`] and [`Listed`] are the protocol. Answers go to standard output, refusals to standard error; what is
//! uploaded comes by standard input, so many bytes of it as the words say. Each request is a process of its own and knows nothing of
//! others, so that any may be asked again.

mod place;
mod stdin;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::api::names::OUTPUT_MOUNT_PATH;
use crate::storage::whole_chain;
use crate::storage::{Parts, Store, open_output, open_parts};

pub use place::Place;

/// Arguments of `output`.
#[derive(Debug, clap::Args)]
pub struct OutputArguments {
    /// Where the objects are.
    #[command(flatten)]
    pub place: Place,
    /// Where a claim for the output is mounted.
    #[arg(long, default_value = OUTPUT_MOUNT_PATH)]
    pub output_directory: PathBuf,
    /// What is asked.
    #[command(subcommand)]
    pub request: Request,
}

/// What is asked. Keys are relative to the place.
#[derive(Debug, Subcommand)]
pub enum Request {
    /// Nothing yet: the pod stays for so many seconds, at most.
    Hold {
        /// The seconds.
        seconds: u64,
    },
    /// The URI of the place, as JSON.
    Uri,
    /// The size of an object in bytes, as JSON; `null` when there is none.
    Size {
        /// Which object.
        key: String,
    },
    /// Some bytes of an object.
    Read {
        /// Which object.
        key: String,
        /// The first byte.
        start: u64,
        /// The byte behind the last.
        end: u64,
    },
    /// All objects in a folder, as a JSON list of [`Listed`].
    List {
        /// The folder's key, which ends with a slash; empty for all.
        #[arg(default_value = "")]
        folder: String,
    },
    /// An upload of an object in parts: what it is known by, as JSON.
    Begin {
        /// Which object.
        key: String,
    },
    /// Takes a part of an upload from standard input, if it is what was sent: what it is known by, as JSON.
    Part {
        /// Which object.
        key: String,
        /// What the upload is known by.
        #[arg(long)]
        upload: String,
        /// The part's number, from 0 on.
        #[arg(long)]
        number: usize,
        /// Its size.
        #[arg(long)]
        bytes: usize,
        /// Its SHA-256, hexadecimal.
        #[arg(long)]
        sha256: String,
    },
    /// Makes the object of an upload visible. Standard input has what its parts are known by, in order, as a JSON list.
    Complete {
        /// Which object.
        key: String,
        /// What the upload is known by.
        #[arg(long)]
        upload: String,
        /// The size of the list.
        #[arg(long)]
        bytes: usize,
    },
    /// Gives up an upload.
    Abort {
        /// Which object.
        key: String,
        /// What the upload is known by.
        #[arg(long)]
        upload: String,
    },
}

/// An object of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Relative to the place.
    pub key: String,
    /// In bytes.
    pub size: u64,
}

/// Answers one request.
pub async fn output(arguments: &OutputArguments, shutdown: CancellationToken) -> ExitCode {
    match answer(arguments, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", whole_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn answer(arguments: &OutputArguments, shutdown: CancellationToken) -> anyhow::Result<()> {
    let bytes: Bytes = match &arguments.request {
        Request::Hold { seconds } => {
            let _ = tokio::time::timeout(Duration::from_secs(*seconds), shutdown.cancelled()).await;
            return Ok(());
        }
        Request::Uri => serde_json::to_vec(&open(arguments)?.uri_of(""))?.into(),
        Request::Size { key } => serde_json::to_vec(&open(arguments)?.size(key).await?)?.into(),
        Request::Read { key, start, end } => open(arguments)?.read_range(key, *start..*end).await?,
        Request::List { folder } => list(&open(arguments)?, folder).await?.into(),
        Request::Begin { key } => serde_json::to_vec(&parts(arguments)?.begin(key).await?)?.into(),
        Request::Part {
            key,
            upload,
            number,
            bytes,
            sha256,
        } => {
            let part = stdin::read_checked(*bytes, sha256)?;
            let known_by = parts(arguments)?.put(key, upload, *number, part).await?;
            serde_json::to_vec(&known_by)?.into()
        }
        Request::Complete { key, upload, bytes } => {
            let list = stdin::read(*bytes)?;
            let list = serde_json::from_slice(&list)?;
            parts(arguments)?.complete(key, upload, list).await?;
            return Ok(());
        }
        Request::Abort { key, upload } => return Ok(parts(arguments)?.abort(key, upload).await?),
    };
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(&bytes)
        .and_then(|()| stdout.flush())
        .context("failed to write to standard output")
}

async fn list(store: &Store, folder: &str) -> anyhow::Result<Vec<u8>> {
    let entries = store.list(folder).await?.into_iter();
    let listed: Vec<_> = entries
        .map(|entry| Listed {
            key: entry.key,
            size: entry.size,
        })
        .collect();
    Ok(serde_json::to_vec(&listed)?)
}

fn open(arguments: &OutputArguments) -> anyhow::Result<Store> {
    let (uri, credentials) = arguments.place.locate()?;
    Ok(open_output(&uri, &credentials, Some(&arguments.output_directory))?)
}

fn parts(arguments: &OutputArguments) -> anyhow::Result<Parts> {
    let (uri, credentials) = arguments.place.locate()?;
    Ok(open_parts(&uri, &credentials)?)
}
