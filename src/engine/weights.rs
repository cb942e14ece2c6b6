//! How many bytes a parameter of a model takes, as it is stored and as it is loaded. `docs/reference/sizing.md` has the same as a table.

use super::quantization::is_gguf_file_type;
use super::spelling::Reader;
use super::vocabulary::NONE;
use super::{BaseModel, Engine, Location};

/// Thousandths of a byte that a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weights {
    /// In the files that are downloaded.
    pub(super) stored: u64,
    /// In the memory that computes.
    pub(super) loaded: u64,
}

/// bf16 and fp16, and whatever says nothing of its size: no other common checkpoint is larger.
const SIXTEEN: u64 = 2000;
/// With embeddings and norms, which stay in 16 bits: of an 8 B model some 15 %.
const EIGHT: u64 = 1150;
/// Qwen3-8B-AWQ has 5.68 GiB, 0.745 bytes a parameter (catalog of kaito-project/kaito, `model_catalog.yaml`).
const FOUR: u64 = 750;

const AS_IT_IS: Weights = made(SIXTEEN);

/// A checkpoint that was made so.
const fn made(size: u64) -> Weights {
    Weights {
        stored: size,
        loaded: size,
    }
}

/// An ordinary checkpoint that becomes so when it is loaded.
const fn on_loading(size: u64) -> Weights {
    Weights {
        stored: SIXTEEN,
        loaded: size,
    }
}

/// What a parameter of this model takes with this quantization. llama-server's arguments may name the file.
pub(super) fn weights(engine: Engine, model: &BaseModel, quantization: Option<&str>, args: &[String]) -> Weights {
    let name = model.location().name();
    match engine {
        Engine::LlamaCpp => gguf(model, quantization, args),
        Engine::VLLM | Engine::LoRAX | Engine::SGLang | Engine::Custom => {
            by_word(quantization.unwrap_or(NONE), said_by_name(name))
        }
    }
}

/// What a word of the vocabulary makes of a checkpoint, whose name may say how it was made.
fn by_word(word: &str, named: Option<Weights>) -> Weights {
    match word {
        "fp8"
        | "fp8_per_tensor"
        | "fp8_per_block"
        | "fp8_per_channel"
        | "fp8-kv"
        | "mxfp8"
        | "int8_per_channel_weight_only"
        | "bitsandbytes-int8"
        | "eetq" => named.unwrap_or(on_loading(EIGHT)),
        "bitsandbytes-nf4" | "bitsandbytes-fp4" | "nvfp4_per_token" | "nvfp4_online" | "quark_mxfp4" | "hqq-4bit"
        | "hqq-3bit" | "hqq-2bit" => named.unwrap_or(on_loading(FOUR)),
        "modelopt" | "modelopt_fp8" | "modelopt_mxfp8" | "deepseek_v4_fp8" | "w8a8_int8" | "w8a8_fp8"
        | "auto-round-int8" => made(EIGHT),
        "awq" | "auto_awq" | "awq_marlin" | "gptq" | "auto_gptq" | "gptq_marlin" | "moe_wna16" => {
            named.unwrap_or(made(FOUR))
        }
        "modelopt_fp4" | "mxfp4" | "gpt_oss_mxfp4" | "petit_nvfp4" | "w4afp8" => made(FOUR),
        // Of the others the word does not say how many bits they make.
        _ => named.unwrap_or(AS_IT_IS),
    }
}

/// How a checkpoint was made, where a part of its name says so: `Qwen3-8B-AWQ`, `Qwen2.5-7B-Instruct-GPTQ-Int8`.
fn said_by_name(name: &str) -> Option<Weights> {
    let name = name.to_ascii_lowercase();
    let says = |words: &[&str]| name.split(['-', '_', '/', '.']).any(|part| words.contains(&part));
    if says(&["fp8", "int8", "8bit", "w8a8", "w8a16"]) {
        return Some(made(EIGHT));
    }
    says(&["awq", "gptq", "int4", "4bit", "w4a16", "nvfp4", "mxfp4"]).then_some(made(FOUR))
}

/// What a parameter takes in a GGUF file of this type; of a repository whose type is not said, that of the file that is named, and else
/// llama-server takes `Q4_K_M`.
fn gguf(model: &BaseModel, quantization: Option<&str>, args: &[String]) -> Weights {
    let of_catalog = model.entry().and_then(|entry| entry.gguf.as_ref()?.file.as_deref());
    let by_name = || match model.location() {
        Location::Repository(_) => {
            let file = Reader::LlamaCpp.value(args, &["-hff", "--hf-file"]).or(of_catalog);
            file.and_then(type_in_name).or(Some("Q4_K_M"))
        }
        Location::Path(path) | Location::Server(path) => type_in_name(path),
    };
    quantization
        .or_else(by_name)
        .filter(|file_type| is_gguf_file_type(file_type))
        .and_then(bits)
        .map_or(AS_IT_IS, |(bits, is_float)| {
            // Blocks have scales, and embeddings more bits: one and a half in all (SmolLM2-135M Q4_1: 5.7 bits a parameter).
            let halves = if is_float { bits * 2 } else { bits * 2 + 3 };
            made(halves * 1000 / 16)
        })
}

/// The type in a file's name: `Q4_1` of `/models/SmolLM2-135M-Instruct.Q4_1.gguf`.
fn type_in_name(path: &str) -> Option<&str> {
    let file = path.rsplit('/').next()?;
    file.split(['.', '-']).rev().find(|part| is_gguf_file_type(part))
}

/// The first number of a type is its bits; whether they are floating point, which has no blocks.
fn bits(file_type: &str) -> Option<(u64, bool)> {
    let upper = file_type.to_ascii_uppercase();
    let digits = upper.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let is_float = ["F16", "BF16", "F32"].contains(&upper.as_str());
    digits[..end].parse().ok().map(|bits| (bits, is_float))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Catalog;
    use crate::engine::quantization::words;

    const PAGE: &str = include_str!("../../docs/reference/sizing.md");

    fn of(engine: Engine, model: &str, quantization: Option<&str>) -> Weights {
        weights(
            engine,
            &BaseModel::read(Catalog::built_in(), engine, model).expect("a model"),
            quantization,
            &[],
        )
    }

    /// The rows about bytes: words, and thousandths of a byte stored and loaded, written as `0.75` or `2`.
    fn rows() -> Vec<(Vec<&'static str>, Weights)> {
        let thousandths = |cell: &str| {
            let (whole, fraction) = cell.split_once('.').unwrap_or((cell, ""));
            format!("{whole}{fraction:0<3}").parse().ok()
        };
        let cells = PAGE.lines().filter_map(|line| {
            let row = line.strip_prefix("| `")?.strip_suffix(" |")?;
            let [words, stored, loaded]: [&str; 3] = row.split(" | ").collect::<Vec<_>>().try_into().ok()?;
            let words = words.split('`').step_by(2).collect();
            let (stored, loaded) = (thousandths(stored)?, thousandths(loaded)?);
            Some((words, Weights { stored, loaded }))
        });
        cells.collect()
    }

    #[test]
    fn every_word_of_every_engine_is_on_the_page_with_its_bytes() {
        let rows = rows();
        for engine in Engine::ALL {
            for word in words(engine) {
                let found = rows.iter().find(|(words, _)| words.contains(&word));
                let (_, on_page) = found.unwrap_or_else(|| panic!("{word} is not on the page"));
                assert_eq!(of(engine, "org/model", Some(word)), *on_page, "{word}");
            }
        }
        for (words, on_page) in rows.iter().filter(|(words, _)| words[0].starts_with('Q')) {
            for word in words {
                assert_eq!(of(Engine::LlamaCpp, "org/model", Some(word)), *on_page, "{word}");
            }
        }
    }

    #[test]
    fn a_checkpoint_s_name_says_how_it_was_made() {
        for (model, quantization, expected) in [
            ("Qwen/Qwen3-8B", None, AS_IT_IS),
            ("Qwen/Qwen3-8B-AWQ", None, made(FOUR)),
            ("Qwen/Qwen3-8B-FP8", None, made(EIGHT)),
            ("Qwen/Qwen3-8B-FP8", Some("fp8"), made(EIGHT)),
            ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", Some("gptq"), made(EIGHT)),
            ("unsloth/Llama-3.2-3B-bnb-4bit", None, made(FOUR)),
            ("org/quark-w8a8", Some("quark"), made(EIGHT)),
        ] {
            assert_eq!(
                of(Engine::VLLM, model, quantization),
                expected,
                "{model} {quantization:?}"
            );
        }
    }

    #[test]
    fn the_file_of_a_repository_is_the_one_that_is_loaded() {
        let entry = serde_json::json!({
            "repository": "org/phi", "parameters": 7, "gguf": {"repository": "org/phi-GGUF", "file": "phi-Q6_K.gguf"},
        });
        let entry = serde_json::from_value(entry).expect("an entry");
        let catalog = Catalog::built_in().clone().with([("phi".to_owned(), entry)].into());
        let catalog = catalog.expect("a catalog");
        for (model, args, expected) in [
            ("org/m-GGUF", &["-hff", "m-Q8_0-00001-of-00002.gguf"][..], 1187),
            ("org/m-GGUF", &["--hf-file", "m.gguf"], 687),
            ("phi", &[], 937),
            ("phi", &["-hff", "phi-BF16.gguf"], 2000),
        ] {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            let model = BaseModel::read(&catalog, Engine::LlamaCpp, model).expect("a model");
            assert_eq!(
                weights(Engine::LlamaCpp, &model, None, &args),
                made(expected),
                "{args:?}"
            );
        }
    }

    #[test]
    fn a_gguf_file_s_bits_are_in_its_type() {
        for (model, quantization, expected) in [
            ("Qwen/Qwen3-8B-GGUF", None, 687),
            ("Qwen/Qwen3-8B-GGUF", Some("Q8_0"), 1187),
            ("Qwen/Qwen3-8B-GGUF", Some("UD-Q2_K_XL"), 437),
            ("Qwen/Qwen3-8B-GGUF", Some("BF16"), 2000),
            ("Qwen/Qwen3-8B-GGUF", Some("F32"), 4000),
            ("Qwen/Qwen3-8B-GGUF", Some("MXFP4_MOE"), 687),
            ("/models/SmolLM2-135M-Instruct.Q4_1.gguf", None, 687),
            ("/models/Qwen3-8B-UD-Q3_K_XL.gguf", None, 562),
            ("/models/model.gguf", None, 2000),
            ("Qwen/Qwen3-8B-GGUF", Some("Q18446744073709551615"), 2000),
        ] {
            assert_eq!(
                of(Engine::LlamaCpp, model, quantization),
                made(expected),
                "{model} {quantization:?}"
            );
        }
    }
}
