//! Whether the devices of one server can be used together as they are. Pure, a part of [`super::validate`]; a job that was taken up is not
//! looked at again.

use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::server_resources::{devices, has_parts};
use crate::api::reason::Reason;
use crate::api::resources::Resources;
use crate::api::server::ServerSpec;
use crate::api::wait::Wait;
use crate::engine::Devices;
use crate::engine::devices::option_to_write;

/// Refuses numbers of devices over which the engine would not spread the model by itself, unless the job says how.
///
/// # Errors
/// `SpecInvalid`, with the argument to write.
pub(super) fn refuse_uneven(
    server: &ServerSpec,
    resources: &Resources,
    template: Option<&PodTemplateSpec>,
) -> Result<(), Wait> {
    let Devices::Counted(count @ 2..) = devices(resources, template) else {
        return Ok(());
    };
    let Some(option) = option_to_write(server.engine, &server.args) else {
        return Ok(());
    };
    let engine = server.engine;
    if has_parts(resources) {
        // NVIDIA's MIG user guide, "CUDA Device Enumeration".
        return Err(refusal(&format!(
            "a process sees one part of a GPU (MIG) only, and a server would have {count}: ask for one part, or a larger one, or write in \
             spec.server.args how they are used"
        )));
    }
    // The heads of common models are divided by these.
    if count.is_power_of_two() {
        return Ok(());
    }
    Err(refusal(&format!(
        "engine {engine} cannot divide most models among {count} devices: ask for 1, 2, 4 or 8, or write in spec.server.args how it is done, such \
         as `{option} {count}` for a model whose attention heads can be divided so"
    )))
}

fn refusal(problem: &str) -> Wait {
    let message = format!("spec.server.resources (or resourceProfile): {problem}");
    Wait::new(Reason::SpecInvalid, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(server: &Value) -> Option<String> {
        let server: ServerSpec = serde_json::from_value(server.clone()).expect("a server");
        let resources = server.resources.clone().unwrap_or_default();
        refuse_uneven(&server, &resources, None).err().map(|wait| wait.message)
    }

    #[test]
    fn an_uneven_number_is_refused_unless_the_job_says_how() {
        let with = |device: &str, count: u32, engine: &str, args: &[&str]| json!({"engine": engine, "args": args, "resources": {"limits": {device: count}}});
        let gpu = "nvidia.com/gpu";
        let mig = "nvidia.com/mig-1g.10gb";
        for (server, words) in [
            (with(gpu, 1, "VLLM", &[]), None),
            (with(gpu, 4, "VLLM", &[]), None),
            (with(gpu, 16, "VLLM", &[]), None),
            (with(gpu, 3, "VLLM", &[]), Some("--tensor-parallel-size 3")),
            (with(gpu, 6, "SGLang", &[]), Some("--tp-size 6")),
            (with(gpu, 3, "LoRAX", &[]), Some("--num-shard 3")),
            (with(gpu, 3, "VLLM", &["-tp", "3"]), None),
            (with(gpu, 3, "VLLM", &["--pipeline-parallel-size=3"]), None),
            (with(gpu, 3, "LlamaCpp", &[]), None),
            (with(gpu, 3, "Custom", &[]), None),
            (with(mig, 1, "VLLM", &[]), None),
            (with(mig, 2, "VLLM", &[]), Some("ask for one part")),
            (with(mig, 2, "VLLM", &["--data-parallel-size", "2"]), None),
        ] {
            let message = refused(&server);
            assert_eq!(message.is_some(), words.is_some(), "{server}: {message:?}");
            let message = message.unwrap_or_default();
            assert!(message.contains(words.unwrap_or_default()), "{message}");
        }
    }
}
