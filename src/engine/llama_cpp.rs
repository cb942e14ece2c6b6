//! llama.cpp's `llama-server`: how it is started. Facts: llama.cpp 0.7.0 (build 11669), `llama-server --help` and runs of it.

use super::launch::{Launch, LaunchError, LaunchInput, Readiness, SHUTDOWN_SECONDS, User, WritablePath};
use super::metrics::METRICS_PATH;
use super::version::Release;
use super::{Location, quantization};

/// The port of older builds and of the image's own health check. The default became 9931, so it is always passed.
const PORT: u16 = 8080;

/// Nothing in the image belongs to a user and nothing outside [`CACHE`] is written, so any user will do; this is the one commonly
/// called `nonroot`.
const USER: User = User {
    user: 65532,
    group: 65532,
};

/// Where files of a repository are downloaded to.
pub(super) const CACHE: &str = "/cache";

/// A build that takes `all` for `--n-gpu-layers` (`common/arg.cpp` of build 8672, of April 2026). That came in the months before it; with
/// which build is not known.
const HAS_ALL_LAYERS: Release = [8672, 0, 0];

pub(super) fn launch(input: &LaunchInput<'_>) -> Result<Launch, LaunchError> {
    Ok(Launch {
        command: None,
        args: args(input)?,
        // Goes before `HF_HOME` and was the only name in older builds (llama-server run, `--cache-list`).
        env: vec![("LLAMA_CACHE".to_owned(), CACHE.to_owned())],
        // The default of `--hf-token`.
        token_env: &["HF_TOKEN"],
        port: PORT,
        // 503 while the model is loaded, then 200 (llama-server run).
        readiness: Readiness::Path("/health"),
        metrics_path: Some(METRICS_PATH),
        writable_paths: vec![WritablePath::weights_cache(CACHE), WritablePath::TEMPORARY],
        run_as: Some(USER),
        // It leaves at once, with code 0 (llama-server run).
        shutdown_seconds: SHUTDOWN_SECONDS,
        served_name: input.names.sent().to_owned(),
    })
}

fn args(input: &LaunchInput<'_>) -> Result<Vec<String>, LaunchError> {
    // Neither form is given `--offline`: a file is read without the network anyway, and a new pod has no repository in its cache.
    let mut args = model_args(input)?;
    // One alias, without a comma in it: of several, answers carry the one that sorts first (llama-server run). Which names rows may use is
    // decided before they are sent, as llama-server answers every name from the base.
    args.extend(["-a", input.names.sent()].map(str::to_owned));
    // The default host is 127.0.0.1.
    args.extend(["--host", "0.0.0.0", "--port", &PORT.to_string()].map(str::to_owned));
    // Off by default, then `/metrics` answers 501.
    args.push("--metrics".to_owned());
    // At `auto`, layers that are thought not to fit would be computed on a few CPUs beside a GPU that is paid for. A model that does not
    // fit ends the server so, and is told as `OutOfGPUMemory`. Over several devices layers are spread without a word
    // (`devices::tensor_parallel`). Older builds take a number only. An argument
    // goes before the variable, by which a person may have said another number.
    let is_said = input.env.contains(&"LLAMA_ARG_N_GPU_LAYERS");
    if input.devices.are_there() && input.version.is_at_least(HAS_ALL_LAYERS) && !is_said {
        args.extend(["--n-gpu-layers", "all"].map(str::to_owned));
    }
    // `-np` is left at auto: four slots that share the whole context (llama-server run: n_slots = 4, kv_unified = true). A number
    // would give each slot its share only, and long prompts would be refused. More requests than slots are queued without limit.
    args.extend(input.extra_args.iter().cloned());
    Ok(args)
}

fn model_args(input: &LaunchInput<'_>) -> Result<Vec<String>, LaunchError> {
    let quantization = quantization::llama_cpp(input.model, input.quantization)?;
    let repository = match input.model.location() {
        Location::Path(name) | Location::Server(name) => return Ok(vec!["-m".to_owned(), name.clone()]),
        Location::Repository(repository) => repository,
    };
    let gguf = input.model.entry().map(|entry| entry.gguf.as_ref());
    let file = match gguf {
        Some(None) => {
            return Err(LaunchError::CatalogOnLlamaCpp {
                model: input.model.value().to_owned(),
                repository: repository.clone(),
            });
        }
        Some(Some(gguf)) => gguf.file.as_ref(),
        None => None,
    };
    Ok(match (quantization, file) {
        (Some(quantization), _) => vec!["-hf".to_owned(), format!("{repository}:{quantization}")],
        // A person's own `-hff` comes later, and counts.
        (None, Some(file)) => vec!["-hf".to_owned(), repository.clone(), "-hff".to_owned(), file.clone()],
        (None, None) => vec!["-hf".to_owned(), repository.clone()],
    })
}
