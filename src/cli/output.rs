//! `output`: what `kubectl bij` asks of a pod that has the keys or the claim of an output, by `kubectl exec`'s way.
//!
//! [`OutputArguments`] and [`Listed`] are the protocol. Answers go to standard output, refusals to standard error.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::environment::environment;
use crate::api::names::OUTPUT_MOUNT_PATH;
use crate::storage::{Credentials, Side, Store, StoreUri, open_output};

/// Arguments of `output`.
#[derive(Debug, clap::Args)]
pub struct OutputArguments {
    /// Where the output is, as `spec.output.uri` has it. The keys are those of a feeder's environment.
    #[arg(long)]
    pub uri: String,
    /// Where a claim for the output is mounted.
    #[arg(long, default_value = OUTPUT_MOUNT_PATH)]
    pub output_directory: PathBuf,
    /// What is asked.
    #[command(subcommand)]
    pub request: Request,
}

/// What is asked. Keys are relative to the output.
#[derive(Debug, Subcommand)]
pub enum Request {
    /// Nothing yet: the pod stays for so many seconds, at most.
    Hold {
        /// The seconds.
        seconds: u64,
    },
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
}

/// An object of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Relative to the output.
    pub key: String,
    /// In bytes.
    pub size: u64,
}

/// Answers one request.
pub async fn output(arguments: &OutputArguments, shutdown: CancellationToken) -> ExitCode {
    match answer(arguments, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn answer(arguments: &OutputArguments, shutdown: CancellationToken) -> anyhow::Result<()> {
    let bytes = match &arguments.request {
        Request::Hold { seconds } => {
            let _ = tokio::time::timeout(Duration::from_secs(*seconds), shutdown.cancelled()).await;
            return Ok(());
        }
        Request::Size { key } => serde_json::to_vec(&open(arguments)?.size(key).await?)?.into(),
        Request::Read { key, start, end } => open(arguments)?.read_range(key, *start..*end).await?,
        Request::List { folder } => {
            let entries = open(arguments)?.list(folder).await?.into_iter();
            let listed: Vec<_> = entries
                .map(|entry| Listed {
                    key: entry.key,
                    size: entry.size,
                })
                .collect();
            serde_json::to_vec(&listed)?.into()
        }
    };
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(&bytes)
        .and_then(|()| stdout.flush())
        .context("failed to write to standard output")
}

fn open(arguments: &OutputArguments) -> anyhow::Result<Store> {
    let uri = StoreUri::parse_prefix(&arguments.uri)?;
    let credentials = Credentials::from_env(Side::Output, environment());
    Ok(open_output(&uri, &credentials, Some(&arguments.output_directory))?)
}
