//! Which kinds of models an engine loads, as far as that is certain: what is not refused here may still be refused by the server.

use super::Engine;

/// What a model's `config.json` says of its kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Architecture<'a> {
    /// `model_type`.
    pub model_type: Option<&'a str>,
    /// `architectures`: names of classes.
    pub classes: &'a [String],
}

/// The types that LoRAX dispatches on; it refuses every other ("Unsupported model type", predibase/lorax at a7394ba,
/// `server/lorax_server/models/__init__.py`). No release knows more.
const LORAX: &[&str] = &[
    "RefinedWeb",
    "RefinedWebModel",
    "bert",
    "bloom",
    "cohere",
    "dbrx",
    "distilbert",
    "falcon",
    "gemma",
    "gemma2",
    "gpt2",
    "gpt_bigcode",
    "gpt_neox",
    "granite",
    "llama",
    "llava",
    "llava_next",
    "mistral",
    "mixtral",
    "mllama",
    "mpt",
    "opt",
    "phi",
    "phi-msft",
    "phi3",
    "qwen",
    "qwen2",
    "solar",
    "t5",
    "xlm-roberta",
];

/// Classes that vLLM took once and does not take any more without a plugin: models with an encoder and a decoder, and two whose code
/// stands in their repositories (`vllm/model_executor/models/registry.py`, `_PREVIOUSLY_SUPPORTED_MODELS` and
/// `_OOT_SUPPORTED_MODELS`). Of what it does not know, vLLM loads much by the code of transformers, so that its list of known ones says little.
const NOT_VLLM: &[&str] = &[
    "BartForConditionalGeneration",
    "BartModel",
    "DonutForConditionalGeneration",
    "Florence2ForConditionalGeneration",
    "MBartForConditionalGeneration",
    "MllamaForConditionalGeneration",
    "Phi3SmallForCausalLM",
    "Phi4FlashForCausalLM",
];

/// The word of a model's kind that the engine's default version ([`super::Version::is_default`]) is certain not to load; none when it may load it.
#[must_use]
pub fn unsupported(engine: Engine, architecture: Architecture<'_>) -> Option<&str> {
    match engine {
        Engine::LoRAX => architecture.model_type.filter(|kind| !LORAX.contains(kind)),
        Engine::VLLM => {
            let mut classes = architecture.classes.iter().map(String::as_str);
            classes.find(|class| NOT_VLLM.contains(class))
        }
        // SGLang takes what it does not know by the code of transformers, too; GGUF files say their kind to llama.cpp alone.
        Engine::SGLang | Engine::LlamaCpp | Engine::Custom => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_is_refused() {
        let classes = |name: &str| vec![name.to_owned()];
        for (engine, model_type, class, expected) in [
            (Engine::LoRAX, "qwen3", "Qwen3ForCausalLM", Some("qwen3")),
            (Engine::LoRAX, "qwen2", "Qwen2ForCausalLM", None),
            (Engine::VLLM, "qwen3", "Qwen3ForCausalLM", None),
            (
                Engine::VLLM,
                "bart",
                "BartForConditionalGeneration",
                Some("BartForConditionalGeneration"),
            ),
            (Engine::VLLM, "of-tomorrow", "OfTomorrowForCausalLM", None),
            (Engine::SGLang, "of-tomorrow", "OfTomorrowForCausalLM", None),
            (Engine::LlamaCpp, "of-tomorrow", "OfTomorrowForCausalLM", None),
        ] {
            let classes = classes(class);
            let architecture = Architecture {
                model_type: Some(model_type),
                classes: &classes,
            };
            assert_eq!(unsupported(engine, architecture), expected, "{engine} {model_type}");
        }
        assert_eq!(unsupported(Engine::LoRAX, Architecture::default()), None);
    }
}
