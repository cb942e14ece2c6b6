//! What is written down about the types is what the types say: the committed CustomResourceDefinition, which is also small
//! enough for `kubectl apply`, the page of conditions, and every job that people are told to apply; and every field of them does what
//! it says (`fields`).

mod fields;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use batch_inference_operator::api::reason::Reason;
use batch_inference_operator::api::{BatchInferenceJob, Engine, crd};
use batch_inference_operator::controller::settings::Settings;
use batch_inference_operator::controller::validate::validate;
use batch_inference_operator::engine::quantization::words;

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

#[test]
fn every_image_and_every_quantization_is_on_the_page_of_engines() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/engines.md")).expect("the page");
    for engine in Engine::ALL {
        let image = engine.default_image().map(|image| image.to_string());
        for word in words(engine).map(str::to_owned).chain(image) {
            assert!(
                page.contains(&format!("`{word}`")),
                "{engine}: {word} is not on the page"
            );
        }
    }
}

/// The texts of all Rust files below a folder.
fn sources(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    let texts = entries.flat_map(|path| match path.extension() {
        _ if path.is_dir() => sources(&path),
        Some(extension) if extension == "rs" => vec![fs::read_to_string(&path).expect("a file")],
        _ => Vec::new(),
    });
    texts.collect()
}

/// The attributes of the function of this name, from the last to the first.
fn attributes<'a>(source: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let declaration = format!("fn {name}(");
    let (before, _) = source.split_once(&declaration)?;
    // The function's own line may begin before its name.
    let (above, _) = before.rsplit_once('\n')?;
    let above = above.lines().rev().map(str::trim_start);
    Some(above.take_while(|line| line.starts_with("#[")).collect())
}

/// The file that has a test of this name.
fn file_with_test<'a>(sources: &'a [String], name: &str) -> Option<&'a String> {
    let is_test = |attribute: &&str| attribute.starts_with("#[test]") || attribute.starts_with("#[tokio::test");
    let has_test = |source: &&String| attributes(source, name).is_some_and(|found| found.iter().any(is_test));
    sources.iter().find(has_test)
}

#[test]
fn a_test_is_known_by_its_attribute() {
    let source = "#[test]\nfn plain() {}\n\n    #[tokio::test(start_paused = true)]\n    #[ignore]\n    async fn late() {}\n\nfn other() {}\n";
    let sources = [source.to_owned()];
    for (name, is_test) in [("plain", true), ("late", true), ("other", false), ("missing", false)] {
        assert_eq!(file_with_test(&sources, name).is_some(), is_test, "{name}");
    }
    assert_eq!(
        attributes(source, "late"),
        Some(vec!["#[ignore]", "#[tokio::test(start_paused = true)]"])
    );
}

#[test]
fn every_test_that_the_page_of_reliability_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/reliability.md")).expect("the page");
    let sources = [sources(&root.join("src")), sources(&root.join("tests"))].concat();
    let names = shown_by(&page);
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let is_there = if name.contains('/') {
            root.join(name).is_file()
        } else {
            file_with_test(&sources, name).is_some()
        };
        assert!(is_there, "there is no test {name}");
    }
}

/// What stands in backticks in the last cell of the page's rows: tests, and files of tests.
fn shown_by(page: &str) -> Vec<&str> {
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = rows.filter_map(|row| Some(row.rsplit_once(" | ")?.1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// Pages with a first job to paste: `kubectl apply -f - <<JOB`, the job, `JOB`.
const PAGES_WITH_A_JOB: [&str; 2] = ["README.md", "charts/batch-inference-operator/templates/NOTES.txt"];

/// The job that a page pastes, without the page's indentation.
fn pasted_job(page: &str) -> String {
    let lines = page.lines().skip_while(|line| !line.ends_with("<<JOB")).skip(1);
    let lines: Vec<_> = lines.take_while(|line| line.trim() != "JOB").collect();
    let indentation = lines.first().map_or(0, |line| line.len() - line.trim_start().len());
    let lines: Vec<_> = lines
        .iter()
        .map(|line| line.get(indentation..).unwrap_or_default())
        .collect();
    lines.join("\n")
}

/// Every job that people are told to apply, each with the file that it stands in.
fn published_jobs() -> Vec<(String, serde_json::Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(path).expect("a readable file");
    let examples = fs::read_dir(root.join("examples")).expect("the examples");
    let examples = examples
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| (path.display().to_string(), read(&path)));
    let pasted = PAGES_WITH_A_JOB.map(|page| (page.to_owned(), pasted_job(&read(&root.join(page)))));
    examples
        .chain(pasted)
        .flat_map(|(file, yaml)| {
            let documents: Vec<serde_json::Value> = serde_yaml::Deserializer::from_str(&yaml)
                .map(|document| serde::Deserialize::deserialize(document).expect(&file))
                .filter(|document: &serde_json::Value| document["kind"] == "BatchInferenceJob")
                .collect();
            assert!(!documents.is_empty(), "{file} has no job");
            documents.into_iter().map(move |document| (file.clone(), document))
        })
        .collect()
}

/// Whether every field that was written was read, whatever became of its value.
fn has_every_field(read: &serde_json::Value, written: &serde_json::Value) -> bool {
    match (read, written) {
        (serde_json::Value::Object(read), serde_json::Value::Object(written)) => written
            .iter()
            .all(|(name, written)| read.get(name).is_some_and(|read| has_every_field(read, written))),
        (serde_json::Value::Array(read), serde_json::Value::Array(written)) => {
            let mut pairs = read.iter().zip(written);
            pairs.all(|(read, written)| has_every_field(read, written))
        }
        _ => true,
    }
}

#[test]
fn every_published_job_is_accepted() {
    let settings = Settings::new("batch-inference-operator:1");
    for (file, written) in published_jobs() {
        let job: BatchInferenceJob = serde_json::from_value(written.clone()).expect(&file);
        let read = serde_json::to_value(&job).expect("serialises");
        assert!(
            has_every_field(&read, &written),
            "{file} has a field that does not exist: {written} is read as {read}"
        );
        job.validate_cel().expect(&file);
        validate(&job, &settings).expect(&file);
    }
}
