//! What a hub says of a model's repository, and whether an engine can load what is there.
//!
//! Read from the answer to `GET /api/models/REPOSITORY/revision/REVISION`
//! (<https://huggingface.co/docs/hub/api>, `ModelInfo` of huggingface_hub), from `config.json`, and from the index of the weights.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::architecture::Architecture;
use super::checkpoint::Checkpoint;
use super::gguf::Choice;
use super::repository_file::{Checksum, RepositoryFile};
use super::{Engine, ModelRefusal, Version};

/// The file that says what kind of model it is.
pub const CONFIG: &str = "config.json";
/// In its place, a LoRA adapter has this.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// An adapter's weights.
pub const ADAPTER_WEIGHTS: [&str; 3] = ["adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt"];
/// Files that say how large all files with weights are together.
const INDEXES: [&str; 2] = ["model.safetensors.index.json", "pytorch_model.bin.index.json"];
/// The most bytes that are read of an index: one of the largest models has a line for each of 140,000 tensors, some 15 MB.
const LARGEST_INDEX: usize = 32 << 20;
/// The most bytes that are read of a configuration, of which hardly one has a hundredth.
const LARGEST_CONFIG: usize = 4 << 20;
/// How files of weights end that are no GGUF.
const CHECKPOINTS: [&str; 4] = [".safetensors", ".bin", ".pt", ".pth"];

/// The most bytes that are read of a small file: somebody's repository may have anything by its name.
#[must_use]
pub fn most_bytes(name: &str) -> usize {
    if INDEXES.contains(&name) {
        LARGEST_INDEX
    } else {
        LARGEST_CONFIG
    }
}

/// What is in a repository.
#[derive(Clone, Debug, Deserialize)]
pub struct Repository {
    /// The commit that the revision stands for.
    pub sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
    #[serde(default)]
    safetensors: Option<Safetensors>,
    #[serde(default)]
    gguf: Option<GgufFacts>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    /// This and what follows only where the hub was asked for `blobs`.
    size: Option<u64>,
    /// Of a small file: git's own name of its content.
    blob_id: Option<String>,
    lfs: Option<LargeFile>,
}

/// Of a file that git has a pointer to only.
#[derive(Clone, Debug, Deserialize)]
struct LargeFile {
    sha256: String,
    size: u64,
}

/// Weights by type, as the hub has counted them.
#[derive(Clone, Debug, Deserialize)]
struct Safetensors {
    #[serde(default)]
    parameters: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Deserialize)]
struct GgufFacts {
    total: Option<u64>,
}

/// What a model's `config.json` says.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Config {
    model_type: Option<String>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    /// As transformers writes it since its version 5.
    dtype: Option<String>,
    torch_dtype: Option<String>,
    /// Whatever it has, as all else of the file is to be read all the same.
    #[serde(rename = "quantization_config")]
    quantization: Option<Value>,
    /// In its place, as older compressed tensors have it.
    #[serde(rename = "compression_config")]
    compression: Option<Value>,
    /// Of a model that sees or hears, what its language model is.
    #[serde(rename = "text_config")]
    text: Option<TextConfig>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct TextConfig {
    dtype: Option<String>,
    torch_dtype: Option<String>,
    #[serde(rename = "quantization_config")]
    quantization: Option<Value>,
}

/// The index of the files with weights.
#[derive(Clone, Debug, Deserialize)]
pub struct WeightsIndex {
    metadata: IndexMetadata,
}

#[derive(Clone, Debug, Deserialize)]
struct IndexMetadata {
    /// As newer versions of transformers write it (`modeling_utils.py`, `save_pretrained`).
    #[serde(default, deserialize_with = "whole_part")]
    total_parameters: Option<u64>,
    /// In bytes; some programs write it with a fraction.
    #[serde(default, deserialize_with = "whole_part")]
    total_size: Option<u64>,
}

/// A number without its fraction; none of what is no such number.
fn whole_part<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let written = value.as_number().map(ToString::to_string).unwrap_or_default();
    let whole = written.split('.').next().unwrap_or_default();
    Ok(whole.parse().ok())
}

impl Repository {
    /// Reads a hub's answer.
    ///
    /// # Errors
    /// When it is something else.
    pub fn read(answer: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(answer)
    }

    /// Whether there is a file of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.files().any(|file| file == name)
    }

    /// The files with their sizes and checksums, as the hub tells them that is asked for `blobs`.
    ///
    /// # Errors
    /// The name of the first of which it does not, or that no file can have.
    pub fn described_files(&self) -> Result<Vec<RepositoryFile>, String> {
        let described = |sibling: &Sibling| RepositoryFile::read(sibling).ok_or_else(|| sibling.rfilename.clone());
        self.siblings.iter().map(described).collect()
    }

    /// Whether what is there can be an adapter. A hub that lists no file says nothing.
    #[must_use]
    pub fn may_be_adapter(&self) -> bool {
        self.siblings.is_empty() || self.has(ADAPTER_CONFIG)
    }

    /// Whether there can be weights where vLLM looks for those of an adapter (`vllm/lora/lora_model.py`, `from_local_checkpoint`).
    #[must_use]
    pub fn may_have_adapter_weights(&self) -> bool {
        self.siblings.is_empty() || ADAPTER_WEIGHTS.into_iter().any(|name| self.has(name))
    }

    fn files(&self) -> impl Iterator<Item = &str> {
        self.siblings.iter().map(|sibling| sibling.rfilename.as_str())
    }

    fn first_ending(&self, ends: &[&str]) -> Option<&str> {
        self.files()
            .find(|file| ends.iter().any(|end| file.to_ascii_lowercase().ends_with(end)))
    }

    /// A file that only those get who may load the model: a hub shows what there is to others, too.
    #[must_use]
    pub fn guarded_file(&self) -> Option<&str> {
        let config = self.files().find(|file| *file == CONFIG);
        config
            .or_else(|| self.first_ending(&[".gguf"]))
            .or_else(|| self.first_ending(&CHECKPOINTS))
    }

    /// Refuses files that this version of the engine is certain not to load. A hub that lists no file says nothing.
    ///
    /// # Errors
    /// [`ModelRefusal`].
    pub fn refuse_files(&self, engine: Engine, version: Version, model: &str) -> Result<(), ModelRefusal> {
        let model = model.to_owned();
        let has_gguf = self.first_ending(&[".gguf"]).is_some();
        let has_only_gguf = has_gguf && self.first_ending(&CHECKPOINTS).is_none();
        if self.siblings.is_empty() {
            return Ok(());
        }
        if self.has(ADAPTER_CONFIG) && !self.has(CONFIG) && !has_gguf {
            return Err(ModelRefusal::Adapter { model });
        }
        match engine {
            Engine::LlamaCpp if !has_gguf => Err(ModelRefusal::NoGguf { model }),
            Engine::VLLM | Engine::LoRAX | Engine::SGLang if has_only_gguf && version.is_default() => {
                Err(ModelRefusal::GgufOnly { engine, model })
            }
            _ => Ok(()),
        }
    }

    /// The GGUF file that llama-server loads, or the first of them. A hub that lists no file says nothing.
    ///
    /// # Errors
    /// [`ModelRefusal`] when what is asked for is not there.
    pub fn gguf(&self, choice: &Choice, model: &str) -> Result<Option<&str>, ModelRefusal> {
        if self.siblings.is_empty() {
            return Ok(None);
        }
        let paths: Vec<&str> = self.files().collect();
        choice.path_among(model, &paths).map(Some)
    }

    /// The index of the weights, where the hub has not counted them itself.
    #[must_use]
    pub fn index_to_count(&self) -> Option<&'static str> {
        if self.counted().is_some() {
            return None;
        }
        INDEXES.into_iter().find(|name| self.has(name))
    }

    /// How many parameters the model has, as far as it says.
    #[must_use]
    pub fn parameters(&self, config: &Config, index: Option<&WeightsIndex>) -> Option<u64> {
        self.counted().or_else(|| {
            let metadata = &index?.metadata;
            metadata.total_parameters.or_else(|| {
                // Of packed weights, bytes say little.
                let bytes = config.bytes_of_a_weight().filter(|_| config.quantization.is_none())?;
                Some(metadata.total_size? / bytes)
            })
        })
    }

    /// As the hub has counted. Of weights of few bits, several of which stand in one element, it counts each by now (huggingface.js,
    /// `packages/hub/src/lib/parse-safetensors-metadata.ts`, `getQuantizationMultiplier`), and counted the elements when many repositories
    /// came to be. Nothing tells which of the two a number is, so it is taken for the first: a number that is too small refuses nothing.
    fn counted(&self) -> Option<u64> {
        let by_type = self.safetensors.as_ref().map(|counted| &counted.parameters);
        match by_type.filter(|by_type| !by_type.is_empty()) {
            Some(by_type) => Some(by_type.values().copied().fold(0, u64::saturating_add)),
            None => self.gguf.as_ref()?.total,
        }
    }
}

impl RepositoryFile {
    fn read(sibling: &Sibling) -> Option<Self> {
        if let Some(large) = &sibling.lfs {
            return Self::new(&sibling.rfilename, large.size, Checksum::sha256(&large.sha256)?);
        }
        let checksum = Checksum::git_blob(sibling.blob_id.as_deref()?)?;
        Self::new(&sibling.rfilename, sibling.size?, checksum)
    }
}

impl Config {
    /// Reads the file; one that is no JSON says nothing.
    #[must_use]
    pub fn read(file: &[u8]) -> Self {
        serde_json::from_slice(file).unwrap_or_default()
    }

    /// What kind of model it is.
    #[must_use]
    pub fn architecture(&self) -> Architecture<'_> {
        Architecture {
            model_type: self.model_type.as_deref(),
            classes: self.architectures.as_deref().unwrap_or_default(),
        }
    }

    /// How its weights are quantized; where the language model alone says it, that (vLLM 0.32.0,
    /// `vllm/transformers_utils/model_arch_config_convertor.py`).
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint<'_> {
        let text = self.text.as_ref().and_then(|text| text.quantization.as_ref());
        let said = self.quantization.as_ref().or(self.compression.as_ref()).or(text);
        // In the form of NVIDIA's ModelOpt it says more than the method.
        let is_of_modelopt = |said: &&Value| said.get("producer").is_some() || said.get("quantization").is_some();
        let method = said
            .filter(|said| !is_of_modelopt(said))
            .and_then(|said| said.get("quant_method"));
        Checkpoint {
            method: method.and_then(Value::as_str),
            model_type: self.model_type.as_deref(),
        }
    }

    fn bytes_of_a_weight(&self) -> Option<u64> {
        let text = self.text.as_ref();
        let of_text = text.and_then(|text| text.dtype.as_ref().or(text.torch_dtype.as_ref()));
        match self.dtype.as_ref().or(self.torch_dtype.as_ref()).or(of_text)?.as_str() {
            "float32" => Some(4),
            "float16" | "bfloat16" => Some(2),
            _ => None,
        }
    }
}

impl WeightsIndex {
    /// Reads the file; none when it is something else.
    #[must_use]
    pub fn read(file: &[u8]) -> Option<Self> {
        serde_json::from_slice(file).ok()
    }
}

#[cfg(test)]
#[path = "repository_tests.rs"]
mod tests;
