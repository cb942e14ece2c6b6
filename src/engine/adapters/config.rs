//! What an adapter says of itself: `adapter_config.json`, as PEFT writes it (`peft/config.py`, `tuners/lora/config.py`).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::largest_rank;
use crate::engine::Engine;

/// The kind of adapter that all engines load.
const LORA: &str = "LORA";

/// An adapter's `adapter_config.json`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct AdapterConfig {
    peft_type: Option<String>,
    r: Option<u32>,
    /// Modules of another rank.
    #[serde(default)]
    rank_pattern: BTreeMap<String, u32>,
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

    /// Why an engine does not load it, where that is certain.
    #[must_use]
    pub fn problem(&self, engine: Engine) -> Option<String> {
        // LoRAX has others besides (predibase/lorax, `server/lorax_server/adapters/`).
        let only_lora = matches!(engine, Engine::VLLM | Engine::SGLang);
        let kind = self.peft_type.as_deref().filter(|kind| only_lora && *kind != LORA);
        if let Some(kind) = kind {
            return Some(format!(
                "it is an adapter of the kind {kind}, and engine {engine} loads {LORA} only"
            ));
        }
        let most = largest_rank(engine)?;
        let rank = self.rank().filter(|rank| *rank > most)?;
        Some(format!(
            "its rank is {rank}, and engine {engine} loads ranks up to {most}"
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
            (r#"{"peft_type": "MEDUSA"}"#, None, Some("of the kind MEDUSA"), None),
            ("{}", None, None, None),
            ("<html>", None, None, None),
        ] {
            let config = AdapterConfig::read(file.as_bytes());
            assert_eq!(config.rank(), rank, "{file}");
            for (engine, words) in [(Engine::VLLM, on_vllm), (Engine::LoRAX, on_lorax)] {
                let problem = config.problem(engine);
                let is_as_expected = match (&problem, words) {
                    (Some(problem), Some(words)) => problem.contains(words),
                    (None, None) => true,
                    _ => false,
                };
                assert!(is_as_expected, "{engine} {file}: {problem:?}");
            }
        }
    }
}
