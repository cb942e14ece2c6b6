//! The columns of a list: those of the resource itself, read from its definition, so that they are kubectl's.

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::api::crd;

use super::age::human;
use super::job::Job;
use super::printed::Width;

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// As its header says it.
    pub header: String,
    /// Where its value is in the job, as a JSON pointer.
    pointer: String,
    is_date: bool,
}

/// The columns of the resource.
#[must_use]
pub fn columns(width: Width) -> Vec<Column> {
    let definition = crd::definition();
    let columns = definition
        .spec
        .versions
        .into_iter()
        .flat_map(|version| version.additional_printer_columns.unwrap_or_default());
    columns
        .filter(|column| width == Width::Wide || column.priority.unwrap_or(0) == 0)
        .map(|column| Column {
            header: column.name.to_uppercase(),
            pointer: column.json_path.replace('.', "/"),
            is_date: column.type_ == "date",
        })
        .collect()
}

impl Column {
    /// Its text for a job; empty where the job has no value. A date is told by how far away it is.
    #[must_use]
    pub fn cell(&self, job: &Job, now: Timestamp) -> String {
        let value = job.value(&self.pointer);
        if self.is_date {
            return value
                .and_then(Value::as_str)
                .and_then(|text| text.parse().ok())
                .map_or_else(String::new, |then| distance(then, now));
        }
        match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

fn distance(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs();
    if seconds < 0 {
        return format!("in {}", human(-seconds));
    }
    human(seconds)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(width: Width, job: Value) -> Vec<(String, String)> {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let job = Job::new(job);
        let columns = columns(width).into_iter();
        columns
            .map(|column| (column.header.clone(), column.cell(&job, now)))
            .collect()
    }

    fn cell(job: Value, header: &str) -> String {
        let row = row(Width::Wide, job);
        let found = row.into_iter().find(|(name, _)| name == header);
        found.unwrap_or_else(|| panic!("no column {header}")).1
    }

    #[test]
    fn every_column_of_the_definition_is_a_plain_path() {
        for column in columns(Width::Wide) {
            let steps = column.pointer.strip_prefix('/').unwrap();
            let is_plain = steps.chars().all(|c| c.is_ascii_alphanumeric() || c == '/');
            assert!(is_plain && !steps.contains("//"), "{column:?}");
        }
    }

    #[test]
    fn columns_of_priority_are_wide_only() {
        let headers = |width| {
            row(width, json!({}))
                .into_iter()
                .map(|(header, _)| header)
                .collect::<Vec<_>>()
        };
        assert!(headers(Width::Narrow).starts_with(&["STATUS".into(), "DONE".into()]));
        assert!(!headers(Width::Narrow).contains(&"MODEL".to_owned()));
        assert!(headers(Width::Wide).contains(&"MODEL".to_owned()));
    }

    #[test]
    fn cells_are_texts_numbers_and_distances() {
        let job = json!({
            "metadata": {"creationTimestamp": "2026-11-24T11:55:30Z"},
            "status": {
                "phase": "Running",
                "resolved": {"model": "Qwen/Qwen3-8B"},
                "progress": {"completed": 450, "estimatedCompletionTime": "2026-11-24T12:03:00Z"},
            },
        });
        for (header, expected) in [
            ("STATUS", "Running"),
            ("DONE", "450"),
            ("FAILED", ""),
            ("AGE", "4m30s"),
            ("COMPLETION", "in 3m"),
            ("MODEL", "Qwen/Qwen3-8B"),
        ] {
            assert_eq!(cell(job.clone(), header), expected, "{header}");
        }
    }
}
