//! Devices that the operator's own images do not compute on. Pure, a part of [`super::validate`].

use crate::api::Engine;
use crate::api::reason::Reason;
use crate::api::resources::Resources;
use crate::api::wait::Wait;

/// How the names of other vendors' devices begin, as their device plugins have them. Of other names nothing is certain: NVIDIA's devices are also
/// shared under names of whoever shares them.
const OTHER_VENDORS: [&str; 6] = [
    "amd.com/gpu",
    "aws.amazon.com/neuron",
    "google.com/tpu",
    "gpu.intel.com/",
    "habana.ai/gaudi",
    "huawei.com/Ascend",
];

/// Refuses a device that would stand idle beside the processors that the image computes on, or with which its server ends at once: the built-in images
/// are all made for CUDA ([`Engine::default_image`]).
///
/// # Errors
/// `SpecInvalid`.
pub(super) fn refuse(engine: Engine, image: &str, resources: &Resources) -> Result<(), Wait> {
    let is_built_in = engine
        .default_image()
        .is_some_and(|built_in| built_in.to_string() == image);
    let mut named = resources.limits.iter().chain(&resources.requests);
    let foreign = named.find(|(name, quantity)| {
        let is_foreign = OTHER_VENDORS.iter().any(|start| name.starts_with(start));
        is_foreign && quantity.0 != "0"
    });
    let Some((device, _)) = foreign.filter(|_| is_built_in) else {
        return Ok(());
    };
    let message = format!(
        "spec.server.image: the operator's image for engine {engine}, {image}, computes on NVIDIA devices, and a server asks for {device}: \
         write an image made for that device, or a resourceProfile that has one"
    );
    Err(Wait::new(Reason::SpecInvalid, message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_built_in_image_is_not_started_on_another_vendor_s_device() {
        let vllm = "vllm/vllm-openai:v0.32.0";
        let llama = "ghcr.io/ggml-org/llama.cpp:server-cuda-b11382";
        for (engine, image, limits, is_refused) in [
            (Engine::VLLM, vllm, json!({"amd.com/gpu": 1}), true),
            (Engine::LlamaCpp, llama, json!({"amd.com/gpu": 1}), true),
            (Engine::LlamaCpp, llama, json!({"gpu.intel.com/i915": 1}), true),
            (Engine::VLLM, vllm, json!({"nvidia.com/gpu": 1}), false),
            (Engine::VLLM, vllm, json!({"nvidia.com/gpu.shared": 1}), false),
            (Engine::VLLM, vllm, json!({"volcano.sh/vgpu-number": 1}), false),
            (Engine::VLLM, vllm, json!({"amd.com/gpu": "0"}), false),
            (
                Engine::VLLM,
                "vllm/vllm-openai-rocm:v0.32.0",
                json!({"amd.com/gpu": 1}),
                false,
            ),
            (
                Engine::LlamaCpp,
                "ghcr.io/ggml-org/llama.cpp:server-rocm-b11382",
                json!({"amd.com/gpu": 1}),
                false,
            ),
            (Engine::Custom, "tgi:1", json!({"amd.com/gpu": 1}), false),
        ] {
            let resources = serde_json::from_value(json!({"limits": limits})).expect("resources");
            let refusal = refuse(engine, image, &resources).err();
            assert_eq!(refusal.is_some(), is_refused, "{image} {limits}");
            if let Some(refusal) = refusal {
                assert!(refusal.message.contains("resourceProfile"), "{}", refusal.message);
            }
        }
    }
}
