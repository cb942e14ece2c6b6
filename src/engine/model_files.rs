//! Which files of a model's repository an engine reads: weights in one format, tokenizer and configuration, and nothing else. Pure.

use super::gguf::Choice;
use super::repository::CONFIG;
use super::repository_file::RepositoryFile;
use super::{Engine, ModelRefusal};

/// Configuration in the format of Mistral AI, whose repositories have the weights twice.
pub(super) const MISTRAL_CONFIG: &str = "params.json";
const MISTRAL_WEIGHTS: &str = "consolidated";
/// How files with weights end, the format first that all engines prefer.
const SAFETENSORS: &str = ".safetensors";
const PICKLED: &str = ".bin";
const OLDEST: [&str; 2] = [".pt", ".pth"];
/// Files that end so and have no weights of the model: what a trainer left.
const OF_TRAINING: [&str; 4] = ["training_args.bin", "optimizer.bin", "scheduler.bin", "rng_state.pth"];
/// Weights for other programs, and what people look at.
const OF_OTHERS: [&str; 22] = [
    ".gguf",
    ".onnx",
    ".onnx_data",
    ".h5",
    ".msgpack",
    ".ot",
    ".tflite",
    ".mlmodel",
    ".ckpt",
    ".npz",
    ".nemo",
    ".zip",
    ".tar",
    ".gz",
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".webp",
    ".svg",
    ".mp4",
    ".pdf",
];
/// Folders of other programs, and the originals that a repository was made from.
const FOLDERS_OF_OTHERS: [&str; 8] = [
    "original",
    "onnx",
    "openvino",
    "coreml",
    "metal",
    "gguf",
    "runs",
    "checkpoints",
];
/// Read by people and by git.
const FOR_PEOPLE: [&str; 3] = ["README.md", ".gitattributes", ".gitignore"];

/// What one job's servers read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// All of it.
    pub files: Vec<RepositoryFile>,
    /// The GGUF file that is named to llama-server.
    pub gguf: Option<String>,
    /// The projector that is named to llama-server.
    pub projector: Option<String>,
}

impl Selection {
    /// How large all files are, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(RepositoryFile::size).fold(0, u64::saturating_add)
    }
}

/// Selects what an engine reads. `choice` is for llama-server, whose repositories have one model in many sizes.
///
/// # Errors
/// [`ModelRefusal`] when llama-server's file is not there, no file has weights, or LoRAX would convert them.
pub fn select(
    engine: Engine,
    model: &str,
    files: &[RepositoryFile],
    choice: &Choice,
) -> Result<Selection, ModelRefusal> {
    if engine == Engine::LlamaCpp {
        let chosen = choice.among(model, files)?;
        let mut selection = Selection {
            gguf: Some(chosen.model),
            projector: chosen.projector.as_ref().map(|file| file.path().to_owned()),
            files: chosen.parts,
        };
        selection.files.extend(chosen.projector);
        return Ok(selection);
    }
    let weights = weights(engine, files);
    if weights.is_empty() {
        let model = model.to_owned();
        return Err(ModelRefusal::NoWeights { model });
    }
    // `server/lorax_server/cli.py`: it writes them to the folder that they are in.
    if engine == Engine::LoRAX && weights.iter().any(|file| !file.path().ends_with(SAFETENSORS)) {
        let model = model.to_owned();
        return Err(ModelRefusal::NotConverted { model });
    }
    let others = files.iter().filter(|file| is_configuration(file.path()));
    Ok(Selection {
        files: weights.into_iter().chain(others).cloned().collect(),
        ..Selection::default()
    })
}

/// The weights: safetensors where there are any, as vLLM (`model_loader/default_loader.py`), SGLang and LoRAX take them.
fn weights(engine: Engine, files: &[RepositoryFile]) -> Vec<&RepositoryFile> {
    let ending = |ends: &[&str]| -> Vec<&RepositoryFile> {
        let has_end = |path: &str| ends.iter().any(|end| path.ends_with(end));
        let wanted =
            |file: &&RepositoryFile| is_near(file.path()) && has_end(file.path()) && !is_of_training(file.path());
        files.iter().filter(wanted).collect()
    };
    let safetensors = ending(&[SAFETENSORS]);
    if !safetensors.is_empty() {
        return without_originals(engine, files, safetensors);
    }
    let pickled = ending(&[PICKLED]);
    if pickled.is_empty() { ending(&OLDEST) } else { pickled }
}

/// Without the second copy of weights in Mistral AI's own format. vLLM may prefer that one where its configuration is there, so it has both.
fn without_originals<'a>(
    engine: Engine,
    files: &[RepositoryFile],
    mut weights: Vec<&'a RepositoryFile>,
) -> Vec<&'a RepositoryFile> {
    let has = |name: &str| files.iter().any(|file| file.path() == name);
    let is_original = |file: &&RepositoryFile| file.path().starts_with(MISTRAL_WEIGHTS);
    let has_others = weights.iter().any(|file| !is_original(file));
    let may_be_read = engine == Engine::VLLM && has(MISTRAL_CONFIG);
    if has_others && has(CONFIG) && !may_be_read {
        weights.retain(|file| !is_original(file));
    }
    weights
}

/// At the top, or in a folder with a module of a sentence transformer (`1_Pooling`).
fn is_near(path: &str) -> bool {
    let Some((folder, name)) = path.split_once('/') else {
        return true;
    };
    let is_module = folder
        .split_once('_')
        .is_some_and(|(number, _)| number.parse::<u8>().is_ok());
    is_module && !name.contains('/')
}

fn is_of_training(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    OF_TRAINING.contains(&name)
}

/// Whatever is small and may be read: configuration, tokenizer, templates, code of the model's own.
fn is_configuration(path: &str) -> bool {
    let folder = path.split_once('/').map_or("", |(folder, _)| folder);
    let lower = path.to_ascii_lowercase();
    let ends = |ends: &[&str]| ends.iter().any(|end| lower.ends_with(end));
    !FOLDERS_OF_OTHERS.contains(&folder)
        && !FOR_PEOPLE.contains(&path)
        && !ends(&OF_OTHERS)
        && !ends(&[SAFETENSORS, PICKLED])
        && !ends(&OLDEST)
}

#[cfg(test)]
#[path = "model_files_tests.rs"]
mod tests;
