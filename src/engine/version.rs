//! Which version of an engine an image has, as its name and tag say: options come with releases, and what is known of the operator's own
//! image is not known of every other.

use super::Engine;

/// The number of a release: major, minor and patch; of llama.cpp, whose builds are counted, the build and twice 0.
pub type Release = [u64; 3];

/// What is known of an image's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    told: Told,
    is_default: bool,
}

/// What a tag tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing: `nightly`, a name of somebody's own, a digest alone.
    Nothing,
    /// What became this release later. Of what the release has, it is not certain what it had.
    Candidate(Release),
    /// A release.
    Release(Release),
}

impl Version {
    /// Reads the last part of an image's name, and its tag; registry and path before it say nothing, as images are mirrored.
    #[must_use]
    pub fn of(engine: Engine, image: &str) -> Self {
        let (name, tag) = name_and_tag(image);
        let told = tag.map_or(Told::Nothing, |tag| read(engine, tag));
        let is_default = engine.default_image().is_some_and(|default| {
            let (its_name, _) = name_and_tag(default.repository);
            name == its_name && told == read(engine, default.tag)
        });
        Self { told, is_default }
    }

    /// Whether it is the version that the operator runs when a job names none, in an image of the same name: all that is known of the engine
    /// holds. An image of another name may have more in it, whatever its tag says: plugins, or code of somebody's own.
    #[must_use]
    pub fn is_default(self) -> bool {
        self.is_default
    }

    /// Whether it certainly has what came with a release.
    ///
    /// A tag that tells nothing is at least nothing. What comes late are options that a server can do without, and without them it
    /// starts in every version; with one that it does not know it ends at once, on a GPU that is paid for, and there is no field by which a person could
    /// take the option away again. A person who knows that the image has it can write it in `args`.
    #[must_use]
    pub fn is_at_least(self, release: Release) -> bool {
        match self.told {
            Told::Nothing => false,
            Told::Candidate(later) => later > release,
            Told::Release(own) => own >= release,
        }
    }
}

/// The last part of a name, and the tag: `repository` and `tag` of `registry.example:5000/path/repository:tag@sha256:...`.
fn name_and_tag(image: &str) -> (&str, Option<&str>) {
    let without_digest = image.split_once('@').map_or(image, |(name, _)| name);
    let last = without_digest.rsplit_once('/').map_or(without_digest, |(_, last)| last);
    match last.split_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (last, None),
    }
}

/// What a tag of the form tells that the engine's own images have. A tag of any other form says nothing: `1.0.0` is a version of somebody's own.
fn read(engine: Engine, tag: &str) -> Told {
    let told = match engine {
        // `v0.32.0`, `v0.32.0-cu130`, `v0.33.0rc1`.
        Engine::VLLM | Engine::SGLang => tag.strip_prefix('v').and_then(numbered),
        // `0.12.1`.
        Engine::LoRAX => numbered(tag),
        // `server-cuda-b11382`.
        Engine::LlamaCpp => build(tag),
        Engine::Custom => None,
    };
    told.unwrap_or(Told::Nothing)
}

fn build(tag: &str) -> Option<Told> {
    let (_, build) = tag.rsplit_once("-b")?;
    Some(Told::Release([build.parse().ok()?, 0, 0]))
}

/// Three numbers, and after them nothing, a variant, or the word of what comes before a release (`0.33.0rc1`, `0.33.0.dev1`).
fn numbered(version: &str) -> Option<Told> {
    let mut parts = version.splitn(3, '.');
    let (major, minor, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (patch, variant) = rest.split_at(end);
    let release = [major.parse().ok()?, minor.parse().ok()?, patch.parse().ok()?];
    let word = variant.trim_start_matches(['-', '.']);
    if word.starts_with("rc") || word.starts_with("dev") {
        return Some(Told::Candidate(release));
    }
    let is_apart = variant.is_empty() || word.len() < variant.len();
    is_apart.then_some(Told::Release(release))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_the_release_in_any_registry() {
        let release = Told::Release([0, 32, 0]);
        let candidate = Told::Candidate([0, 33, 0]);
        for (engine, image, expected) in [
            (Engine::VLLM, "vllm/vllm-openai:v0.32.0", release),
            (Engine::VLLM, "registry.example:5000/vllm:v0.32.0", release),
            (Engine::VLLM, "vllm/vllm-openai:v0.32.0@sha256:0123", release),
            (Engine::VLLM, "vllm/vllm-openai:v0.32.0-cu130", release),
            (Engine::VLLM, "vllm/vllm-openai:v0.32.0.post1", release),
            (Engine::VLLM, "vllm/vllm-openai:v0.33.0rc1", candidate),
            (Engine::VLLM, "vllm/vllm-openai:v0.33.0-rc1", candidate),
            (Engine::VLLM, "vllm/vllm-openai:v0.33.0.dev7", candidate),
            (Engine::VLLM, "vllm/vllm-openai:v0.33.0x", Told::Nothing),
            (Engine::VLLM, "vllm/vllm-openai:nightly", Told::Nothing),
            (Engine::VLLM, "vllm/vllm-openai@sha256:0123", Told::Nothing),
            (Engine::VLLM, "registry.example:5000/vllm", Told::Nothing),
            (Engine::VLLM, "own/vllm:1.0.0", Told::Nothing),
            (Engine::LoRAX, "lorax:0.12.1", Told::Release([0, 12, 1])),
            (Engine::LoRAX, "lorax:a7394ba", Told::Nothing),
            (Engine::SGLang, "sglang:v0.5.23-rocm700", Told::Release([0, 5, 23])),
            (Engine::LlamaCpp, "llama.cpp:server-b4000", Told::Release([4000, 0, 0])),
            (Engine::LlamaCpp, "llama.cpp:server-cuda", Told::Nothing),
            (Engine::Custom, "tgi:v1.0.0", Told::Nothing),
        ] {
            assert_eq!(Version::of(engine, image).told, expected, "{engine} {image}");
        }
    }

    #[test]
    fn an_image_is_at_least_what_it_certainly_has() {
        for (tag, release, expected) in [
            ("v0.32.0", [0, 32, 0], true),
            ("v0.32.0", [0, 32, 1], false),
            ("v0.9.2", [0, 14, 0], false),
            ("v1.0.0", [0, 99, 0], true),
            ("v0.33.0rc1", [0, 32, 0], true),
            ("v0.33.0rc1", [0, 33, 0], false),
            ("nightly", [0, 0, 0], false),
        ] {
            let version = Version::of(Engine::VLLM, &format!("vllm/vllm-openai:{tag}"));
            assert_eq!(version.is_at_least(release), expected, "{tag} {release:?}");
        }
    }

    #[test]
    fn the_operator_s_own_image_is_known_in_any_registry_by_its_name_and_version() {
        for (engine, image, is_default) in [
            (Engine::VLLM, "vllm/vllm-openai:v0.32.0", true),
            (
                Engine::VLLM,
                "registry.example:5000/mirror/vllm/vllm-openai:v0.32.0",
                true,
            ),
            (Engine::VLLM, "vllm-openai:v0.32.0-cu130@sha256:0123", true),
            (Engine::VLLM, "registry.example/vllm:v0.32.0", false),
            (Engine::VLLM, "vllm/vllm-openai-rocm:v0.32.0", false),
            (Engine::VLLM, "vllm/vllm-openai:v0.32.0rc1", false),
            (Engine::VLLM, "vllm/vllm-openai:v0.32.1", false),
            (Engine::VLLM, "vllm/vllm-openai:v0.31.0", false),
            (Engine::VLLM, "vllm/vllm-openai:nightly", false),
            (Engine::VLLM, "vllm/vllm-openai@sha256:0123", false),
            (Engine::LlamaCpp, "ghcr.io/ggml-org/llama.cpp:server-rocm-b11382", true),
            (Engine::Custom, "tgi:v1.0.0", false),
            (Engine::Custom, "", false),
        ] {
            assert_eq!(Version::of(engine, image).is_default(), is_default, "{engine} {image}");
        }
    }

    #[test]
    fn every_default_image_is_known_as_such() {
        for engine in Engine::ALL {
            let Some(image) = engine.default_image() else { continue };
            assert!(Version::of(engine, &image.to_string()).is_default(), "{engine}");
        }
    }
}
