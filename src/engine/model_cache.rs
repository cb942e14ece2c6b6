//! A model cache on a volume: how servers are told to read their model from it, and to download nothing. Pure.
//!
//! The volume holds what a Hugging Face hub's own clients keep
//! (<https://huggingface.co/docs/huggingface_hub/guides/manage-cache>): `hub/models--ORG--NAME/snapshots/COMMIT/FILE`.

use super::Engine;
use super::gguf::Choice;
use super::spelling::option_name;
use crate::api::names::MODEL_CACHE_MOUNT_PATH;

/// The folder of all models, below the volume.
pub const HUB: &str = "hub";

/// Variables by which engines are told where models are, and that nothing is downloaded
/// (<https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables>).
const OFFLINE: &str = "HF_HUB_OFFLINE";
const HUB_CACHE: &str = "HF_HUB_CACHE";
const OLD_HUB_CACHE: &str = "HUGGINGFACE_HUB_CACHE";
const HOME: &str = "HF_HOME";
const MODULES_CACHE: &str = "HF_MODULES_CACHE";
const CACHE_OF_TRANSFORMERS: &str = "TRANSFORMERS_CACHE";

/// Options by which engines are told where models are: vLLM and SGLang, LoRAX.
const OPTIONS: [&str; 2] = ["--download-dir", "--huggingface-hub-cache"];

/// An argument or a variable that says where models are, though a field does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheConflict {
    /// An argument.
    #[error(
        "spec.server.args has {argument:?}: leave it out, or spec.server.modelCache, from which servers read their model"
    )]
    Argument {
        /// As it was written, without a value after `=`.
        argument: String,
    },
    /// A variable.
    #[error(
        "spec.server.env has {variable}: leave it out, or spec.server.modelCache, from which servers read their model"
    )]
    Variable {
        /// Its name.
        variable: String,
    },
}

/// The folder of a repository in a cache.
#[must_use]
pub fn folder(repository: &str) -> String {
    format!("models--{}", repository.replace('/', "--"))
}

/// Where a server finds a file.
#[must_use]
pub fn path(repository: &str, commit: &str, file: &str) -> String {
    let folder = folder(repository);
    format!("{MODEL_CACHE_MOUNT_PATH}/{HUB}/{folder}/snapshots/{commit}/{file}")
}

/// The variables of an engine's servers. What they compile, or unpack of a model's own code, still goes to their own caches.
#[must_use]
pub fn env(engine: Engine) -> Vec<(&'static str, String)> {
    let hub = || format!("{MODEL_CACHE_MOUNT_PATH}/{HUB}");
    let offline = (OFFLINE, "1".to_owned());
    match engine {
        Engine::VLLM | Engine::SGLang => vec![offline, (HUB_CACHE, hub())],
        // Its shards read the old name (`server/lorax_server/utils/sources/hub.py`), its launcher and, offline, its router the home
        // (`launcher/src/main.rs`, `router/src/main.rs`, through the crate hf-hub).
        Engine::LoRAX => vec![
            offline,
            (HUB_CACHE, hub()),
            (OLD_HUB_CACHE, hub()),
            (HOME, MODEL_CACHE_MOUNT_PATH.to_owned()),
            (MODULES_CACHE, format!("{}/modules", super::lorax::CACHE)),
        ],
        // It is given the path of its file.
        Engine::LlamaCpp | Engine::Custom => Vec::new(),
    }
}

/// The first argument or variable of a person by which servers would look elsewhere.
#[must_use]
pub fn conflict(args: &[String], env: &[&str]) -> Option<CacheConflict> {
    let argument = args
        .iter()
        .map(|arg| option_name(arg))
        .find(|name| OPTIONS.contains(name));
    if let Some(argument) = argument {
        return Some(CacheConflict::Argument {
            argument: argument.to_owned(),
        });
    }
    let places = [HUB_CACHE, OLD_HUB_CACHE, HOME, CACHE_OF_TRANSFORMERS, "LLAMA_CACHE"];
    let variable = env.iter().find(|name| places.contains(name))?;
    Some(CacheConflict::Variable {
        variable: (*variable).to_owned(),
    })
}

/// llama-server's arguments with the path of its file in the place of the repository that it would download from. Arguments that name no
/// repository stay as they are.
#[must_use]
pub fn with_file(args: Vec<String>, model: &str, projector: Option<&str>) -> Vec<String> {
    const REPOSITORY: [&str; 5] = ["-hf", "-hfr", "--hf-repo", "-hff", "--hf-file"];
    let names_repository = |arg: &String| REPOSITORY.contains(&arg.as_str());
    if !args.iter().any(names_repository) {
        return args;
    }
    let mut with_file = vec!["-m".to_owned(), model.to_owned()];
    let projector = projector.filter(|_| Choice::of(&args).with_projector);
    with_file.extend(
        projector
            .iter()
            .flat_map(|path| ["--mmproj".to_owned(), (*path).to_owned()]),
    );
    let mut rest = args.into_iter();
    while let Some(arg) = rest.next() {
        if names_repository(&arg) {
            // Its value.
            rest.next();
        } else {
            with_file.push(arg);
        }
    }
    with_file
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| (*arg).to_owned()).collect()
    }

    #[test]
    fn a_file_takes_the_place_of_the_repository() {
        let main = "/model-cache/hub/m.gguf";
        for (before, projector, after) in [
            (
                &["-hf", "org/m:Q8_0", "-a", "m", "-c", "8"][..],
                None,
                &["-m", main, "-a", "m", "-c", "8"][..],
            ),
            (
                &["-hf", "org/m", "-hff", "a.gguf", "-a", "m", "--hf-file", "m.gguf"],
                Some("/p.gguf"),
                &["-m", main, "--mmproj", "/p.gguf", "-a", "m"],
            ),
            (&["-m", main, "-a", "m"], Some("/p.gguf"), &["-m", main, "-a", "m"]),
        ] {
            assert_eq!(with_file(owned(before), main, projector), after);
        }
    }

    #[test]
    fn a_file_is_where_the_hub_s_own_clients_keep_it() {
        assert_eq!(
            path("Qwen/Qwen3-8B-GGUF", "c0ffee", "q8/m.gguf"),
            "/model-cache/hub/models--Qwen--Qwen3-8B-GGUF/snapshots/c0ffee/q8/m.gguf"
        );
    }

    #[test]
    fn who_says_otherwise_where_models_are_is_refused() {
        for (args, env, message) in [
            (
                &["--download-dir=/x"][..],
                &[][..],
                Some("spec.server.args has \"--download-dir\""),
            ),
            (&[], &["LEVEL", "HF_HOME"], Some("spec.server.env has HF_HOME")),
            (&["--max-num-seqs", "8"], &["HF_HUB_OFFLINE"], None),
        ] {
            let said = conflict(&owned(args), env).map(|conflict| conflict.to_string());
            match (said, message) {
                (Some(said), Some(message)) => assert!(said.starts_with(message), "{said}"),
                (said, message) => assert_eq!(said.as_deref(), message),
            }
        }
    }

    #[test]
    fn no_engine_that_knows_a_hub_downloads() {
        for engine in [Engine::VLLM, Engine::SGLang, Engine::LoRAX] {
            assert!(env(engine).contains(&("HF_HUB_OFFLINE", "1".to_owned())), "{engine}");
        }
    }
}
