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
    /// The pinned image that the operator runs for this engine; none for engine Custom.
    #[must_use]
    pub fn default_image(self) -> Option<Image<'static>> {
        Some(match self {
            // ENTRYPOINT ["vllm", "serve"] (vllm-project/vllm, docs/deployment/docker.md).
            Self::VLLM => Image {
                repository: "vllm/vllm-openai",
                tag: "v0.32.0",
            },
            // ENTRYPOINT ["lorax-launcher"] (predibase/lorax, Dockerfile). Of its tags (.github/workflows/build.yaml) the last release;
            // `main` and `latest` move.
            Self::LoRAX => Image {
                repository: "ghcr.io/predibase/lorax",
                tag: "0.12.1",
            },
            // No entrypoint of its own (sgl-project/sglang, docs/get_started/install.md).
            Self::SGLang => Image {
                repository: "lmsysorg/sglang",
                tag: "v0.5.23",
            },
            // ENTRYPOINT ["/app/llama-server"] (ggml-org/llama.cpp, .devops/cuda.Dockerfile, docs/docker.md). Images exist for
            // some builds only; without a CUDA device this one computes on the CPU.
            Self::LlamaCpp => Image {
                repository: "ghcr.io/ggml-org/llama.cpp",
                tag: "server-cuda-b11382",
            },
            Self::Custom => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_replaces_only_the_tag() {
        let image = Engine::VLLM.default_image().expect("an image").with_tag("nightly");
        assert_eq!(image.to_string(), "vllm/vllm-openai:nightly");
    }

    #[test]
    fn no_default_image_has_a_tag_that_moves() {
        for engine in Engine::ALL {
            let Some(Image { tag, .. }) = engine.default_image() else {
                assert_eq!(engine, Engine::Custom);
                continue;
            };
            assert!(tag.contains(|c: char| c.is_ascii_digit()), "{engine}: {tag}");
        }
    }
}
