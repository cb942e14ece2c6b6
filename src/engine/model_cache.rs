//! A model cache on a volume: how servers are told to read their model from it, and to download nothing. Pure.
//!
//! The volume holds what a Hugging Face hub's own clients keep
//! (<https://huggingface.co/docs/huggingface_hub/guides/manage-cache>): `hub/models--ORG--NAME/snapshots/COMMIT/FILE`.

use super::Engine;
use super::conflicts::Place;
use super::gguf::Choice;
use super::lorax;
use super::spelling::{Reader, option_name, without};
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

/// Variables by which an engine is told where models are.
const PLACES: [&str; 5] = [HUB_CACHE, OLD_HUB_CACHE, HOME, CACHE_OF_TRANSFORMERS, "LLAMA_CACHE"];
/// Options of the same meaning, each with a value: vLLM and SGLang, LoRAX.
const OPTIONS: [&str; 2] = ["--download-dir", "--huggingface-hub-cache"];
/// A variable by which LoRAX has models from elsewhere, and the option of its name (`launcher/src/main.rs`).
const LORAX_SOURCE: (&str, &str) = ("SOURCE", "--source");

/// Variables that say what llama-server does about a projector (`llama-server --help`, and the older name of the last). It is given that of the
/// claim by an argument, which goes before them.
const PROJECTOR: [&str; 4] = [
    "LLAMA_ARG_MMPROJ",
    "LLAMA_ARG_MMPROJ_URL",
    "LLAMA_ARG_MMPROJ_AUTO",
    "LLAMA_ARG_NO_MMPROJ",
];

/// Variables by which an engine has models, or parts of one, from elsewhere than the hub (`vllm/envs.py`; sglang, `environ.py`).
fn other_sources(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::VLLM => &["VLLM_USE_MODELSCOPE"],
        Engine::SGLang => &["SGLANG_USE_MODELSCOPE"],
        Engine::LoRAX => &[LORAX_SOURCE.0],
        Engine::LlamaCpp => &PROJECTOR,
        Engine::Custom => &[],
    }
}

/// Options whose value may be another repository, which would be downloaded (`vllm/engine/arg_utils.py`; sglang, `sglang/srt/server_args.py`).
fn of_repositories(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::VLLM => &[
            "--tokenizer",
            "--hf-config-path",
            "--spec-model",
            "--speculative-config",
            "-sc",
        ],
        Engine::SGLang => &["--tokenizer-path", "--speculative-draft-model-path"],
        Engine::LoRAX | Engine::LlamaCpp | Engine::Custom => &[],
    }
}

/// Those of them whose value is JSON, which may name a model.
const SPECULATIVE_CONFIG: [&str; 2] = ["--speculative-config", "-sc"];

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
    /// A variable of the pod template, which goes over the operator's own.
    #[error(
        "spec.server.podTemplate has {variable} in the container `server`: leave it out, or spec.server.modelCache, from which servers read \
         their model"
    )]
    InTemplate {
        /// Its name.
        variable: String,
    },
    /// A variable of the installation.
    #[error(
        "{} has {variable}: leave it out, or spec.server.modelCache, from which servers read their model",
        Place::Installation
    )]
    OfInstallation {
        /// Its name.
        variable: String,
    },
    /// An argument that needs a repository that nobody brings.
    #[error(
        "spec.server.args has {argument:?} with {repository:?}: spec.server.modelCache has the repository of spec.server.baseModel alone, and \
         servers with it download nothing; leave one of the two out, or write an absolute path on a volume of spec.server.podTemplate"
    )]
    Repository {
        /// The option.
        argument: &'static str,
        /// The repository.
        repository: String,
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
            (MODULES_CACHE, format!("{}/modules", lorax::CACHE)),
        ],
        // It is given the path of its file.
        Engine::LlamaCpp | Engine::Custom => Vec::new(),
    }
}

/// The first argument or variable of a person by which servers of this model would look elsewhere.
#[must_use]
pub fn conflict(engine: Engine, model: &str, args: &[String], env: &[&str]) -> Option<CacheConflict> {
    place(engine, args)
        .or_else(|| repository(engine, model, args))
        .or_else(|| variable(engine, env))
}

/// The first variable of the pod template by which servers would look elsewhere, or download.
#[must_use]
pub fn conflict_in_template(engine: Engine, env: &[&str]) -> Option<CacheConflict> {
    let goes_over = |name: &&&str| is_elsewhere(engine, name) || **name == OFFLINE;
    let variable = env.iter().find(goes_over)?;
    Some(CacheConflict::InTemplate {
        variable: (*variable).to_owned(),
    })
}

/// The first variable of the installation by which servers have models from elsewhere. Where it says that they are kept does not matter, as the
/// operator's own variables go over those.
#[must_use]
pub fn conflict_in_installation(engine: Engine, env: &[&str]) -> Option<CacheConflict> {
    let variable = env.iter().find(|name| other_sources(engine).contains(name))?;
    Some(CacheConflict::OfInstallation {
        variable: (*variable).to_owned(),
    })
}

/// A Deployment's arguments without those that say where it keeps models.
#[must_use]
pub fn without_places(engine: Engine, args: Vec<String>) -> Vec<String> {
    without(args, |arg| is_place(engine, arg))
}

/// Whether a variable says where an engine keeps models.
#[must_use]
pub fn is_variable_of_place(name: &str) -> bool {
    PLACES.contains(&name)
}

fn is_place(engine: Engine, written: &str) -> bool {
    Reader::of(engine).is_some_and(|reader| OPTIONS.iter().any(|name| reader.is_spelling(written, name)))
}

fn place(engine: Engine, args: &[String]) -> Option<CacheConflict> {
    let argument = |argument: &str| CacheConflict::Argument {
        argument: argument.to_owned(),
    };
    if engine == Engine::LoRAX && !lorax::asks_hub(args, None) {
        return Some(argument(LORAX_SOURCE.1));
    }
    let written = args.iter().find(|written| is_place(engine, written))?;
    Some(argument(option_name(written)))
}

fn repository(engine: Engine, model: &str, args: &[String]) -> Option<CacheConflict> {
    let reader = Reader::of(engine)?;
    of_repositories(engine).iter().find_map(|name| {
        let value = reader.value(args, &[*name])?;
        let repository = if SPECULATIVE_CONFIG.contains(name) {
            draft_model(value)?
        } else {
            value.to_owned()
        };
        let is_there = repository.starts_with('/') || repository == model;
        (!is_there).then_some(CacheConflict::Repository {
            argument: name,
            repository,
        })
    })
}

/// The model that a speculative configuration names; some methods need none, for which it is the method's own name, without a slash.
fn draft_model(config: &str) -> Option<String> {
    let config: serde_json::Value = serde_json::from_str(config).ok()?;
    let model = config.get("model")?.as_str()?;
    model.contains('/').then(|| model.to_owned())
}

/// Whether by a variable an engine has models from elsewhere than the hub's cache on the claim.
fn is_elsewhere(engine: Engine, variable: &str) -> bool {
    is_variable_of_place(variable) || other_sources(engine).contains(&variable)
}

fn variable(engine: Engine, env: &[&str]) -> Option<CacheConflict> {
    let variable = env.iter().find(|name| is_elsewhere(engine, name))?;
    Some(CacheConflict::Variable {
        variable: (*variable).to_owned(),
    })
}

/// llama-server's arguments with the path of its file in the place of the repository that it would download from. Arguments that name no
/// repository stay as they are.
#[must_use]
pub fn with_file(args: Vec<String>, model: &str, projector: Option<&str>) -> Vec<String> {
    const REPOSITORY: [&str; 5] = ["-hf", "-hfr", "--hf-repo", "-hff", "--hf-file"];
    let names_repository = |arg: &str| REPOSITORY.contains(&arg);
    if !args.iter().any(|arg| names_repository(arg)) {
        return args;
    }
    let mut with_file = vec!["-m".to_owned(), model.to_owned()];
    let projector = projector.filter(|_| Choice::of(&args).with_projector);
    with_file.extend(
        projector
            .iter()
            .flat_map(|path| ["--mmproj".to_owned(), (*path).to_owned()]),
    );
    with_file.extend(without(args, names_repository));
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
        use Engine::{LlamaCpp, LoRAX, SGLang, VLLM};
        let argument = |name: &str| Some(format!("spec.server.args has {name:?}"));
        let variable = |name: &str| Some(format!("spec.server.env has {name}"));
        for (engine, args, env, message) in [
            (VLLM, &["--download-dir=/x"][..], &[][..], argument("--download-dir")),
            (VLLM, &["--download_dir", "/x"], &[], argument("--download_dir")),
            (SGLang, &["--download", "/x"], &[], argument("--download")),
            (LoRAX, &["--source", "s3"], &[], argument("--source")),
            (LoRAX, &["--source", "hub"], &[], None),
            (VLLM, &["--tokenizer", "org/other"], &[], argument("--tokenizer")),
            (
                VLLM,
                &["--tokenizer", "org/model", "--tokenizer-mode", "slow"],
                &[],
                None,
            ),
            (VLLM, &["--tokenizer", "/tokenizer"], &[], None),
            (
                VLLM,
                &["--speculative-config", r#"{"method": "eagle3", "model": "org/draft"}"#],
                &[],
                argument("--speculative-config"),
            ),
            (VLLM, &["-sc", r#"{"model": "org/draft"}"#], &[], argument("-sc")),
            (VLLM, &["--spec-model", "org/draft"], &[], argument("--spec-model")),
            (VLLM, &["--speculative-config", r#"{"method": "ngram"}"#], &[], None),
            (
                SGLang,
                &["--speculative-draft-model-path=org/draft"],
                &[],
                argument("--speculative-draft-model-path"),
            ),
            (LlamaCpp, &[], &["LEVEL", "LLAMA_CACHE"], variable("LLAMA_CACHE")),
            (LlamaCpp, &[], &["LLAMA_ARG_MMPROJ"], variable("LLAMA_ARG_MMPROJ")),
            (LlamaCpp, &["--no-mmproj"], &["LLAMA_ARG_CTX_SIZE"], None),
            (VLLM, &[], &["HF_HOME"], variable("HF_HOME")),
            (VLLM, &[], &["VLLM_USE_MODELSCOPE"], variable("VLLM_USE_MODELSCOPE")),
            (LoRAX, &[], &["SOURCE"], variable("SOURCE")),
            (VLLM, &["--max-num-seqs", "8"], &["HF_HUB_OFFLINE", "SOURCE"], None),
        ] {
            let said = conflict(engine, "org/model", &owned(args), env).map(|conflict| conflict.to_string());
            match (said, message) {
                (Some(said), Some(message)) => assert!(said.starts_with(&message), "{said}"),
                (said, message) => assert_eq!(said, message, "{engine} {args:?}"),
            }
        }
    }

    #[test]
    fn where_a_deployment_keeps_models_is_left_out() {
        let args = owned(&[
            "--download-dir",
            "/x",
            "--max-num-seqs",
            "8",
            "--download_dir=/y",
            "--seed",
            "1",
        ]);
        assert_eq!(
            without_places(Engine::VLLM, args),
            ["--max-num-seqs", "8", "--seed", "1"]
        );
        assert!(is_variable_of_place("HF_HOME") && !is_variable_of_place("HF_TOKEN"));
    }

    #[test]
    fn no_engine_that_knows_a_hub_downloads() {
        for engine in [Engine::VLLM, Engine::SGLang, Engine::LoRAX] {
            assert!(env(engine).contains(&("HF_HUB_OFFLINE", "1".to_owned())), "{engine}");
        }
    }
}
