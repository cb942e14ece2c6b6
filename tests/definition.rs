//! The committed CustomResourceDefinition is the one that the types make, and small enough for `kubectl apply`.

use std::fs;
use std::path::Path;

use batch_inference_operator::api::crd;

/// `kubectl apply` keeps the whole object in an annotation, and annotations together may have 256 KiB
/// (Kubernetes, `TotalAnnotationSizeLimitB`).
const LIMIT: usize = 256 * 1024;

const COMMITTED: [&str; 2] = [
    "crds/batchinferencejobs.yaml",
    "charts/batch-inference-operator/crd.yaml",
];

#[test]
fn the_committed_definitions_are_current() {
    let current = crd::manifest().expect("the definition as YAML");
    for path in COMMITTED {
        let committed = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default();
        assert!(
            committed == current,
            "{path} is stale: run `make generate` and commit the result"
        );
    }
}

#[test]
fn kubectl_apply_can_store_the_definition() {
    let json = serde_json::to_string(&crd::definition()).expect("the definition as JSON");
    assert!(json.len() < LIMIT, "the definition has {} bytes as JSON", json.len());
}
