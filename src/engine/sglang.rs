//! SGLang: how it is started. Facts: sglang 0.5.23, files below `sglang/srt` as named, and its documentation for the image.

use super::launch::{Launch, LaunchError, LaunchInput, Readiness, SHUTDOWN_SECONDS, WritablePath};
use super::metrics::METRICS_PATH;
use super::{devices, quantization};

/// SGLang's own default (`arg_groups/fields/serving.py`), passed all the same so that both sides say it.
const PORT: u16 = 30000;

/// Where downloads and compiled kernels go of a server that is root (`docs/get_started/install.md` mounts its `huggingface`).
pub(super) const CACHE: &str = "/root/.cache";

/// `--shm-size 32g` of its documentation (`docs/get_started/install.md`): a limit, of which little is used by a server with one GPU.
const SHARED_MEMORY_MEBIBYTES: u32 = 32 * 1024;

pub(super) fn launch(input: &LaunchInput<'_>) -> Result<Launch, LaunchError> {
    input.refuse_gguf()?;
    Ok(Launch {
        // The image has no entrypoint that serves (`docs/get_started/install.md`).
        command: Some(["python3", "-m", "sglang.launch_server"].map(str::to_owned).into()),
        args: args(input)?,
        env: [
            ("HF_HOME", format!("{CACHE}/huggingface")),
            // Else `/health` waits for a token of the engine, a second at least, and more where it is busy (`environ.py`).
            ("SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION", "false".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
        // `docs/get_started/install.md`; huggingface_hub reads it.
        token_env: &["HF_TOKEN"],
        port: PORT,
        // 503 until the model is loaded and warm, and when it shuts down (`entrypoints/http_server.py`). `/ready` would say the same, and is
        // not in older versions.
        readiness: Readiness::Path("/health"),
        metrics_path: Some(METRICS_PATH),
        writable_paths: vec![
            WritablePath::weights_cache(CACHE),
            WritablePath::shared_memory(SHARED_MEMORY_MEBIBYTES),
            WritablePath::TEMPORARY,
        ],
        // The image names no user, and its server writes below root's home.
        run_as: None,
        // On SIGTERM it waits for requests in flight; the feeder gives up those of rows, and at a job's end there are none.
        shutdown_seconds: SHUTDOWN_SECONDS,
        served_name: input.names.sent().to_owned(),
    })
}

fn args(input: &LaunchInput<'_>) -> Result<Vec<String>, LaunchError> {
    let mut args = vec!["--model-path".to_owned(), input.model.location().name().to_owned()];
    args.extend(input.revision_args());
    // Takes one name. Which names rows may use is decided before they are sent, as SGLang answers every name from the base
    // (`entrypoints/openai/serving_base.py`).
    args.extend(["--served-model-name", input.names.sent()].map(str::to_owned));
    // The default host is 127.0.0.1.
    args.extend(["--host", "0.0.0.0", "--port", &PORT.to_string()].map(str::to_owned));
    // Off by default, then there is no `/metrics` (`arg_groups/fields/observability.py`).
    args.push("--enable-metrics".to_owned());
    args.extend(devices::tensor_parallel(input));
    args.extend(if input.version.is_default() {
        quantization::sglang(input.quantization)?
    } else {
        quantization::other_sglang(input.quantization)?
    });
    args.extend(input.extra_args.iter().cloned());
    Ok(args)
}
