//! Engine `Custom`: any server of the `OpenAI` API in an image of the person's own. What an engine's launch description says of others,
//! `spec.server.podTemplate` says here; what is missing there is refused.

use super::launch::{Launch, LaunchError, LaunchInput, Readiness};
use super::quantization;

pub(super) fn launch(input: &LaunchInput<'_>) -> Result<Launch, LaunchError> {
    quantization::custom(input.quantization)?;
    let container = input.container;
    let port = container.port.ok_or(LaunchError::CustomWithoutPort)?;
    if !container.has_readiness_probe {
        return Err(LaunchError::CustomWithoutReadiness);
    }
    if container.has_args && !input.extra_args.is_empty() {
        return Err(LaunchError::CustomArgsTwice);
    }
    Ok(Launch {
        command: None,
        args: input.extra_args.to_vec(),
        env: Vec::new(),
        // The name that huggingface_hub reads, and with it most servers that take models from there.
        token_env: &["HF_TOKEN"],
        port,
        readiness: Readiness::PodTemplate,
        metrics_path: None,
        writable_paths: Vec::new(),
        run_as: None,
        // Kubernetes' own default, as nothing is known of the program.
        shutdown_seconds: 30,
        served_name: input.names.sent().to_owned(),
    })
}
