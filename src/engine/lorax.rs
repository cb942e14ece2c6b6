//! LoRAX: how it is started. Facts: predibase/lorax at a7394ba (2026-05-28), files as named; those that a launch uses are the same in
//! its last release, v0.12.1.

use super::launch::{Launch, LaunchError, LaunchInput, Readiness, SHUTDOWN_SECONDS, WritablePath};
use super::metrics::METRICS_PATH;
use super::spelling::Reader;
use super::{devices, quantization};

/// Always passed, as is the address: without, they are read from `PORT`, which is 80 in the image, and from `HOSTNAME`, which every
/// container has (`launcher/src/main.rs`).
const PORT: u16 = 8080;

/// The image's `HUGGINGFACE_HUB_CACHE` (`Dockerfile`).
pub(super) const CACHE: &str = "/data";

/// `--shm-size 1g` of its documentation (`docs/getting_started/docker.md`), for each device.
const SHARED_MEMORY_MEBIBYTES: u32 = 1024;

pub(super) fn launch(input: &LaunchInput<'_>) -> Result<Launch, LaunchError> {
    input.refuse_gguf()?;
    Ok(Launch {
        // The image's entrypoint is `lorax-launcher` (`Dockerfile`).
        command: None,
        args: args(input)?,
        env: vec![("HUGGINGFACE_HUB_CACHE".to_owned(), CACHE.to_owned())],
        // The launcher reads the first for a model's config.json (`launcher/src/main.rs`), the router and the shards the second
        // (`router/src/main.rs`, `server/lorax_server/server.py`).
        token_env: &["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"],
        port: PORT,
        // The router listens when the shards have their weights; 503 when one is down (`router/src/server.rs`).
        readiness: Readiness::Path("/health"),
        metrics_path: Some(METRICS_PATH),
        writable_paths: vec![
            WritablePath::weights_cache(CACHE),
            WritablePath::shared_memory(SHARED_MEMORY_MEBIBYTES.saturating_mul(input.devices.at_least_one())),
            WritablePath::TEMPORARY,
        ],
        // The image names no user, and its server writes below root's home (`Dockerfile`).
        run_as: None,
        // On SIGTERM it waits up to 90 s for requests in flight (`launcher/src/main.rs`); the feeder gives up those of rows, and at a
        // job's end there are none.
        shutdown_seconds: SHUTDOWN_SECONDS,
        // The base model is the one that `--model-id` names, letter by letter; every other name is an adapter to be loaded
        // (`router/src/server.rs`, `chat_completions_v1`).
        served_name: model(input).to_owned(),
    })
}

/// Whether a server takes its model from the Hugging Face Hub, and not from S3, Predibase or a directory: `--source`, else the variable
/// `SOURCE`, which is `variable`, else the hub (`launcher/src/main.rs`).
#[must_use]
pub fn asks_hub(args: &[String], variable: Option<&str>) -> bool {
    let source = Reader::Clap.value(args, &["--source"]).or(variable);
    source.is_none_or(|source| source == "hub")
}

fn model<'a>(input: &LaunchInput<'a>) -> &'a str {
    input.model.location().name()
}

fn args(input: &LaunchInput<'_>) -> Result<Vec<String>, LaunchError> {
    let mut args = [
        "--model-id",
        model(input),
        "--hostname",
        "0.0.0.0",
        "--port",
        &PORT.to_string(),
    ]
    .map(str::to_owned)
    .to_vec();
    args.extend(input.revision_args());
    args.extend(devices::tensor_parallel(input));
    args.extend(if input.version.is_default() {
        quantization::lorax(input.quantization, input.devices.at_least_one())?
    } else {
        quantization::other_lorax(input.quantization)?
    });
    args.extend(input.extra_args.iter().cloned());
    Ok(args)
}
