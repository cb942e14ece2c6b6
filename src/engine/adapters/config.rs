//! What an adapter says of itself: `adapter_config.json`, as PEFT writes it (`peft/config.py`, `tuners/lora/config.py`).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{largest_rank, told_rank};
use crate::engine::{Engine, Version};

/// The kind of adapter that all engines load.
const LORA: &str = "LORA";
/// What `bias` is where none is changed.
const NO_BIAS: &str = "none";
/// Heads of classifiers, which PEFT saves with every adapter that was trained for one (`peft/peft_model.py`,
/// `PeftModelForSequenceClassification`), and vLLM loads
/// (`vllm/lora/peft_helper.py`, `_validate_features`).
const HEADS: [&str; 2] = ["classifier", "score"];

/// An adapter's `adapter_config.json`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct AdapterConfig {
    peft_type: Option<String>,
    r: Option<u32>,
    /// Modules of another rank.
    #[serde(default)]
    rank_pattern: BTreeMap<String, u32>,
    use_dora: Option<bool>,
    bias: Option<String>,
    modules_to_save: Option<Vec<String>>,
}

impl AdapterConfig {
    /// Reads the file; one that is something else says nothing.
    #[must_use]
    pub fn read(file: &[u8]) -> Self {
        serde_json::from_slice(file).unwrap_or_default()
    }

    /// The largest rank in it.
    #[must_use]
    pub fn rank(&self) -> Option<u32> {
        self.rank_pattern.values().copied().chain(self.r).max()
    }

    /// Why an engine of this version does not load it, where that is certain. `max_rank` is what a person has given it room for.
    #[must_use]
    pub fn problem(&self, engine: Engine, version: Version, max_rank: Option<u32>) -> Option<String> {
        // LoRAX has others besides (predibase/lorax, `server/lorax_server/adapters/`).
        let only_lora = matches!(engine, Engine::VLLM | Engine::SGLang);
        let kind = self.peft_type.as_deref().filter(|kind| only_lora && *kind != LORA);
        if let Some(kind) = kind {
            return Some(format!(
                "it is an adapter of the kind {kind}, and engine {engine} loads {LORA} only"
            ));
        }
        self.unsupported(engine, version)
            .or_else(|| self.too_large(engine, max_rank))
    }

    /// What vLLM 0.32.0 refuses (`vllm/lora/peft_helper.py`, `_validate_features` and `validate_legal`). Another version, or another image,
    /// may load it.
    fn unsupported(&self, engine: Engine, version: Version) -> Option<String> {
        if engine != Engine::VLLM || !version.is_default() {
            return None;
        }
        let is_module = |name: &String| !HEADS.contains(&name.as_str());
        let saves_modules = self.modules_to_save.iter().flatten().any(is_module);
        let what = if self.use_dora == Some(true) {
            "it uses DoRA (use_dora)".to_owned()
        } else if saves_modules {
            "it has whole modules besides (modules_to_save)".to_owned()
        } else {
            let bias = self.bias.as_deref().filter(|bias| *bias != NO_BIAS)?;
            format!("it changes biases (bias: {bias})")
        };
        Some(format!("{what}, which engine {engine} does not load"))
    }

    fn too_large(&self, engine: Engine, max_rank: Option<u32>) -> Option<String> {
        let rank = self.rank()?;
        if let Some(most) = largest_rank(engine).filter(|most| rank > *most) {
            return Some(format!(
                "its rank is {rank}, and engine {engine} loads ranks up to {most}"
            ));
        }
        let has_no_room = |max_rank: &u32| told_rank(engine, *max_rank).is_some_and(|told| rank > told);
        let max_rank = max_rank.filter(has_no_room)?;
        Some(format!(
            "its rank is {rank}, and spec.server.adapters.maxRank is {max_rank}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_rank_say_whether_an_engine_loads_it() {
        for (file, rank, on_vllm, on_lorax) in [
            (
                r#"{"peft_type": "LORA", "r": 16, "lora_alpha": 32}"#,
                Some(16),
                None,
                None,
            ),
            (
                r#"{"peft_type": "LORA", "r": 8, "rank_pattern": {"q_proj": 32}}"#,
                Some(32),
                None,
                None,
            ),
            (
                r#"{"peft_type": "LORA", "r": 1024}"#,
                Some(1024),
                Some("its rank is 1024"),
                None,
            ),
            // vLLM is told the next one that it takes, which is 256.
            (
                r#"{"r": 256, "bias": "none", "use_dora": false, "modules_to_save": null}"#,
                Some(256),
                None,
                None,
            ),
            (r#"{"r": 257}"#, Some(257), Some("maxRank is 200"), None),
            (r#"{"r": 8, "use_dora": true}"#, Some(8), Some("DoRA"), None),
            (
                r#"{"r": 8, "bias": "lora_only"}"#,
                Some(8),
                Some("bias: lora_only"),
                None,
            ),
            (
                r#"{"r": 8, "modules_to_save": ["lm_head"]}"#,
                Some(8),
                Some("modules_to_save"),
                None,
            ),
            (
                r#"{"r": 8, "modules_to_save": ["classifier", "score"]}"#,
                Some(8),
                None,
                None,
            ),
            (
                r#"{"r": 8, "modules_to_save": ["score", "embed_tokens"]}"#,
                Some(8),
                Some("modules_to_save"),
                None,
            ),
            (r#"{"peft_type": "MEDUSA"}"#, None, Some("of the kind MEDUSA"), None),
            ("{}", None, None, None),
            ("<html>", None, None, None),
        ] {
            let config = AdapterConfig::read(file.as_bytes());
            assert_eq!(config.rank(), rank, "{file}");
            for (engine, words) in [(Engine::VLLM, on_vllm), (Engine::LoRAX, on_lorax)] {
                let image = engine.default_image().expect("an image").to_string();
                let problem = config.problem(engine, Version::of(engine, &image), Some(200));
                let is_as_expected = match (&problem, words) {
                    (Some(problem), Some(words)) => problem.contains(words),
                    (None, None) => true,
                    _ => false,
                };
                assert!(is_as_expected, "{engine} {file}: {problem:?}");
            }
        }
    }

    #[test]
    fn who_has_given_room_for_smaller_ranks_is_told_before_any_server() {
        for (engine, rank, is_refused) in [
            // Told 256, the next one that it takes.
            (Engine::VLLM, 201, false),
            (Engine::VLLM, 257, true),
            (Engine::SGLang, 200, false),
            (Engine::SGLang, 201, true),
            (Engine::LoRAX, 1024, false),
            (Engine::LlamaCpp, 1024, false),
        ] {
            let config = AdapterConfig::read(format!(r#"{{"r": {rank}}}"#).as_bytes());
            let problem = |max_rank| config.problem(engine, Version::of(engine, "own/server:1"), max_rank);
            let said = problem(Some(200));
            let expected = format!("its rank is {rank}, and spec.server.adapters.maxRank is 200");
            assert_eq!(said, is_refused.then_some(expected), "{engine} {rank}");
            assert_eq!(problem(None), None, "{engine} {rank}");
        }
    }

    #[test]
    fn what_only_the_operator_s_own_version_is_certain_to_refuse_is_left_to_others() {
        for image in [
            "vllm-openai:v0.33.0",
            "vllm-openai:v0.31.0",
            "own/vllm:v0.32.0",
            "own/vllm:1",
        ] {
            let version = Version::of(Engine::VLLM, image);
            for (file, is_refused) in [
                (r#"{"r": 8, "use_dora": true}"#, false),
                (r#"{"r": 8, "bias": "all"}"#, false),
                (r#"{"r": 8, "modules_to_save": ["lm_head"]}"#, false),
                (r#"{"r": 1024}"#, true),
                (r#"{"peft_type": "IA3"}"#, true),
            ] {
                let problem = AdapterConfig::read(file.as_bytes()).problem(Engine::VLLM, version, None);
                assert_eq!(problem.is_some(), is_refused, "{image} {file}: {problem:?}");
            }
        }
    }
}
