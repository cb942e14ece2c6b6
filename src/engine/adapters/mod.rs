//! LoRA adapters: which names rows may have for them, and what an engine is told of them: at its start, before the first row, and in each
//! row.
//!
//! | | at the start | before rows | in a row |
//! | --- | --- | --- | --- |
//! | vLLM | slots, rank | `POST /v1/load_lora_adapter` | `model` is the adapter |
//! | SGLang | slots, rank, modules | `POST /load_lora_adapter` | `model` is `BASE:ADAPTER` |
//! | LoRAX | nothing | one token | `model` is the adapter, `adapter_source`, `api_token` |
//! | llama-server | the files, at scale 0 | `GET /lora-adapters` | `lora` with id and scale |
//! | Custom | nothing | one token | `model` is the adapter |
//!
//! None of them is told to let go of an adapter: vLLM (`vllm/lora/worker_manager.py`, `LRUCacheWorkerLoRAManager`), SGLang
//! (`sglang/srt/lora/mem_pool.py`, and `lora_ref_cache` of `managers/tokenizer_manager.py`) and LoRAX (`router/src/queue.rs`) put the
//! adapter that was used least recently out of a slot, and fetch one that is asked for again.
//!
//! [`names`] says which names are adapters, [`calls`] how an engine that runs is asked for one, [`config`] what an adapter says of itself, [`fetched`] which are put into a pod first; here is what it is told at its start.

mod calls;
mod config;
mod fetched;
mod names;

use super::spelling::{Reader, option_name};
use super::version::Release;
use super::{Devices, Engine, Version};
use crate::api::adapters::AdapterSource;

pub use calls::{
    AdapterCall, Asked, LLAMA_CPP_LIST, LoadRequest, Loaded, call, choosing_members, has_adapters_at, llama_cpp_ids,
    load_request, loaded,
};
pub use config::AdapterConfig;
pub use fetched::{FETCHED, are_fetched, below_fetched, place};
pub use names::{AdapterNames, AdaptersError, refuse, refuse_path};

/// The most different adapters that one data set may name: as much as inspection and ledger remember.
pub const MOST_ADAPTERS: usize = 4096;
/// Slots for adapters that are in one batch. Each takes memory of the device whether it is used or not.
const MOST_SLOTS: u32 = 8;
/// Adapters that are kept in the memory of the pod besides. Takes memory only as they come, and must not be fewer than the slots, of which a
/// person may want more (`vllm/config/lora.py`, sglang `server_args.py`).
const IN_MEMORY: u32 = 64;
/// How many processes of vLLM take requests.
const SERVER_COUNT: &str = "--api-server-count";
/// How many adapters SGLang keeps, which are all where it is not told.
const LOADED: &str = "--max-loaded-loras";
/// Options that a server can do without, and the first release with each: an older one does not start with it. llama-server cannot do without
/// any of its own: rows of the base would be answered with adapters.
const LATE: [(&str, Release); 2] = [
    // vllm-project/vllm, PR 17546 (`vllm/entrypoints/cli/serve.py` of 0.9.1, and not yet of 0.9.0.1).
    (SERVER_COUNT, [0, 9, 1]),
    // It is older (sgl-project/sglang, PR 8650), but until 0.5.5 an adapter more than that is refused, and none put out for it
    // (`sglang/srt/managers/tokenizer_communicator_mixin.py` of 0.5.5.post3 and 0.5.6).
    (LOADED, [0, 5, 6]),
];
/// Where nothing is known of ranks: common ones are up to this.
pub const COMMON_RANK: u32 = 64;
/// Adapters that a server has from its start on are known to the controller from the status, which lists so many.
pub const MOST_AT_START: usize = 100;
/// The ranks that `--max-lora-rank` takes (`vllm/config/lora.py`, vLLM 0.32.0), but for 1, with which an older one does not start.
const VLLM_RANKS: [u32; 8] = [8, 16, 32, 64, 128, 256, 320, 512];

/// The adapters that rows name, as far as a launch depends on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAdapters {
    /// How many different ones.
    pub count: u32,
    /// The largest rank, where it is known.
    pub max_rank: Option<u32>,
    /// Where they are, in the order in which an engine that has them from its start on is given them.
    pub paths: Vec<String>,
    /// The version of the server's image.
    pub version: Version,
    /// What one server computes on.
    pub devices: Devices,
}

/// The options of an engine that is to serve these adapters. A person's own come after them, and count.
#[must_use]
pub fn options(engine: Engine, found: &FoundAdapters) -> Vec<String> {
    let rank = found.max_rank.unwrap_or(COMMON_RANK);
    let options: Vec<(&str, Option<String>)> = match engine {
        // `vllm/config/lora.py`.
        Engine::VLLM => {
            let slots = vllm_slots(found);
            vec![
                ("--enable-lora", None),
                ("--max-loras", Some(slots.to_string())),
                ("--max-cpu-loras", Some(IN_MEMORY.max(slots).to_string())),
                ("--max-lora-rank", Some(vllm_rank(rank).to_string())),
                // With data parallelism there would be more, of which each knows the adapters only that it has loaded itself: it does not
                // start (`vllm/entrypoints/cli/serve.py`).
                (SERVER_COUNT, Some("1".to_owned())),
            ]
        }
        // `sglang/srt/arg_groups/fields/lora.py`. The base takes a slot of each batch. Ranks and modules are not inferred where no adapter is
        // there at the start.
        Engine::SGLang => {
            let slots = found.count.saturating_add(1).clamp(2, MOST_SLOTS);
            vec![
                ("--enable-lora", None),
                ("--max-loras-per-batch", Some(slots.to_string())),
                (LOADED, Some(IN_MEMORY.to_string())),
                ("--max-lora-rank", Some(rank.to_string())),
                ("--lora-target-modules", Some("all".to_owned())),
            ]
        }
        // At scale 0, so that rows of the base are not changed by them: `--lora-init-without-apply` does not keep them out
        // (ggml-org/llama.cpp, issue 28674).
        Engine::LlamaCpp => {
            let files: Vec<_> = found.paths.iter().map(|path| format!("{path}:0")).collect();
            vec![
                ("--lora-scaled", Some(files.join(","))),
                // What it keeps of prompts does not say who computed it: a row goes on from what the base, or another adapter, made of the
                // same beginning (llama-server run; ggml-org/llama.cpp, issue 26207).
                ("--no-cache-prompt", None),
            ]
        }
        // It takes up to 1024 at a time, in a tenth of the device's memory (`launcher/src/main.rs`), and any rank.
        Engine::LoRAX | Engine::Custom => Vec::new(),
    };
    let known = options.into_iter().filter(|(name, _)| has_option(found.version, name));
    let words = known.flat_map(|(name, value)| {
        let name = Some(name.to_owned());
        name.into_iter().chain(value)
    });
    words.collect()
}

/// On processors vLLM computes rows of the base with what is in the last slot, where a batch has rows of adapters, too
/// (`vllm/lora/ops/torch_ops/lora_ops.py` of 0.32.0; vllm-project/vllm, PR 48421). Slots are filled from the first on: with one more than
/// there are adapters, the last is never filled. They take no memory of a device.
fn vllm_slots(found: &FoundAdapters) -> u32 {
    if found.devices.are_there() {
        found.count.clamp(1, MOST_SLOTS)
    } else {
        found.count.saturating_add(1)
    }
}

fn has_option(version: Version, name: &str) -> bool {
    let late = LATE.iter().find(|(late, _)| *late == name);
    late.is_none_or(|(_, since)| version.is_at_least(*since))
}

/// The smallest that it takes and that is enough.
fn vllm_rank(rank: u32) -> u32 {
    let last = VLLM_RANKS[VLLM_RANKS.len() - 1];
    VLLM_RANKS.into_iter().find(|known| *known >= rank).unwrap_or(last)
}

/// The rank that an engine is told for one that its servers are to have room for; none where it takes every rank.
fn told_rank(engine: Engine, rank: u32) -> Option<u32> {
    match engine {
        Engine::VLLM => Some(vllm_rank(rank)),
        // `sglang/srt/lora/lora_manager.py`, `validate_new_adapter`.
        Engine::SGLang => Some(rank),
        Engine::LoRAX | Engine::LlamaCpp | Engine::Custom => None,
    }
}

/// The largest rank that an engine can be told, where there is one.
#[must_use]
pub fn largest_rank(engine: Engine) -> Option<u32> {
    match engine {
        Engine::VLLM => VLLM_RANKS.last().copied(),
        Engine::LoRAX | Engine::SGLang | Engine::LlamaCpp | Engine::Custom => None,
    }
}

/// Variables of an engine that is to serve adapters from there, and is told these `options` of them.
#[must_use]
pub fn env(engine: Engine, source: AdapterSource, options: &[String]) -> Vec<(String, String)> {
    const USE_TOKEN: (&str, &str) = ("LORAX_USE_GLOBAL_HF_TOKEN", "1");
    let variables: &[(&str, &str)] = match engine {
        // Else there is no `/v1/load_lora_adapter` (`vllm/envs.py`). Only the job's own feeder can connect.
        Engine::VLLM if !options.is_empty() => &[("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "1")],
        // Each line of its log about a request has the request's token (`router/src/server.rs`, `generate`); of errors it has none, as the
        // spans that hold it are of a lower level.
        Engine::LoRAX if source == AdapterSource::PBase => &[USE_TOKEN, ("LOG_LEVEL", "error")],
        // Else adapters of private repositories need the token in each row (`server/lorax_server/utils/sources/hub.py`).
        Engine::LoRAX => &[USE_TOKEN],
        Engine::VLLM | Engine::SGLang | Engine::LlamaCpp | Engine::Custom => &[],
    };
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    variables.iter().map(owned).collect()
}

/// An engine's options and variables that say which adapters a server has, as `spec.server.adapters` does.
pub(super) fn own_options(engine: Engine) -> (&'static [&'static str], &'static [&'static str]) {
    match engine {
        Engine::VLLM => (&["--lora-modules"], &[]),
        // With adapters that are there from the start it takes no others (predibase/lorax, `launcher/src/main.rs`).
        Engine::LoRAX => (
            &[
                "--adapter-id",
                "--adapter-source",
                "--default-adapter-source",
                "--preloaded-adapter-ids",
                "--preloaded-adapter-source",
                "--predibase-api-token",
            ],
            &["ADAPTER_ID", "ADAPTER_SOURCE", "PRELOADED_ADAPTER_IDS", PREDIBASE_TOKEN],
        ),
        Engine::SGLang => (&["--lora-paths"], &[]),
        Engine::LlamaCpp => (&["--lora", "--lora-scaled", "--lora-init-without-apply"], &[]),
        Engine::Custom => (&[], &[]),
    }
}

/// An engine's options and variables that say otherwise what [`options`] tells it: how many adapters there is room for, of which rank, and the
/// like. Of two the last counts.
pub(super) fn limits(engine: Engine) -> (&'static [&'static str], &'static [&'static str]) {
    match engine {
        Engine::VLLM => (
            &[
                "--max-loras",
                "--max-lora-rank",
                "--max-cpu-loras",
                SERVER_COUNT,
                "-asc",
            ],
            &[],
        ),
        // It is told nothing: by itself it takes the most (`launcher/src/main.rs`).
        Engine::LoRAX => (&["--max-active-adapters"], &["MAX_ACTIVE_ADAPTERS"]),
        Engine::SGLang => (
            &[
                "--max-loras-per-batch",
                LOADED,
                "--max-lora-rank",
                "--lora-target-modules",
            ],
            &[],
        ),
        Engine::LlamaCpp => (&["--cache-prompt"], &[]),
        Engine::Custom => (&[], &[]),
    }
}

/// The first of a person's arguments and variables that says which adapters a server has.
#[must_use]
pub fn fighting<'a>(engine: Engine, args: &'a [String], env: &[&'a str]) -> Option<&'a str> {
    let (options, variables) = own_options(engine);
    let reader = Reader::of(engine)?;
    let is_one = |written: &&String| options.iter().any(|name| reader.is_spelling(written, name));
    let argument = args.iter().find(is_one).map(|written| option_name(written));
    argument.or_else(|| env.iter().copied().find(|name| variables.contains(name)))
}

/// A variable of servers that is filled from a key of `spec.server.adapters.credentialsSecretRef`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyVariable {
    /// The variable.
    pub name: &'static str,
    /// The Secret's key.
    pub key: &'static str,
    /// Whether the server starts without it.
    pub is_optional: bool,
}

const fn needed(name: &'static str) -> KeyVariable {
    KeyVariable {
        name,
        key: name,
        is_optional: false,
    }
}

const fn optional(name: &'static str, key: &'static str) -> KeyVariable {
    KeyVariable {
        name,
        key,
        is_optional: true,
    }
}

/// The key with the token for Predibase.
pub const PREDIBASE_TOKEN: &str = "PREDIBASE_API_TOKEN";

/// Which keys of the Secret servers need: LoRAX reads them (`server/lorax_server/utils/sources/s3.py`, boto3; `sources/__init__.py`).
#[must_use]
pub fn keys(source: AdapterSource) -> &'static [KeyVariable] {
    const S3: &[KeyVariable] = &[
        needed("AWS_ACCESS_KEY_ID"),
        needed("AWS_SECRET_ACCESS_KEY"),
        optional("AWS_SESSION_TOKEN", "AWS_SESSION_TOKEN"),
        optional("AWS_DEFAULT_REGION", "AWS_REGION"),
        optional("S3_ENDPOINT_URL", "AWS_ENDPOINT_URL"),
    ];
    const PBASE: &[KeyVariable] = &[
        needed(PREDIBASE_TOKEN),
        optional("PREDIBASE_GATEWAY_ENDPOINT", "PREDIBASE_GATEWAY_ENDPOINT"),
    ];
    match source {
        AdapterSource::S3 => S3,
        AdapterSource::PBase => PBASE,
        AdapterSource::Hub | AdapterSource::Local => &[],
    }
}

#[cfg(test)]
mod tests;
