//! Adapters of a bucket: the feeder sees which are there before any server is, and the others are in the servers' pods before the first row.

use serde_json::{Value, json};

use super::job::Job;
use super::rows::chat;
use super::tenant::{Tenant, end_of};

#[tokio::test]
async fn adapters_of_a_bucket_answer_their_rows_and_one_that_is_not_there_costs_its_rows_only() {
    let tenant = Tenant::start("adapters").await;
    for name in ["sql", "chat"] {
        let config = r#"{"peft_type": "LORA", "r": 16}"#;
        tenant.put(&format!("loras/{name}/adapter_config.json"), config).await;
        let weights = format!("loras/{name}/adapter_model.safetensors");
        tenant.put(&weights, "weights").await;
    }
    let names = ["", "sql", "chat", "missing"];
    let row = |number: usize| chat(&format!("row-{number}"), names[number % 4], &json!({})) + "\n";
    let rows: String = (0..40).map(row).collect();
    tenant.put("rows.jsonl", &rows).await;
    let adapters =
        json!({"source": "S3", "location": tenant.uri("loras"), "credentialsSecretRef": {"name": "store-keys"}});
    let job = Job::new(&tenant, "job").on_vllm().set("/server/adapters", adapters);
    tenant.submit(&job).await;
    let job = tenant.end("job").await;
    assert_eq!(end_of(&job), "Complete: SomeRowsFailed");
    let status = serde_json::to_value(&job.status).expect("serialises");
    let options = status["resolved"]["adapterArgs"].to_string();
    assert_eq!(
        options,
        r#"["--enable-lora","--max-loras","2","--max-cpu-loras","64","--max-lora-rank","16","--api-server-count","1"]"#
    );
    assert_eq!(status["adapters"]["count"], 2, "{}", status["adapters"]);
    let output = tenant.output("job").await;
    output.prove(&rows);
    let results = output.rows();
    assert_eq!(results.len(), 30);
    for row in &results {
        let id = row["custom_id"].as_str().expect("an id");
        let number: usize = id.trim_start_matches("row-").parse().expect("a number");
        let said = format!("You said: this is {id}");
        let expected = match names[number % 4] {
            "" => said,
            adapter => format!("{adapter}: {said}"),
        };
        assert_eq!(
            row["response"]["body"]["choices"][0]["message"]["content"], expected,
            "{id}"
        );
    }
    for line in output.errors.lines() {
        let row: Value = serde_json::from_str(line).expect("a row of JSON");
        assert_eq!(row["error"]["code"], "adapter_not_found", "{row}");
    }
}
