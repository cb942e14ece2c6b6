//! Jobs as text, in each form that `-o` names. Pure.

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::arguments::Format;
use super::columns::columns;
use super::job::Job;
use super::jobs::Scope;
use super::table::table;

/// An object that cannot be written in a form.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// As JSON.
    #[error("the job cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// As YAML.
    #[error("the job cannot be written as YAML")]
    Yaml(#[from] serde_yaml::Error),
}

/// One job.
///
/// # Errors
///
/// [`PrintError`]; hardly ever, as what came as JSON can be written.
pub fn one(job: &Job, format: Option<Format>, now: Timestamp) -> Result<String, PrintError> {
    match format {
        None | Some(Format::Wide | Format::Name) => many(std::slice::from_ref(job), format, Scope::Namespace, now),
        Some(Format::Json) => Ok(serde_json::to_string_pretty(job.object())? + "\n"),
        Some(Format::Yaml) => Ok(serde_yaml::to_string(job.object())?),
    }
}

/// A list of jobs. Of all namespaces, each is named.
///
/// # Errors
///
/// As [`one`].
pub fn many(jobs: &[Job], format: Option<Format>, scope: Scope, now: Timestamp) -> Result<String, PrintError> {
    let list = || {
        let items: Vec<_> = jobs.iter().map(Job::object).collect();
        json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
    };
    match format {
        None => Ok(rows(jobs, scope, Width::Narrow, now)),
        Some(Format::Wide) => Ok(rows(jobs, scope, Width::Wide, now)),
        Some(Format::Name) => Ok(jobs.iter().map(|job| job.full_name() + "\n").collect()),
        Some(Format::Json) => Ok(serde_json::to_string_pretty(&list())? + "\n"),
        Some(Format::Yaml) => Ok(serde_yaml::to_string(&list())?),
    }
}

/// What became of a job, as kubectl says it (`.../triangles suspended`), or the job as it is now.
///
/// # Errors
///
/// As [`one`].
pub fn changed(job: &Job, what: &str, format: Option<Format>, now: Timestamp) -> Result<String, PrintError> {
    match format {
        None => Ok(format!("{} {what}\n", job.full_name())),
        format => one(job, format, now),
    }
}

/// Which columns a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Those of everyday.
    Narrow,
    /// All.
    Wide,
}

fn rows(jobs: &[Job], scope: Scope, width: Width, now: Timestamp) -> String {
    let columns = columns(width);
    let first: &[&str] = match scope {
        Scope::Namespace => &["NAME"],
        Scope::All => &["NAMESPACE", "NAME"],
    };
    let first = first.iter().map(|name| (*name).to_owned());
    let header: Vec<_> = first
        .chain(columns.iter().map(|column| column.header.clone()))
        .collect();
    let row = |job: &Job| {
        let names = match scope {
            Scope::Namespace => vec![job.name()],
            Scope::All => vec![job.namespace(), job.name()],
        };
        let names = names.into_iter().map(str::to_owned);
        names
            .chain(columns.iter().map(|column| column.cell(job, now)))
            .collect()
    };
    let rows: Vec<Vec<_>> = jobs.iter().map(row).collect();
    table(&header, &rows)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn jobs() -> Vec<Job> {
        let job = |name: &str, status: Value| {
            Job::new(json!({
                "metadata": {"name": name, "namespace": "team", "creationTimestamp": "2026-11-24T11:55:30Z"},
                "status": status,
            }))
        };
        let progress = json!({"total": 1000, "completed": 447, "failed": 3, "percent": 45});
        vec![
            job(
                "triangles",
                json!({"phase": "Running", "progress": progress, "resolved": {"model": "Qwen/Qwen3-8B"}}),
            ),
            job("x", json!({})),
        ]
    }

    #[test]
    fn a_table_has_the_names_first() {
        let text = many(&jobs(), None, Scope::Namespace, now()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("NAME        STATUS    DONE   FAILED"), "{text}");
        assert!(lines[1].starts_with("triangles   Running   447    3"), "{text}");
        assert!(lines[2].starts_with("x "), "{text}");
        let text = many(&jobs(), Some(Format::Wide), Scope::All, now()).unwrap();
        assert!(text.starts_with("NAMESPACE   NAME        STATUS"), "{text}");
        assert!(text.contains("Qwen/Qwen3-8B"), "{text}");
    }

    #[test]
    fn names_are_those_that_kubectl_takes() {
        let text = many(&jobs(), Some(Format::Name), Scope::All, now()).unwrap();
        assert_eq!(
            text,
            "batchinferencejob.batchinference.dev/triangles\nbatchinferencejob.batchinference.dev/x\n"
        );
    }

    #[test]
    fn objects_are_as_the_api_server_has_them() {
        let list = many(&jobs(), Some(Format::Json), Scope::Namespace, now()).unwrap();
        let list: Value = serde_json::from_str(&list).unwrap();
        assert_eq!(
            (&list["kind"], &list["items"][1]["metadata"]["name"]),
            (&json!("List"), &json!("x"))
        );
        let one = one(&jobs()[0], Some(Format::Yaml), now()).unwrap();
        let read: Value = serde_yaml::from_str(&one).unwrap();
        assert_eq!(&read, jobs()[0].object());
    }

    #[test]
    fn a_change_is_told_in_a_word() {
        let text = changed(&jobs()[1], "suspended", None, now()).unwrap();
        assert_eq!(text, "batchinferencejob.batchinference.dev/x suspended\n");
        let text = changed(&jobs()[1], "suspended", Some(Format::Name), now()).unwrap();
        assert_eq!(text, "batchinferencejob.batchinference.dev/x\n");
    }
}
