//! Which version of an engine an image has, as its tag says: what is known of the operator's own image is not known of every other.

use std::cmp::Ordering;

use super::Engine;

/// An image's version, beside the one that the operator runs when a job names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The same: all that is known of the engine holds.
    Default,
    /// A later one: it has every option that the default has.
    Newer,
    /// An earlier one, or one that the tag does not tell: it may lack what came late.
    Other,
}

impl Version {
    /// Reads an image's tag; neither the registry nor the repository says anything, as images are mirrored.
    #[must_use]
    pub fn of(engine: Engine, image: &str) -> Self {
        let default = engine.default_image().and_then(|default| numbers(engine, default.tag));
        let (Some(default), Some(version)) = (default, tag(image).and_then(|tag| numbers(engine, tag))) else {
            return Self::Other;
        };
        match version.cmp(&default) {
            Ordering::Equal => Self::Default,
            Ordering::Greater => Self::Newer,
            Ordering::Less => Self::Other,
        }
    }

    /// Whether it has the options, and the user beside root, that the default has and earlier versions had not.
    #[must_use]
    pub fn has_newest_options(self) -> bool {
        self != Self::Other
    }
}

/// The tag of `registry.example:5000/repository:tag@sha256:...`.
fn tag(image: &str) -> Option<&str> {
    let without_digest = image.split('@').next()?;
    let name = without_digest.rsplit('/').next()?;
    name.split_once(':').map(|(_, tag)| tag)
}

/// The version in a tag of the form that the engine's own images have. A tag of any other form, such as `nightly`, says nothing.
fn numbers(engine: Engine, tag: &str) -> Option<[u64; 3]> {
    match engine {
        // `v0.32.0`, `v0.32.0-cu130`.
        Engine::VLLM | Engine::SGLang => release(tag.strip_prefix('v')?),
        // `0.12.1`.
        Engine::LoRAX => release(tag),
        // `server-cuda-b11382`.
        Engine::LlamaCpp => {
            let (_, build) = tag.rsplit_once("-b")?;
            Some([build.parse().ok()?, 0, 0])
        }
        Engine::Custom => None,
    }
}

/// Three numbers, and after them nothing or a variant. Of a candidate (`0.33.0rc1`) it is not certain what it has.
fn release(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.splitn(3, '.');
    let (major, minor, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (patch, variant) = rest.split_at(end);
    if !(variant.is_empty() || variant.starts_with(['-', '.'])) {
        return None;
    }
    Some([major.parse().ok()?, minor.parse().ok()?, patch.parse().ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_the_version_in_any_registry() {
        for (engine, image, expected) in [
            (Engine::VLLM, "vllm/vllm-openai:v0.32.0", Version::Default),
            (Engine::VLLM, "registry.example:5000/vllm:v0.32.0", Version::Default),
            (Engine::VLLM, "vllm/vllm-openai:v0.32.0@sha256:0123", Version::Default),
            (Engine::VLLM, "vllm/vllm-openai:v0.32.0-cu130", Version::Default),
            (Engine::VLLM, "vllm/vllm-openai:v0.32.0.post1", Version::Default),
            (Engine::VLLM, "vllm/vllm-openai:v0.33.0", Version::Newer),
            (Engine::VLLM, "vllm/vllm-openai:v1.0.0", Version::Newer),
            (Engine::VLLM, "vllm/vllm-openai:v0.11.0", Version::Other),
            (Engine::VLLM, "vllm/vllm-openai:v0.4.0", Version::Other),
            (Engine::VLLM, "vllm/vllm-openai:v0.33.0rc1", Version::Other),
            (Engine::VLLM, "vllm/vllm-openai:nightly", Version::Other),
            (Engine::VLLM, "vllm/vllm-openai@sha256:0123", Version::Other),
            (Engine::VLLM, "registry.example:5000/vllm", Version::Other),
            (Engine::VLLM, "own/vllm:1.0.0", Version::Other),
            (Engine::LoRAX, "ghcr.io/predibase/lorax:0.12.1", Version::Default),
            (Engine::LoRAX, "ghcr.io/predibase/lorax:a7394ba", Version::Other),
            (
                Engine::SGLang,
                "lmsysorg/sglang:v0.5.23-rocm700-mi30x",
                Version::Default,
            ),
            (Engine::SGLang, "lmsysorg/sglang:v0.5.3", Version::Other),
            (
                Engine::LlamaCpp,
                "ghcr.io/ggml-org/llama.cpp:server-rocm-b11382",
                Version::Default,
            ),
            (
                Engine::LlamaCpp,
                "ghcr.io/ggml-org/llama.cpp:server-cuda-b12000",
                Version::Newer,
            ),
            (
                Engine::LlamaCpp,
                "ghcr.io/ggml-org/llama.cpp:server-cuda-b4000",
                Version::Other,
            ),
            (
                Engine::LlamaCpp,
                "ghcr.io/ggml-org/llama.cpp:server-cuda",
                Version::Other,
            ),
            (Engine::Custom, "tgi:v1.0.0", Version::Other),
        ] {
            assert_eq!(Version::of(engine, image), expected, "{engine} {image}");
        }
    }

    #[test]
    fn every_default_image_tells_its_version() {
        for engine in Engine::ALL {
            let Some(image) = engine.default_image() else { continue };
            assert_eq!(Version::of(engine, &image.to_string()), Version::Default, "{engine}");
        }
    }
}
