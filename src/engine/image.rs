//! The images that servers run from when a job does not name one.

use std::fmt;

use super::Engine;

/// A container image: the repository, and the tag apart from it, so that `spec.server.imageTag` can replace the tag alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// Registry and repository, such as `vllm/vllm-openai`.
    pub repository: &'a str,
    /// The tag, such as `v0.32.0`.
    pub tag: &'a str,
}

impl<'a> Image<'a> {
    /// The same repository with another tag.
    #[must_use]
    pub fn with_tag(self, tag: &'a str) -> Self {
        Self { tag, ..self }
    }
}

impl fmt::Display for Image<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.repository, self.tag)
    }
}

impl Engine {
    /// The pinned image that the operator runs for this engine. Both have the server as their entrypoint, so that a
    /// container needs arguments only.
    #[must_use]
    pub fn default_image(self) -> Image<'static> {
        match self {
            // ENTRYPOINT ["vllm", "serve"] (vllm-project/vllm, docs/deployment/docker.md).
            Self::VLLM => Image {
                repository: "vllm/vllm-openai",
                tag: "v0.32.0",
            },
            // ENTRYPOINT ["/app/llama-server"] (ggml-org/llama.cpp, .devops/cuda.Dockerfile, docs/docker.md). Images exist for
            // some builds only; without a CUDA device this one computes on the CPU.
            Self::LlamaCpp => Image {
                repository: "ghcr.io/ggml-org/llama.cpp",
                tag: "server-cuda-b11382",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_replaces_only_the_tag() {
        let image = Engine::VLLM.default_image().with_tag("nightly");
        assert_eq!(image.to_string(), "vllm/vllm-openai:nightly");
    }

    #[test]
    fn no_default_image_has_a_tag_that_moves() {
        for engine in [Engine::VLLM, Engine::LlamaCpp] {
            let tag = engine.default_image().tag;
            assert!(tag.contains(|c: char| c.is_ascii_digit()), "{engine}: {tag}");
        }
    }
}
