//! The revision of a repository among an engine's arguments.

use super::Engine;
use super::launch::REVISION;

/// Whether an engine can be told which revision of a repository to load.
#[must_use]
pub fn takes_revision(engine: Engine) -> bool {
    match engine {
        Engine::VLLM | Engine::LoRAX | Engine::SGLang => true,
        // `llama-server --help` (0.7.0) has no such option.
        Engine::LlamaCpp | Engine::Custom => false,
    }
}

/// Puts a commit in the place of the revision; where there is none, behind the model. Arguments that do not begin as the operator's
/// own stay as they are.
pub fn pin(engine: Engine, args: &mut Vec<String>, commit: &str) {
    if let Some(at) = args.iter().position(|arg| arg == REVISION) {
        if let Some(value) = args.get_mut(at + 1) {
            commit.clone_into(value);
        }
        return;
    }
    if let Some(at) = behind_model(engine, args) {
        args.splice(at..at, [REVISION.to_owned(), commit.to_owned()]);
    }
}

/// Where the model ends that each launch begins with.
fn behind_model(engine: Engine, args: &[String]) -> Option<usize> {
    let option = match engine {
        Engine::VLLM => return (!args.is_empty()).then_some(1),
        Engine::LoRAX => "--model-id",
        Engine::SGLang => "--model-path",
        Engine::LlamaCpp | Engine::Custom => return None,
    };
    let at = args.iter().position(|arg| arg == option)?;
    (at + 2 <= args.len()).then_some(at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_stands_behind_the_model_or_in_the_place_of_the_revision() {
        for (engine, before, after) in [
            (
                Engine::VLLM,
                &["org/model", "--port", "8000"][..],
                &["org/model", "--revision", "c0ffee", "--port", "8000"][..],
            ),
            (
                Engine::VLLM,
                &["org/model", "--revision", "main", "--tokenizer-revision", "main"],
                &["org/model", "--revision", "c0ffee", "--tokenizer-revision", "main"],
            ),
            (
                Engine::LoRAX,
                &["--model-id", "org/model", "--hostname", "0.0.0.0"],
                &[
                    "--model-id",
                    "org/model",
                    "--revision",
                    "c0ffee",
                    "--hostname",
                    "0.0.0.0",
                ],
            ),
            (
                Engine::SGLang,
                &["--model-path", "org/model"],
                &["--model-path", "org/model", "--revision", "c0ffee"],
            ),
            (Engine::SGLang, &["--model-path"], &["--model-path"]),
            (Engine::LlamaCpp, &["-hf", "org/model"], &["-hf", "org/model"]),
            (Engine::VLLM, &[], &[]),
        ] {
            let mut args: Vec<String> = before.iter().map(|arg| (*arg).to_owned()).collect();
            pin(engine, &mut args, "c0ffee");
            assert_eq!(args, after, "{engine}");
        }
    }
}
