//! What is written down about the types is what the types say: the committed CustomResourceDefinition, which is also small
//! enough for `kubectl apply`, and the page of conditions.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use batch_inference_operator::api::crd;
use batch_inference_operator::api::reason::Reason;

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

const CONDITIONS: &str = "docs/reference/conditions.md";

/// The rows of the page's tables that are about a reason: `| \`REASON\` | ... | ADVICE |`.
fn rows_about_reasons(page: &str) -> Vec<(&str, &str)> {
    let cells = page.lines().filter_map(|line| {
        let row = line.strip_prefix("| `")?.strip_suffix(" |")?;
        let (name, rest) = row.split_once("` | ")?;
        let (_, advice) = rest.rsplit_once(" | ")?;
        Some((name, advice))
    });
    cells.collect()
}

#[test]
fn every_reason_is_on_the_page_of_conditions_once() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(CONDITIONS)).expect("the page");
    let rows = rows_about_reasons(&page);
    for reason in Reason::ALL {
        let advice: Vec<_> = rows
            .iter()
            .filter(|(name, _)| *name == reason.as_str())
            .map(|(_, advice)| *advice)
            .collect();
        assert_eq!(
            advice,
            [reason.advice()],
            "{CONDITIONS} should have one row about {reason}, with its advice in the last column"
        );
    }
    let known: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    for (name, _) in rows {
        assert!(
            known.contains(name),
            "{CONDITIONS} has a row about {name}, which is no reason"
        );
    }
}
