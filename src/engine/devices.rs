//! The devices of one server, and how each engine is told to spread the model over several of them.

use super::Engine;
use super::launch::LaunchInput;
use super::spelling::Reader;

/// The devices, such as GPUs, that one server is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// So many, by the names of resources. None at all is 0: the server computes on processors.
    Counted(u32),
    /// Those of its pod's resource claims. How many a claim holds is known to its driver only.
    Claimed,
}

impl Devices {
    /// Whether there are any.
    #[must_use]
    pub fn are_there(self) -> bool {
        self != Self::Counted(0)
    }

    /// How many there are, as far as is known: at least one, for what every server needs and what grows with each device.
    #[must_use]
    pub fn at_least_one(self) -> u32 {
        match self {
            Self::Counted(count) => count.max(1),
            Self::Claimed => 1,
        }
    }
}

/// The options that say how a model is spread over devices.
struct Layout {
    /// Over how many each layer is spread.
    tensor: &'static [&'static str],
    /// Other ways to use several, with which the number of the first is a person's to choose.
    other: &'static [&'static str],
    /// From how many devices on the first is passed; below it is what the engine does anyway.
    passed_from: u32,
}

/// Options of vLLM 0.32.0 (`vllm/engine/arg_utils.py`).
const VLLM: Layout = Layout {
    tensor: &["--tensor-parallel-size", "-tp"],
    other: &[
        "--pipeline-parallel-size",
        "-pp",
        "--data-parallel-size",
        "-dp",
        "--prefill-context-parallel-size",
        "-pcp",
    ],
    passed_from: 2,
};

/// Options of sglang 0.5.23 (`sglang/srt/arg_groups/fields/parallel.py`).
const SGLANG: Layout = Layout {
    tensor: &["--tp-size", "--tensor-parallel-size"],
    other: &[
        "--pp-size",
        "--pipeline-parallel-size",
        "--dp-size",
        "--data-parallel-size",
    ],
    passed_from: 2,
};

/// Options of predibase/lorax (`launcher/src/main.rs`). It is told also of one device: else it counts those in `NVIDIA_VISIBLE_DEVICES`,
/// which device plugins fill in different ways.
const LORAX: Layout = Layout {
    tensor: &["--num-shard"],
    other: &["--sharded"],
    passed_from: 1,
};

/// None for llama-server, which spreads layers over all devices that it sees (llama.cpp 0.7.0, `llama-server --help`: `--split-mode`, by
/// default `layer`) in proportion to their memory; and for engine Custom, which its person tells.
fn layout(engine: Engine) -> Option<(&'static Layout, Reader)> {
    let layout = match engine {
        Engine::VLLM => &VLLM,
        Engine::SGLang => &SGLANG,
        Engine::LoRAX => &LORAX,
        Engine::LlamaCpp | Engine::Custom => return None,
    };
    Some((layout, Reader::of(engine)?))
}

/// The argument that spreads the model over all devices of a server. A person's own stands alone: LoRAX takes the option once, and beside
/// other ways to use several devices nobody else knows the number.
pub(super) fn tensor_parallel(input: &LaunchInput<'_>) -> Vec<String> {
    let (Some((layout, reader)), Devices::Counted(count)) = (layout(input.engine), input.devices) else {
        return Vec::new();
    };
    let has = |names| reader.has(input.extra_args, names);
    if count < layout.passed_from || has(layout.tensor) || has(layout.other) {
        return Vec::new();
    }
    vec![layout.tensor[0].to_owned(), count.to_string()]
}

/// The option by which a person can say how a model is spread; none where it is said, or the engine needs no word.
#[must_use]
pub fn option_to_write(engine: Engine, args: &[String]) -> Option<&'static str> {
    let (layout, reader) = layout(engine)?;
    let is_said = reader.has(args, layout.tensor) || reader.has(args, layout.other);
    (!is_said).then_some(layout.tensor[0])
}

/// The options that say how a model is spread over devices.
pub(super) fn options(engine: Engine) -> Vec<&'static str> {
    let layout = layout(engine).map(|(layout, _)| [layout.tensor, layout.other].concat());
    layout.unwrap_or_default()
}

/// Whether a person's arguments spread the model over another number of devices than the server has: with more it ends at once, and
/// with fewer the rest is paid for in vain.
pub(super) fn disagrees(engine: Engine, args: &[String], devices: Devices) -> bool {
    let (Some((layout, reader)), Devices::Counted(count @ 1..)) = (layout(engine), devices) else {
        return false;
    };
    if reader.has(args, layout.other) {
        return false;
    }
    let written = reader.value(args, layout.tensor);
    written.is_some_and(|written| written.parse() != Ok(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_number_of_devices_than_the_server_has_disagrees() {
        let one = Devices::Counted(1);
        let two = Devices::Counted(2);
        for (engine, args, devices, expected) in [
            (Engine::VLLM, &["--tensor-parallel-size", "2"][..], one, true),
            (Engine::VLLM, &["--tensor-parallel-size", "2"], two, false),
            (Engine::VLLM, &["-tp=1"], two, true),
            (Engine::VLLM, &["-tp", "many"], two, true),
            (Engine::VLLM, &["-tp", "2", "-pp", "2"], Devices::Counted(4), false),
            (Engine::VLLM, &["-tp", "2", "-pcp", "2"], Devices::Counted(4), false),
            (Engine::VLLM, &["-tp", "2"], Devices::Counted(0), false),
            (Engine::VLLM, &["-tp", "2"], Devices::Claimed, false),
            (Engine::VLLM, &["--max-num-seqs", "2"], one, false),
            (Engine::SGLang, &["--tp", "2"], one, true),
            (Engine::SGLang, &["--tp-size=2"], two, false),
            (Engine::SGLang, &["--dp-size", "2"], two, false),
            (Engine::LoRAX, &["--num-shard", "1"], two, true),
            (Engine::LoRAX, &["--sharded", "false", "--num-shard", "1"], two, false),
            (Engine::LlamaCpp, &["--tensor-split", "3,1"], two, false),
            (Engine::Custom, &["--tensor-parallel-size", "4"], two, false),
        ] {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            assert_eq!(
                disagrees(engine, &args, devices),
                expected,
                "{engine} {args:?} on {devices:?}"
            );
        }
    }
}
