//! How many parameters a model has, where its name says it plainly: `Qwen3-8B`, `SmolLM2-135M-Instruct`, `Mixtral-8x7B`.

use super::{BaseModel, Location};

/// The number of parameters in a model's name. A model of experts counts them all, as all are loaded.
pub(super) fn parameters(model: &BaseModel) -> Option<u64> {
    let name = match model.location() {
        Location::Repository(name) | Location::Path(name) => name,
        Location::Server(_) => return None,
    };
    let last = name.trim_end_matches('/').rsplit('/').next()?;
    let mut parts = last.split(['-', '_', ' ']);
    if parts.clone().any(counts_experts) {
        return None;
    }
    parts.find_map(size)
}

/// Whether a part of a name is a number of experts: beside it, the size is that of the active ones (`Llama-4-Scout-17B-16E` has 109 B).
fn counts_experts(part: &str) -> bool {
    let number = part.strip_suffix(['E', 'e']);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A part of a name that is a size: `8B`, `0.6b`, `135M`, `8x7B`, also before an ending (`8B.gguf`).
fn size(part: &str) -> Option<u64> {
    let end = part.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == 'x'))?;
    let (number, rest) = part.split_at(end);
    let mut letters = rest.chars();
    let unit = match letters.next()?.to_ascii_lowercase() {
        'b' => 1_000_000_000,
        'm' => 1_000_000,
        _ => return None,
    };
    if letters.next().is_some_and(|after| after != '.') {
        return None;
    }
    match number.split_once('x') {
        Some((experts, each)) => experts.parse::<u64>().ok()?.checked_mul(times(each, unit)?),
        None => times(number, unit),
    }
}

/// A decimal number times a unit, in integers: `0.6` times a thousand million.
fn times(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: u64 = format!("{whole}{fraction}").parse().ok()?;
    Some(digits.checked_mul(unit)? / scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Catalog;
    use crate::engine::Engine;

    #[test]
    fn a_name_says_its_size_plainly_or_not_at_all() {
        for (name, expected) in [
            ("Qwen/Qwen3-8B", Some(8_000_000_000)),
            ("qwen3-8b", Some(8_000_000_000)),
            ("qwen2-5-1-5b-instruct", Some(1_500_000_000)),
            ("Qwen/Qwen3-0.6B", Some(600_000_000)),
            ("Qwen/Qwen3-30B-A3B", Some(30_000_000_000)),
            ("Qwen/Qwen2.5-7B-Instruct-1M", Some(7_000_000_000)),
            ("mistralai/Mixtral-8x7B-Instruct-v0.1", Some(56_000_000_000)),
            ("meta-llama/Llama-2-7b-hf", Some(7_000_000_000)),
            ("/models/SmolLM2-135M-Instruct.Q4_1.gguf", Some(135_000_000)),
            ("/models/Qwen3-8B.Q4_K_M.gguf", Some(8_000_000_000)),
            ("/models/Qwen3-8B/", Some(8_000_000_000)),
            ("/8B/model.gguf", None),
            ("microsoft/phi-2", None),
            ("microsoft/Phi-3-mini-4k-instruct", None),
            ("unsloth/model-bnb-4bit", None),
            ("google/gemma-3n-E4B-it", None),
            ("meta-llama/Llama-4-Scout-17B-16E-Instruct", None),
            ("meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8", None),
            ("BAAI/bge-m3", None),
            ("org/model-v0.1", None),
            ("org/model-99999999999999999999b", None),
            ("org/model-x7b", None),
            ("org/model-.b", None),
        ] {
            let model = BaseModel::read(Catalog::built_in(), Engine::VLLM, name).expect("a model");
            assert_eq!(parameters(&model), expected, "{name}");
        }
        let other = BaseModel::read(Catalog::built_in(), Engine::Custom, "meta/llama-3.1-8b").expect("a model");
        assert_eq!(parameters(&other), None);
    }
}
