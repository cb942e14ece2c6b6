//! Data that cannot be run never starts a server, and the job says which line is wrong and why.

use batch_inference_operator::api::condition::ConditionType;
use serde_json::json;

use super::job::Job;
use super::rows::{chat, chats};
use super::tenant::{Tenant, condition, end_of};

/// A data set, and what the job has to say about it.
struct Case {
    name: &'static str,
    rows: String,
    reason: &'static str,
    says: &'static [&'static str],
}

fn with_line_seven(line: &str) -> String {
    let good = chats(6, &json!({}));
    format!("{good}{line}\n{}", chat("last", "", &json!({})))
}

fn cases() -> Vec<Case> {
    let case = |name, rows, says| Case {
        name,
        rows,
        reason: "DatasetInvalid",
        says,
    };
    let row = |id: &str| chat(id, "", &json!({}));
    let unknown_url = row("odd").replace("/v1/chat/completions", "/v1/images");
    vec![
        case("not-json", with_line_seven("{\"custom_id\": \"x\", "), &["line 7"]),
        case(
            "duplicate",
            with_line_seven(&row("row-2")),
            &["line 7", "`row-2` stands already in line 3"],
        ),
        case(
            "number-id",
            with_line_seven(&row("9").replace("\"custom_id\":\"9\"", "\"custom_id\":9")),
            &["line 7", "custom_id", "9"],
        ),
        case("unknown-url", with_line_seven(&unknown_url), &["line 7", "/v1/images"]),
        case(
            "unknown-model",
            with_line_seven(&chat("odd", "gpt-5", &json!({}))),
            &["gpt-5", "1 row", "servedModelNames"],
        ),
        case("empty", "\n\n".to_owned(), &["the data set has no rows"]),
    ]
}

#[tokio::test]
async fn bad_data_never_starts_a_server_and_names_line_and_cause() {
    let tenant = Tenant::start("bad-data").await;
    let cases = cases();
    for case in &cases {
        let key = format!("{}.jsonl", case.name);
        tenant.put(&key, &case.rows).await;
        tenant
            .submit(&Job::new(&tenant, case.name).set("/dataset/uri", json!(tenant.uri(&key))))
            .await;
    }
    let missing = Job::new(&tenant, "missing-object").set("/dataset/uri", json!(tenant.uri("no-such.jsonl")));
    tenant.submit(&missing).await;
    tenant.create_keys("wrong-keys", "not-the-secret").await;
    let refused = Job::new(&tenant, "refused-key").set("/dataset/credentialsSecretRef/name", json!("wrong-keys"));
    tenant.put("rows.jsonl", &chats(3, &json!({}))).await;
    tenant.submit(&refused).await;

    for case in &cases {
        let message = failure(&tenant, case.name, case.reason).await;
        for part in case.says {
            assert!(message.contains(part), "{}: {part:?} is not in {message:?}", case.name);
        }
    }
    let message = failure(&tenant, "missing-object", "DatasetNotFound").await;
    assert!(message.contains("no-such.jsonl"), "{message}");
    let message = failure(&tenant, "refused-key", "DatasetAccessDenied").await;
    assert!(message.contains("spec.dataset.credentialsSecretRef"), "{message}");
    assert!(!tenant.had_servers().await, "bad data started servers");
    let line = tenant
        .job("not-json")
        .await
        .status
        .and_then(|status| status.reported.dataset);
    assert_eq!(line.map(|dataset| dataset.invalid_rows[0].line), Some(7));
}

#[tokio::test]
async fn bad_rows_are_errors_with_their_lines_when_the_job_skips_them() {
    let tenant = Tenant::start("skip").await;
    tenant.put("rows.jsonl", &with_line_seven("oops")).await;
    tenant
        .submit(&Job::new(&tenant, "skipping").set("/dataset/invalidRows", json!("Skip")))
        .await;
    let job = tenant.end("skipping").await;
    assert_eq!(end_of(&job), "Complete: SomeRowsFailed");
    let validated = condition(&job, ConditionType::Validated).expect("a condition");
    assert!(
        validated.message.contains("8 rows, of which 1 cannot be run"),
        "{validated:?}"
    );
    let output = tenant.output("skipping").await;
    assert_eq!(output.rows().len(), 7);
    let error: serde_json::Value = serde_json::from_str(&output.errors).expect("one row");
    assert_eq!(
        (&error["error"]["code"], &error["error"]["line"]),
        (&json!("invalid_row"), &json!(7))
    );
}

#[tokio::test]
async fn another_jobs_output_is_refused_and_left_alone() {
    let tenant = Tenant::start("other-output").await;
    let rows = chats(3, &json!({}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "first")).await;
    let before = tenant.complete("first", &rows).await;
    tenant.put("other.jsonl", &chats(4, &json!({}))).await;
    let second = Job::new(&tenant, "second").set("/dataset/uri", json!(tenant.uri("other.jsonl")));
    let second = second.set("/output/uri", json!(tenant.uri("first/")));
    tenant.submit(&second).await;

    let message = failure(&tenant, "second", "OutputNotEmpty").await;

    assert!(message.contains("first"), "{message}");
    let second = tenant.job("second").await;
    assert!(tenant.server_pods(&second).await.is_empty());
    let servers = tenant
        .kubectl(&["get", "events", "--output", "jsonpath={.items[*].involvedObject.name}"])
        .await;
    assert!(
        !servers.expect("events").contains("second-server"),
        "the refused job started a server"
    );
    assert_eq!(tenant.output("first").await.results, before.results);
}

/// The message with which a job has failed for that reason.
async fn failure(tenant: &Tenant, name: &str, reason: &str) -> String {
    let job = tenant.end(name).await;
    assert_eq!(end_of(&job), format!("Failed: {reason}"));
    condition(&job, ConditionType::Failed)
        .expect("a condition")
        .message
        .clone()
}
