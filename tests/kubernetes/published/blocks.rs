//! The YAML of the pages: between fences, or indented by four.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::super::commands::root;

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A job, or a part of one in the smallest example.
    Job,
    /// Values of the chart.
    Values,
}

/// A block of YAML.
#[derive(Clone, Debug)]
pub struct Block {
    /// The file, and which of its blocks.
    pub place: String,
    pub kind: Kind,
    pub value: Value,
}

/// What a page shows of `spec.server`, and of `spec`; and what the chart's values are.
const SERVER: [&str; 2] = ["adapters", "podTemplate"];
const SPEC: [&str; 5] = ["dataset", "server", "endpoint", "feeder", "output"];
const VALUES: [&str; 5] = ["engines", "hub", "models", "pricing", "resourceProfiles"];

/// All blocks of `examples/`, `docs/`, the README and the chart's notes.
pub fn all() -> Vec<Block> {
    let mut files = Vec::new();
    for folder in ["examples", "docs", "docs/reference"] {
        let entries = std::fs::read_dir(root().join(folder)).expect("a folder");
        files.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    files.push(root().join("README.md"));
    files.push(root().join("charts/batch-inference-operator/templates/NOTES.txt"));
    files.sort();
    files
        .iter()
        .filter(|path| path.is_file())
        .flat_map(|path| of_file(path))
        .collect()
}

fn of_file(path: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(path).expect("a text");
    let texts = match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml") => documents(path, &text),
        Some("md" | "txt") => of_page(path, &text),
        _ => return Vec::new(),
    };
    let numbered = texts.into_iter().enumerate();
    numbered
        .filter_map(|(number, value)| {
            let (kind, value) = known(value)?;
            let place = format!("{}, block {number}", path.display());
            Some(Block { place, kind, value })
        })
        .collect()
}

fn documents(path: &Path, text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text);
    documents
        .map(|document| {
            Value::deserialize(document).unwrap_or_else(|error| panic!("{}: {error}\n{text}", path.display()))
        })
        .collect()
}

/// Lines that are indented by two or more, or stand between fences, together.
fn of_page(path: &Path, page: &str) -> Vec<Value> {
    let mut blocks = vec![String::new()];
    let mut is_fenced = false;
    for line in page.lines() {
        if line.starts_with("```") {
            is_fenced = !is_fenced;
            blocks.push(String::new());
            continue;
        }
        let ends = line.ends_with("<<JOB") || line.trim() == "JOB" || line.trim().starts_with("kubectl ");
        let is_code = is_fenced || line.starts_with("  ") || line.is_empty();
        if !is_code || ends {
            blocks.push(String::new());
        } else if let Some(block) = blocks.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    let blocks = blocks.iter().filter(|block| is_yaml(block));
    blocks.flat_map(|block| documents(path, block)).collect()
}

/// Whether a block of a page begins as what [`known`] takes does. Pages have code of other kinds.
fn is_yaml(block: &str) -> bool {
    let lines = block.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let Some((name, _)) = lines.next().and_then(|line| line.split_once(':')) else {
        return false;
    };
    let known = [&["apiVersion", "spec"][..], &SERVER, &SPEC, &VALUES];
    known.iter().any(|names| names.contains(&name))
}

/// What a block is, whole: a part of a job is put into the smallest example.
fn known(value: Value) -> Option<(Kind, Value)> {
    if value.get("kind").is_some_and(|kind| kind == "BatchInferenceJob") {
        return Some((Kind::Job, value));
    }
    let fields = value.as_object()?;
    let first = fields.keys().next()?.clone();
    if fields.keys().all(|name| VALUES.contains(&name.as_str())) {
        return Some((Kind::Values, value));
    }
    let patch = match first.as_str() {
        "spec" => value,
        first if SERVER.contains(&first) => serde_json::json!({"spec": {"server": value}}),
        first if SPEC.contains(&first) => serde_json::json!({"spec": value}),
        _ => return None,
    };
    Some((Kind::Job, in_the_smallest(&patch)))
}

fn in_the_smallest(patch: &Value) -> Value {
    let smallest = include_str!("../../../examples/smallest.yaml");
    let mut job: Value = serde_yaml::from_str(smallest).expect("an example");
    let spec = &patch["spec"];
    let fields = job["spec"].as_object_mut().expect("fields");
    // These come in place of the example's.
    if !spec["endpoint"].is_null() || !spec["server"]["from"].is_null() {
        fields.remove("server");
    }
    for name in ["dataset", "output"] {
        if !spec[name].is_null() {
            fields.remove(name);
        }
    }
    put_over(&mut job, patch);
    job
}

/// Puts the fields of one object over those of another.
fn put_over(onto: &mut Value, patch: &Value) {
    match (onto, patch) {
        (Value::Object(onto), Value::Object(patch)) => {
            for (name, value) in patch {
                put_over(onto.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (onto, patch) => *onto = patch.clone(),
    }
}
