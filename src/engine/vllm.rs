//! vLLM: how it is started. Facts: vLLM 0.32.0, and its documentation for the image.

use super::launch::{Launch, LaunchError, LaunchInput, Readiness, SHUTDOWN_SECONDS, User, WritablePath};
use super::metrics::METRICS_PATH;
use super::version::Release;
use super::{devices, quantization};

/// vLLM's own default (`vllm/entrypoints/launchers/cli_args.py`), passed all the same so that both sides say it.
const PORT: u16 = 8000;

/// The built-in user of the image (`docs/deployment/docker.md`, "Run as a non-root user"): the image runs as root when nothing
/// is said, and is prepared for this user and group, whose home is `/home/vllm`.
const USER: User = User { user: 2000, group: 0 };

/// The cache below that home. Weights and compiled kernels go there by default; it is named in the environment as well, for
/// images that have another home.
pub(super) const CACHE: &str = "/home/vllm/.cache";

/// The first release whose image has the user (vllm-project/vllm, PR 40275; `docker/Dockerfile` of 0.22.0, and not yet of 0.21.0).
const HAS_USER: Release = [0, 22, 0];
/// The first release with `--max-model-len auto` (vllm-project/vllm, PR 29431; `vllm/config/model.py` of 0.14.0, and not yet of 0.13.0).
const HAS_AUTO_LENGTH: Release = [0, 14, 0];
/// The first release with `--disable-access-log-for-endpoints` (vllm-project/vllm, PR 30011; `vllm/entrypoints/openai/cli_args.py` of
/// 0.16.0, and not yet of 0.15.1).
const HAS_QUIET_ENDPOINTS: Release = [0, 16, 0];

/// Size of `/dev/shm` for each device: that of upstream's Kubernetes example for NVIDIA devices (`docs/deployment/k8s.md`); workers of a tensor-parallel
/// server share memory through it, and the 64 MiB of a container runtime are too few.
const SHARED_MEMORY_MEBIBYTES: u32 = 2048;

pub(super) fn launch(input: &LaunchInput<'_>) -> Result<Launch, LaunchError> {
    // vLLM 0.32 has GGUF in `vllm-gguf-plugin` only (`vllm/model_executor/layers/quantization/__init__.py`).
    input.refuse_gguf()?;
    Ok(Launch {
        command: None,
        args: args(input)?,
        env: env(),
        // `docs/deployment/k8s.md`; huggingface_hub reads it.
        token_env: &["HF_TOKEN"],
        port: PORT,
        // 200 when the engine works, 503 when it died; while it loads, nothing listens
        // (`vllm/entrypoints/serve/instrumentator/health.py`).
        readiness: Readiness::Path("/health"),
        metrics_path: Some(METRICS_PATH),
        writable_paths: vec![
            WritablePath::weights_cache(CACHE),
            WritablePath::shared_memory(SHARED_MEMORY_MEBIBYTES.saturating_mul(input.devices.at_least_one())),
            WritablePath::TEMPORARY,
        ],
        // An older image does not know this user, and torch does not start as nobody (`torch/_inductor/runtime/cache_dir_utils.py`, `getpass.getuser`).
        run_as: input.version.is_at_least(HAS_USER).then_some(USER),
        // On SIGTERM it aborts what is in flight at once (`--shutdown-timeout` is 0 by default, `vllm/config/vllm.py`), and that is
        // right here: rows in flight are sent again, and at a job's end there are none. The rest is for the workers to free the GPU.
        shutdown_seconds: SHUTDOWN_SECONDS,
        served_name: input.names.sent().to_owned(),
    })
}

fn args(input: &LaunchInput<'_>) -> Result<Vec<String>, LaunchError> {
    // The model comes first, without `serve`: the image's entrypoint is `vllm serve` (`docs/deployment/docker.md`).
    let mut args = vec![input.model.location().name().to_owned()];
    args.extend(input.revision_args());
    // Takes several names; answers carry the first (`vllm/config/model.py`). A name that is not listed is answered with 404.
    args.push("--served-model-name".to_owned());
    args.extend(input.names.as_slice().iter().cloned());
    args.extend(["--host", "0.0.0.0", "--port", &PORT.to_string()].map(str::to_owned));
    // The largest context that fits the GPU (`vllm/config/model.py`). Without it vLLM does not start
    // when a single request of the model's full context would not fit (`vllm/v1/core/kv_cache_utils.py`).
    if input.version.is_at_least(HAS_AUTO_LENGTH) {
        args.extend(["--max-model-len", "auto"].map(str::to_owned));
    }
    args.extend(devices::tensor_parallel(input));
    args.extend(quantization_args(input)?);
    // Probes and scrapes every few seconds would hide the lines that matter.
    if input.version.is_at_least(HAS_QUIET_ENDPOINTS) {
        args.extend(["--disable-access-log-for-endpoints", "/health,/metrics"].map(str::to_owned));
    }
    args.extend(input.extra_args.iter().cloned());
    Ok(args)
}

fn quantization_args(input: &LaunchInput<'_>) -> Result<Vec<String>, LaunchError> {
    if input.version.is_default() {
        return Ok(quantization::vllm(input.quantization)?);
    }
    Ok(quantization::other_vllm(input.quantization))
}

fn env() -> Vec<(String, String)> {
    [
        ("HF_HOME", format!("{CACHE}/huggingface")),
        // Kept with the weights, so that a later server skips torch.compile (`docs/deployment/docker.md`).
        ("VLLM_CACHE_ROOT", format!("{CACHE}/vllm")),
        // Servers report to nobody (`vllm/envs.py`).
        ("VLLM_NO_USAGE_STATS", "1".to_owned()),
        // A week, the most that startupTimeoutSeconds can be, instead of vLLM's 600 s (`vllm/envs.py`), which a slow download can exceed: the job's startupTimeoutSeconds
        // decides how long a start may take.
        ("VLLM_ENGINE_READY_TIMEOUT_S", "604800".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
