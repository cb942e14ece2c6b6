//! Where servers keep what they download: in a Deployment often below root's home, whose servers of a job may be nobody's.

use k8s_openapi::api::core::v1::EnvVar;

use crate::api::Engine;
use crate::engine::weights_cache;

/// The place below root's home that stands for [`weights_cache`]: there vLLM has `huggingface` and its own directory (`vllm/envs.py`,
/// `VLLM_CACHE_ROOT`), and llama-server its files (ggml-org/llama.cpp, `common/common.cpp`, `fs_get_cache_directory`). The others
/// keep them at one place, whoever they are.
fn of_root(engine: Engine) -> Option<&'static str> {
    match engine {
        Engine::VLLM => Some("/root/.cache"),
        Engine::LlamaCpp => Some("/root/.cache/llama.cpp"),
        Engine::LoRAX | Engine::SGLang | Engine::Custom => None,
    }
}

/// The same path as servers of a job have it. A claim with weights then holds them where they are looked for.
pub(super) fn moved(engine: Engine, path: String) -> String {
    let below = |root: &str| {
        let rest = path.strip_prefix(root)?;
        let is_below = rest.is_empty() || rest.starts_with('/');
        Some(format!("{}{rest}", weights_cache(engine)?)).filter(|_| is_below)
    };
    of_root(engine).and_then(below).unwrap_or(path)
}

/// An argument, in which a path may stand after `=`.
pub(super) fn moved_argument(engine: Engine, argument: String) -> String {
    match argument.split_once('=') {
        Some((option, path)) if option.starts_with('-') => format!("{option}={}", moved(engine, path.to_owned())),
        _ => moved(engine, argument),
    }
}

/// A variable, such as `HF_HOME`.
pub(super) fn moved_variable(engine: Engine, variable: EnvVar) -> EnvVar {
    EnvVar {
        value: variable.value.map(|value| moved(engine, value)),
        ..variable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_the_cache_of_root_is_moved_and_nothing_else() {
        for (engine, path, expected) in [
            (Engine::VLLM, "/root/.cache", "/home/vllm/.cache"),
            (
                Engine::VLLM,
                "/root/.cache/huggingface",
                "/home/vllm/.cache/huggingface",
            ),
            (Engine::VLLM, "/root/.cache2", "/root/.cache2"),
            (Engine::VLLM, "/data", "/data"),
            (Engine::LlamaCpp, "/root/.cache/llama.cpp", "/cache"),
            (Engine::LlamaCpp, "/root/.cache/huggingface", "/root/.cache/huggingface"),
            (Engine::SGLang, "/root/.cache/huggingface", "/root/.cache/huggingface"),
        ] {
            assert_eq!(moved(engine, path.into()), expected, "{engine} {path}");
        }
    }

    #[test]
    fn arguments_have_paths_of_their_own_or_after_their_option() {
        for (argument, expected) in [
            ("/root/.cache/hub", "/home/vllm/.cache/hub"),
            (
                "--download-dir=/root/.cache/hub",
                "--download-dir=/home/vllm/.cache/hub",
            ),
            ("--max-num-seqs=8", "--max-num-seqs=8"),
            ("--enforce-eager", "--enforce-eager"),
        ] {
            assert_eq!(moved_argument(Engine::VLLM, argument.into()), expected);
        }
    }
}
