//! Adapters that are fetched into a server's pod before it starts, as its engine cannot fetch them itself.

use crate::api::adapters::AdapterSource;
use crate::engine::Engine;

/// Where they are put in the server's container.
pub const FETCHED: &str = "/var/lib/adapters";

/// What addresses in S3 begin with.
pub(super) const S3: &str = "s3://";

/// Whether adapters of a source have to be fetched for an engine: LoRAX reads S3 by itself.
#[must_use]
pub fn are_fetched(engine: Engine, source: AdapterSource) -> bool {
    source == AdapterSource::S3 && engine != Engine::LoRAX
}

/// Where an engine finds the adapter that is at `path`.
#[must_use]
pub fn place(engine: Engine, source: AdapterSource, path: &str) -> String {
    if are_fetched(engine, source) {
        return format!("{FETCHED}/{}", below_fetched(path));
    }
    path.to_owned()
}

/// Where the adapter of an address in S3 stands below [`FETCHED`].
#[must_use]
pub fn below_fetched(address: &str) -> &str {
    address.strip_prefix(S3).unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_engine_cannot_fetch_itself_is_fetched() {
        let address = "s3://bucket/loras/sql";
        for (engine, expected) in [
            (Engine::VLLM, "/var/lib/adapters/bucket/loras/sql"),
            (Engine::LlamaCpp, "/var/lib/adapters/bucket/loras/sql"),
            (Engine::LoRAX, address),
        ] {
            assert_eq!(place(engine, AdapterSource::S3, address), expected, "{engine}");
        }
        assert_eq!(place(Engine::VLLM, AdapterSource::Hub, "org/sql"), "org/sql");
    }
}
