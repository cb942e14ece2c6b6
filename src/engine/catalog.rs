//! The catalog: short names of base models, and the Hugging Face repositories they stand for.

/// Short names and repositories, sorted by name: the models of at most 16B parameters that Predibase's public model list names
/// (docs.predibase.com, inference/models) and that have a public repository. All hold safetensors, none holds GGUF files.
const MODELS: &[(&str, &str)] = &[
    ("codellama-13b-instruct", "codellama/CodeLlama-13b-Instruct-hf"),
    ("codellama-7b", "codellama/CodeLlama-7b-hf"),
    ("codellama-7b-instruct", "codellama/CodeLlama-7b-Instruct-hf"),
    ("gemma-2-9b", "google/gemma-2-9b"),
    ("gemma-2-9b-instruct", "google/gemma-2-9b-it"),
    ("gemma-2b", "google/gemma-2b"),
    ("gemma-2b-instruct", "google/gemma-2b-it"),
    ("gemma-7b", "google/gemma-7b"),
    ("gemma-7b-instruct", "google/gemma-7b-it"),
    ("llama-2-13b", "meta-llama/Llama-2-13b-hf"),
    ("llama-2-13b-chat", "meta-llama/Llama-2-13b-chat-hf"),
    ("llama-2-7b", "meta-llama/Llama-2-7b-hf"),
    ("llama-2-7b-chat", "meta-llama/Llama-2-7b-chat-hf"),
    ("llama-3-1-8b", "meta-llama/Llama-3.1-8B"),
    ("llama-3-1-8b-instruct", "meta-llama/Llama-3.1-8B-Instruct"),
    ("llama-3-2-1b", "meta-llama/Llama-3.2-1B"),
    ("llama-3-2-1b-instruct", "meta-llama/Llama-3.2-1B-Instruct"),
    ("llama-3-2-3b", "meta-llama/Llama-3.2-3B"),
    ("llama-3-2-3b-instruct", "meta-llama/Llama-3.2-3B-Instruct"),
    ("llama-3-8b", "meta-llama/Meta-Llama-3-8B"),
    ("llama-3-8b-instruct", "meta-llama/Meta-Llama-3-8B-Instruct"),
    ("mistral-7b", "mistralai/Mistral-7B-v0.1"),
    ("mistral-7b-instruct", "mistralai/Mistral-7B-Instruct-v0.1"),
    ("mistral-7b-instruct-v0-2", "mistralai/Mistral-7B-Instruct-v0.2"),
    ("phi-2", "microsoft/phi-2"),
    ("phi-3-5-mini-instruct", "microsoft/Phi-3.5-mini-instruct"),
    ("phi-3-mini-4k-instruct", "microsoft/Phi-3-mini-4k-instruct"),
    ("qwen2-5-1-5b", "Qwen/Qwen2.5-1.5B"),
    ("qwen2-5-1-5b-instruct", "Qwen/Qwen2.5-1.5B-Instruct"),
    ("qwen2-5-14b", "Qwen/Qwen2.5-14B"),
    ("qwen2-5-14b-instruct", "Qwen/Qwen2.5-14B-Instruct"),
    ("qwen2-5-3b", "Qwen/Qwen2.5-3B"),
    ("qwen2-5-3b-instruct", "Qwen/Qwen2.5-3B-Instruct"),
    ("qwen2-5-7b", "Qwen/Qwen2.5-7B"),
    ("qwen2-5-7b-instruct", "Qwen/Qwen2.5-7B-Instruct"),
    ("qwen2-5-coder-3b-instruct", "Qwen/Qwen2.5-Coder-3B-Instruct"),
    ("qwen2-5-coder-7b-instruct", "Qwen/Qwen2.5-Coder-7B-Instruct"),
    ("qwen3-14b", "Qwen/Qwen3-14B"),
    ("qwen3-8b", "Qwen/Qwen3-8B"),
    ("zephyr-7b-beta", "HuggingFaceH4/zephyr-7b-beta"),
];

/// How many names [`close_names`] gives at most.
const CLOSE_NAMES: usize = 3;

/// The repository that a short name stands for.
pub(super) fn repository(name: &str) -> Option<&'static str> {
    MODELS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, repository)| *repository)
}

/// The short names that look most like what was written, closest first; none when nothing is close.
pub(super) fn close_names(written: &str) -> Vec<&'static str> {
    let written = written.to_lowercase().replace(['.', '_', ' '], "-");
    let limit = (written.chars().count() / 3).max(1);
    let mut close: Vec<(usize, &str)> = MODELS
        .iter()
        .map(|(name, _)| (edit_distance(&written, name), *name))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    close.sort_unstable();
    close.into_iter().take(CLOSE_NAMES).map(|(_, name)| name).collect()
}

/// How many characters must be added, removed or replaced to make one text the other (Levenshtein's distance).
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.chars().enumerate() {
        let mut diagonal = above[0];
        above[0] = row + 1;
        for (column, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = above[column + 1];
            above[column + 1] = replaced.min(diagonal + 1).min(above[column] + 1);
        }
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::{BaseModel, Location};

    #[test]
    fn the_catalog_is_sorted_and_names_each_model_once() {
        assert!(MODELS.is_sorted_by(|(left, _), (right, _)| left < right));
    }

    #[test]
    fn every_short_name_stands_for_a_repository_that_could_be_written_itself() {
        for (name, repository) in MODELS {
            let model: BaseModel = repository
                .parse()
                .unwrap_or_else(|error| panic!("{name} stands for a bad repository: {error}"));
            assert_eq!(model.location(), &Location::Repository((*repository).to_owned()));
        }
    }

    #[test]
    fn close_names_start_with_the_closest() {
        assert_eq!(close_names("Qwen3-8B").first(), Some(&"qwen3-8b"));
        assert_eq!(close_names("qwen2.5-7b-instruct").first(), Some(&"qwen2-5-7b-instruct"));
        assert_eq!(close_names("gpt-4o-mini"), Vec::<&str>::new());
    }

    #[test]
    fn the_distance_counts_added_removed_and_replaced_characters() {
        for (left, right, distance) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abc", "axc", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edit_distance(left, right), distance, "{left} and {right}");
        }
    }
}
