//! What a server needs, estimated from its model's size: memory, disk and devices. `docs/reference/sizing.md` has these rules in
//! words, with examples that a test works out.

use super::parameters::parameters;
use super::spelling::Reader;
use super::weights::weights;
use super::{BaseModel, Devices, Engine, Location};

/// A gibibyte, in bytes.
pub const GIBIBYTE: u64 = 1 << 30;

/// The numbers of devices that the heads of common models can be spread over evenly.
const DEVICE_COUNTS: [u32; 4] = [1, 2, 4, 8];

/// KiB of keys and values that a token takes in 16 bits: the most among common models with grouped-query attention of up to so many
/// parameters (layers × key-value heads × head size × 2 × 2 bytes, as their `config.json` says). The last row is for all larger ones.
const KV_CACHE: [(u64, u64); 6] = [
    // SmolLM2-360M.
    (400_000_000, 40),
    // Qwen3-0.6B and 1.7B, Llama-3.2-3B.
    (3_500_000_000, 112),
    // Qwen3-4B and 8B.
    (10_000_000_000, 144),
    // Phi-4.
    (20_000_000_000, 200),
    // Qwen3-32B, Qwen2.5-32B.
    (40_000_000_000, 256),
    // Llama-3.3-70B, Qwen2.5-72B.
    (u64::MAX, 320),
];

/// Tokens of prompts and answers that there must be room for at once, where no argument says so.
const CONTEXT: u64 = 8192;
/// LoRAX's own `--max-total-tokens` (predibase/lorax, `launcher/src/main.rs`).
const LORAX_CONTEXT: u64 = 4096;
/// The longest context of common models: llama-server sets aside the whole of it, where no argument says otherwise.
const LONGEST_CONTEXT: u64 = 131_072;

/// What is known of a server before it runs.
#[derive(Clone, Copy, Debug)]
pub struct SizingInput<'a> {
    /// The engine.
    pub engine: Engine,
    /// The base model.
    pub model: &'a BaseModel,
    /// How many parameters it has by the catalog; none: as its name says.
    pub parameters: Option<u64>,
    /// `spec.server.quantization`.
    pub quantization: Option<&'a str>,
    /// `spec.server.args`, which may say how long the context is to be.
    pub args: &'a [String],
}

/// The size of a model as one engine runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    engine: Engine,
    /// Bytes of its files.
    stored: u64,
    /// Bytes of its weights in memory, with the buffers around them.
    loaded: u64,
    /// Bytes of keys and values that a token takes.
    kv_cache: u64,
    /// Tokens that a person's arguments ask for.
    context: Option<u64>,
    is_downloaded: bool,
}

/// Memory of one server beside that of its devices, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What it is sure to need.
    pub request: u64,
    /// The most that it may take: room for the page cache of its files, and for a start that reads all of them.
    pub limit: u64,
}

impl Size {
    /// The size of a model; none where its number of parameters is not known, and for engine Custom, of which nothing is.
    #[must_use]
    pub fn estimate(input: &SizingInput<'_>) -> Option<Self> {
        if input.engine == Engine::Custom {
            return None;
        }
        let parameters = input.parameters.or_else(|| parameters(input.model))?;
        let weights = weights(input.engine, input.model, input.quantization, input.args);
        Some(Self {
            engine: input.engine,
            stored: parameters.checked_mul(weights.stored)? / 1000,
            // Five parts of a hundred: buffers for activations, and what is copied as it is loaded.
            loaded: parameters.checked_mul(weights.loaded)? / 1000 / 20 * 21,
            kv_cache: kv_cache(parameters),
            context: context(input.engine, input.args),
            is_downloaded: matches!(input.model.location(), Location::Repository(_)),
        })
    }

    /// How many devices with so many bytes of memory each it needs: 1, 2, 4 or 8; none when it needs more.
    #[must_use]
    pub fn devices(&self, memory: u64) -> Option<u32> {
        // A tenth is for what engines leave free, 2 GiB for each device's own context, kernels and graphs.
        let usable = (memory / 10 * 9)
            .checked_sub(2 * GIBIBYTE)
            .filter(|usable| *usable > 0)?;
        let default = if self.engine == Engine::LoRAX {
            LORAX_CONTEXT
        } else {
            CONTEXT
        };
        let needed = self.with_context(default).div_ceil(usable);
        DEVICE_COUNTS.into_iter().find(|count| u64::from(*count) >= needed)
    }

    /// The memory of one server with these devices.
    #[must_use]
    pub fn memory(&self, devices: Devices) -> Memory {
        let program = program(self.engine);
        if !devices.are_there() {
            return Memory {
                request: self.with_context(CONTEXT) + program,
                limit: self.with_context(LONGEST_CONTEXT) + 8 * program,
            };
        }
        let programs = program.saturating_mul(devices.at_least_one().into());
        Memory {
            request: programs.saturating_add(self.stored / 4),
            limit: programs.saturating_mul(4).saturating_add(self.stored),
        }
    }

    /// The disk that one server takes, in bytes: its files with a tenth to spare, and 2 GiB for compiled kernels, temporary files and
    /// logs. None when its files are there already.
    #[must_use]
    pub fn disk(&self) -> Option<u64> {
        self.is_downloaded.then_some(self.stored / 10 * 11 + 2 * GIBIBYTE)
    }

    /// Weights, and keys and values of the context that is asked for, else of this one.
    fn with_context(&self, default: u64) -> u64 {
        self.loaded + self.kv_cache * self.context.unwrap_or(default)
    }
}

/// What an engine's program takes by itself, for each device: llama-server 285 MB (run with SmolLM2-135M), the others Python with
/// its libraries and those of the device.
fn program(engine: Engine) -> u64 {
    match engine {
        Engine::LlamaCpp => GIBIBYTE / 2,
        Engine::VLLM | Engine::LoRAX | Engine::SGLang | Engine::Custom => 4 * GIBIBYTE,
    }
}

fn kv_cache(parameters: u64) -> u64 {
    let row = KV_CACHE.iter().find(|(up_to, _)| parameters <= *up_to);
    row.map_or(0, |(_, kibibytes)| kibibytes * 1024)
}

/// The context that arguments ask for, in tokens; none where the engine is left to choose.
fn context(engine: Engine, args: &[String]) -> Option<u64> {
    let names: &[&str] = match engine {
        Engine::VLLM => &["--max-model-len"],
        Engine::LoRAX => &["--max-total-tokens"],
        Engine::SGLang => &["--context-length"],
        Engine::LlamaCpp => &["-c", "--ctx-size"],
        Engine::Custom => return None,
    };
    tokens(Reader::of(engine)?.value(args, names)?).filter(|tokens| *tokens > 0)
}

/// A number of tokens as vLLM reads it: `8192`, `8k` for 8000, `8K` for 8192 (`vllm/config/model.py`). None for `auto` and the like.
fn tokens(written: &str) -> Option<u64> {
    let end = written.find(|c: char| !c.is_ascii_digit()).unwrap_or(written.len());
    let (number, suffix) = written.split_at(end);
    let number: u32 = number.parse().ok()?;
    let unit = match suffix {
        "" => 1,
        "k" => 1000,
        "K" => 1024,
        _ => return None,
    };
    Some(u64::from(number) * unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Catalog;

    fn size(engine: Engine, model: &str, args: &[&str]) -> Size {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let input = SizingInput {
            engine,
            model: &BaseModel::read(Catalog::built_in(), engine, model).expect("a model"),
            parameters: None,
            quantization: None,
            args: &args,
        };
        Size::estimate(&input).expect("a size")
    }

    #[test]
    fn what_is_not_known_is_not_estimated() {
        for (engine, model, parameters) in [
            (Engine::VLLM, "microsoft/phi-2", None),
            (Engine::VLLM, "Qwen/Qwen3-8B", Some(u64::MAX)),
            (Engine::Custom, "meta/llama-3.1-8b", Some(8_000_000_000)),
        ] {
            let input = SizingInput {
                engine,
                model: &BaseModel::read(Catalog::built_in(), engine, model).expect("a model"),
                parameters,
                quantization: None,
                args: &[],
            };
            assert_eq!(Size::estimate(&input), None, "{engine} {model}");
        }
    }

    #[test]
    fn given_parameters_go_before_those_in_the_name() {
        let model = BaseModel::read(Catalog::built_in(), Engine::VLLM, "org/model-8b").expect("a model");
        let input = SizingInput {
            engine: Engine::VLLM,
            model: &model,
            parameters: Some(1_000_000_000),
            quantization: None,
            args: &[],
        };
        assert_eq!(Size::estimate(&input).map(|size| size.stored), Some(2_000_000_000));
    }

    #[test]
    fn devices_are_1_2_4_or_8() {
        for (model, gibibytes, expected) in [
            ("org/model-8b", 80, Some(1)),
            ("org/model-8b", 24, Some(1)),
            ("org/model-8b", 16, Some(2)),
            ("org/model-16b", 24, Some(2)),
            ("org/model-16b", 40, Some(1)),
            ("org/model-70b", 80, Some(2)),
            ("org/model-70b", 48, Some(4)),
            ("org/model-70b", 24, Some(8)),
            ("org/model-70b", 16, None),
            ("org/model-8b", 2, None),
            ("org/model-8b", 0, None),
        ] {
            let size = size(Engine::VLLM, model, &[]);
            assert_eq!(
                size.devices(gibibytes * GIBIBYTE),
                expected,
                "{model} on {gibibytes} GiB"
            );
        }
    }

    #[test]
    fn a_longer_context_needs_more_devices() {
        for (engine, args, expected) in [
            (Engine::VLLM, &["--max-model-len", "128K"][..], 2),
            (Engine::VLLM, &["--max-model-len", "auto"], 1),
            (Engine::SGLang, &["--context-length=131072"], 2),
            (Engine::LoRAX, &["--max-total-tokens", "131072"], 2),
            (Engine::LlamaCpp, &["-c", "0"], 1),
        ] {
            let size = size(engine, "org/model-8b", args);
            assert_eq!(size.devices(24 * GIBIBYTE), Some(expected), "{engine} {args:?}");
        }
    }

    #[test]
    fn a_model_on_processors_is_in_memory_with_its_context() {
        let size = size(Engine::LlamaCpp, "/models/model-8b.gguf", &["-c", "65536"]);
        let weights = 16_000_000_000 / 20 * 21;
        let context = 65_536 * 144 * 1024;
        let expected = Memory {
            request: weights + context + GIBIBYTE / 2,
            limit: weights + context + 4 * GIBIBYTE,
        };
        assert_eq!(size.memory(Devices::Counted(0)), expected);
        assert_ne!(size.memory(Devices::Claimed), expected);
        assert_eq!(size.disk(), None);
    }
}
