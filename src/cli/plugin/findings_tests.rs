use std::fmt::Write;

use super::super::validate::{find, find_describing, names_of};
use super::*;
use crate::api::Engine;

const GOOD: &str = r#"{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": []}}"#;

fn row(id: usize, more: &str) -> String {
    format!(
        r#"{{"custom_id": "{id}", "method": "POST", "url": "/v1/chat/completions", "body": {{"messages": []{more}}}}}"#
    )
}

/// What is told of a file.
struct Told {
    runs: Runs,
    report: String,
}

/// The check of a file with this content, whose name is left out of the report.
async fn findings(content: &str, names: &Names) -> Told {
    findings_describing(1000, content, names).await
}

async fn findings_describing(described: usize, content: &str, names: &Names) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    std::fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap();
    let found = find_describing(described, path, names).await.unwrap();
    let mut report = Vec::new();
    found.write(&mut report).unwrap();
    Told {
        runs: found.runs(),
        report: String::from_utf8(report).unwrap().replace(path, "FILE"),
    }
}

fn qwen() -> Names {
    names_of(Engine::VLLM, "qwen3-8b", &["gpt-4o-mini".to_owned()]).unwrap()
}

#[tokio::test]
async fn a_good_data_set_is_told_in_one_line() {
    let findings = findings(&format!("{GOOD}\n"), &Names::Any).await;
    assert_eq!(
        (findings.runs, findings.report.as_str()),
        (Runs::Every, "FILE: good: 1 row\n")
    );
}

#[tokio::test]
async fn every_refused_row_is_told_and_not_only_the_first_ten() {
    let mut content = String::new();
    for id in 0..25 {
        writeln!(content, "{}", row(id, "")).unwrap();
        writeln!(content, "{}", row(id, "")).unwrap();
        writeln!(content, "not JSON {id}").unwrap();
    }
    let Told { runs, report } = findings(&content, &Names::Any).await;
    assert_eq!(runs, Runs::Some);
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(lines.len(), 51, "{report}");
    assert_eq!(
        lines[0],
        "FILE:2: custom_id `0` stands already in line 1; give each row its own"
    );
    assert!(lines[1].starts_with("FILE:3: not JSON: "), "{report}");
    assert!(lines[49].starts_with("FILE:75: "), "{report}");
    assert_eq!(lines[50], "FILE: bad: 50 of 75 rows cannot be run");
}

#[tokio::test]
async fn rows_beyond_the_bound_are_counted() {
    let mut content = row(0, "") + "\n";
    content.push_str(&"not JSON\n".repeat(5));
    let told = findings_describing(3, &content, &Names::Any).await;
    assert_eq!(told.runs, Runs::Some);
    let lines: Vec<_> = told.report.lines().collect();
    assert_eq!(
        lines[3..],
        [
            "FILE: and 2 rows more, which are not described",
            "FILE: bad: 5 of 6 rows cannot be run"
        ]
    );
    assert!(lines[2].starts_with("FILE:4: not JSON"), "{}", told.report);
}

#[tokio::test]
async fn where_a_job_takes_adapters_their_names_are_good() {
    let rows = [r#","model": "qwen3-8b""#, r#","model": "org/sql""#];
    let content: String = rows.iter().enumerate().map(|(id, more)| row(id, more) + "\n").collect();
    assert_eq!(findings(&content, &qwen()).await.runs, Runs::None);
    let with_adapters = qwen().with_adapters(Some(AdaptersSpec::default()));
    assert_eq!(findings(&content, &with_adapters).await.runs, Runs::Every);
    let content = format!("{}\n", row(0, r#","model": "sql""#));
    let refused = findings(&content, &with_adapters).await;
    assert!(refused.report.contains("ORG/NAME"), "{}", refused.report);
}

#[tokio::test]
async fn a_model_that_the_job_does_not_serve_is_refused() {
    let rows = [
        r#","model": "qwen3-8b""#,
        r#","model": "gpt-4o-mini""#,
        r#","model": "other""#,
    ];
    let content: String = rows.iter().enumerate().map(|(id, more)| row(id, more) + "\n").collect();
    let refused = findings(&content, &qwen()).await;
    assert_eq!(refused.runs, Runs::None);
    let expected = "FILE:3: nothing serves the model `other` of 1 row (first in line 3); write `qwen3-8b`";
    assert!(refused.report.starts_with(expected), "{}", refused.report);
    assert!(
        refused.report.ends_with("bad: 1 of 3 rows cannot be run\n"),
        "{}",
        refused.report
    );

    let told = findings(&content, &Names::Any).await;
    assert_eq!(told.runs, Runs::Every);
    assert!(
        told.report
            .contains("`other` of 1 row (first in line 3) has to be served"),
        "{}",
        told.report
    );
    assert!(told.report.ends_with("FILE: good: 3 rows\n"), "{}", told.report);
}

/// The chart may have replaced what a short name stands for.
#[tokio::test]
async fn by_the_catalog_of_this_program_a_model_is_only_told() {
    let content = format!("{}\n", row(0, r#","model": "our-org/our-qwen""#));
    let told = findings(&content, &qwen().by_catalog()).await;
    assert_eq!(told.runs, Runs::Every);
    let expected = "FILE:1: warning: by the catalog of this program nothing serves the model `our-org/our-qwen` of 1 row (first in line 1)";
    assert!(told.report.starts_with(expected), "{}", told.report);
    assert!(told.report.ends_with("FILE: good: 1 row\n"), "{}", told.report);
}

#[tokio::test]
async fn rows_of_names_beyond_the_first_are_counted() {
    let name = |id: usize| row(id, &format!(r#","model": "other-{id}""#)) + "\n";
    let content: String = (0..23).map(name).collect();
    for names in [qwen(), Names::Any] {
        let report = findings(&content, &names).await.report;
        let lines: Vec<_> = report.lines().collect();
        assert_eq!(
            (lines.len(), lines[20]),
            (22, "FILE: and 3 rows of other names"),
            "{report}"
        );
    }
    let twenty: String = (0..20).map(name).collect();
    let report = findings(&twenty, &qwen()).await.report;
    assert!(!report.contains("other names"), "{report}");
}

#[tokio::test]
async fn a_row_that_is_bad_twice_is_not_two_rows() {
    let content = format!("{}\n", row(0, r#","model": "other""#)).repeat(2);
    let report = findings(&content, &qwen()).await.report;
    let expected = "FILE: bad: of 2 rows, 1 cannot be run, and nothing serves the model of 2\n";
    assert!(report.ends_with(expected), "{report}");
}

#[tokio::test]
async fn fields_that_are_not_sent_are_a_warning() {
    let tagged = GOOD.replace(r#""method""#, r#""tag": 1, "method""#);
    let Told { runs, report } = findings(&tagged, &Names::Any).await;
    assert_eq!(runs, Runs::Every);
    assert!(
        report.contains("warning: the field `tag` of 1 row means nothing here"),
        "{report}"
    );
}

#[tokio::test]
async fn an_empty_file_is_bad_and_a_missing_one_is_an_error() {
    let empty = findings("\n", &Names::Any).await;
    assert_eq!(
        (empty.runs, empty.report.as_str()),
        (Runs::None, "FILE: the data set has no rows\n")
    );
    let error = find("/no/such/rows.jsonl", &Names::Any).await.unwrap_err();
    assert!(format!("{error:#}").contains("/no/such/"), "{error:#}");
}
