//! Which engine a command line starts.

use super::words::file_name;
use super::{FoundContainer, FoundError, wrappers};
use crate::engine::Engine;

/// What is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program<'a> {
    pub engine: Engine,
    /// What the operator's own options are to follow; none where the image says so.
    pub command: Option<Vec<String>>,
    pub options: &'a [String],
}

/// Tells by the program, and where the image says what that is, by the image.
pub(super) fn recognise<'a>(words: &'a [String], container: &FoundContainer<'_>) -> Result<Program<'a>, FoundError> {
    if let Some(program) = by_program(words) {
        return Ok(program);
    }
    let engine = by_image(container.image).filter(|_| container.command.is_empty());
    let engine = engine.filter(|engine| are_options(*engine, words));
    let Some(engine) = engine else {
        return Err(FoundError::Unknown {
            program: container.command.first().or(words.first()).cloned().unwrap_or_default(),
            image: container.image.to_owned(),
        });
    };
    // The image `full` of llama.cpp has many tools, of which `--server` chooses one (ggml-org/llama.cpp, .devops/tools.sh).
    let is_tools = engine == Engine::LlamaCpp && words.first().is_some_and(|word| word == "--server");
    let command = match engine {
        Engine::VLLM => Some(vllm_serve()),
        _ => is_tools.then(|| vec!["/app/llama-server".to_owned()]),
    };
    Ok(Program {
        engine,
        command,
        options: &words[usize::from(is_tools)..],
    })
}

/// Whether these are what an engine's own program is given, and not another program with its arguments: of words that are no options,
/// `vllm serve` alone takes one, the model.
fn are_options(engine: Engine, words: &[String]) -> bool {
    let is_option = |word: Option<&String>| word.is_none_or(|word| word.starts_with('-') && word != "--");
    let takes_model = engine == Engine::VLLM && is_option(words.get(1)) && !wrappers::is_wrapper(words);
    is_option(words.first()) || takes_model
}

/// What the operator's options are for. Images have it whatever they start by themselves, which in older ones is `python3 -m
/// vllm.entrypoints.openai.api_server`: that takes no model without `--model` (vllm-project/vllm, issue 27389).
fn vllm_serve() -> Vec<String> {
    ["vllm", "serve"].map(str::to_owned).into()
}

/// Whether a command starts a server that is known.
pub(super) fn is_server(words: &[String]) -> bool {
    by_program(words).is_some()
}

fn by_program(words: &[String]) -> Option<Program<'_>> {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let program = |engine, length: usize| Program {
        engine,
        command: Some(words[..length].to_vec()),
        options: &words[length..],
    };
    match file_name(word(0)) {
        "vllm" if word(1) == "serve" => Some(program(Engine::VLLM, 2)),
        "sglang" if word(1) == "serve" => Some(program(Engine::SGLang, 2)),
        "lorax-launcher" => Some(program(Engine::LoRAX, 1)),
        "llama-server" => Some(program(Engine::LlamaCpp, 1)),
        name if name.starts_with("python") && word(1) == "-m" => match word(2) {
            "sglang.launch_server" => Some(program(Engine::SGLang, 3)),
            // The same server under its older names.
            "vllm.entrypoints.openai.api_server" | "vllm.entrypoints.api_server" => Some(Program {
                command: Some(vllm_serve()),
                ..program(Engine::VLLM, 3)
            }),
            _ => None,
        },
        _ => None,
    }
}

/// The engine whose program an image starts by itself: `vllm/vllm-openai`, `ghcr.io/predibase/lorax`, `ghcr.io/ggml-org/llama.cpp:server`
/// and copies of them. SGLang's starts none.
fn by_image(image: &str) -> Option<Engine> {
    let name = file_name(image);
    let repository = name.split([':', '@']).next().unwrap_or(name);
    if repository.contains("vllm") {
        return Some(Engine::VLLM);
    }
    if repository.contains("lorax") {
        return Some(Engine::LoRAX);
    }
    let is_llama_cpp = repository.contains("llama.cpp") || repository.contains("llama-cpp");
    is_llama_cpp.then_some(Engine::LlamaCpp)
}
