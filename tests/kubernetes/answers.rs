//! Names that mean the base model, and answers that come back byte for byte.

use serde_json::{Value, json};

use super::job::Job;
use super::rows::chat;
use super::tenant::Tenant;

/// Bodies that a trip through a value type would change: odd spacing, a key twice, `1.0`, long integers, escapes.
const BODIES: [&str; 5] = [
    r#"{ "a" :1 ,   "b":[ 1,2 ] }"#,
    r#"{"a":1,"a":2}"#,
    r#"{"x":1.0,"y":1e2,"z":-0.0}"#,
    r#"{"big":12345678901234567890,"bigger":123456789012345678901234567890}"#,
    r#"{"text":"\u00e4\ud83d\ude00\/","id":"\u0041"}"#,
];

#[tokio::test]
async fn every_name_of_the_base_model_reaches_it_and_bodies_come_back_byte_for_byte() {
    let tenant = Tenant::start("answers").await;
    // The fake vLLM answers 404 to a name that it was not told to serve.
    let named = ["", "qwen3-8b", "Qwen/Qwen3-8B", "gpt-4o-mini", "my-model"];
    let mut lines: Vec<_> = (0..)
        .zip(named)
        .map(|(row, name)| chat(&format!("name-{row}"), name, &json!({})))
        .collect();
    let raw = |(row, body): (usize, &str)| chat(&format!("body-{row}"), "", &json!({"raw_body": body}));
    lines.extend(BODIES.into_iter().enumerate().map(raw));
    let rows = lines.join("\n");
    tenant.put("rows.jsonl", &rows).await;
    let job = Job::new(&tenant, "names").on_vllm();
    tenant
        .submit(&job.set("/server/servedModelNames", json!(["gpt-4o-mini", "my-model"])))
        .await;

    let output = tenant.complete("names", &rows).await;

    let answered = output.rows();
    for row in &answered[..named.len()] {
        assert_eq!(row["response"]["body"]["model"], "qwen3-8b", "{row}");
    }
    for (line, body) in output.results.lines().skip(named.len()).zip(BODIES) {
        assert!(
            line.contains(&format!("\"body\":{body}}}")),
            "{body} is not byte for byte in {line}"
        );
        let tripped: Value = serde_json::from_str(body).expect("JSON");
        assert_ne!(
            tripped.to_string(),
            body,
            "a trip through a value type must be seen by this test"
        );
    }
    assert!(
        tenant.received().values().all(|received| *received == 1),
        "{:?}",
        tenant.received()
    );
}
