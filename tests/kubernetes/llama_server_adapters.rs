//! A LoRA adapter on a real llama-server: rows of the base, of the adapter, and of one that is not there, in one job.

mod lora;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::job::Job;
use super::output::Output;
use super::tenant::{Tenant, end_of};

/// In the image of `tests/cluster/images/llama-server`.
const MODEL: &str = "/models/SmolLM2-135M-Instruct.Q4_1.gguf";
const PROMPTS: [&str; 3] = [
    "Describe bread in one sentence.",
    "Name one surprising fact about copper.",
    "What is paper used for, in a few words?",
];
const LORA: &str = "lora.gguf";
const MISSING: &str = "missing.gguf";
/// Rows are put in the order of their adapters within so many bytes (docs/adapters.md).
const WINDOW_BYTES: usize = 2 << 20;

#[tokio::test]
async fn a_real_llama_server_answers_rows_of_an_adapter_with_it_and_those_of_the_base_as_if_there_were_none() {
    let tenant = Tenant::start("llama-adapters").await;
    tenant.put_bytes(&format!("loras/{LORA}"), lora::of_smollm2()).await;
    // What stands behind the long row is sent after what stands before it: rows of the base where the adapter has had the same prompts, as
    // it had them after the base.
    let dataset = rows("early-base", "")
        + &rows("early-lora", LORA)
        + &rows("early-missing", MISSING)
        + &row("long", LORA, PROMPTS[0], &json!({"padding": "x".repeat(WINDOW_BYTES)}))
        + &rows("late-base", "")
        + &rows("late-lora", LORA)
        + &rows("late-missing", MISSING);
    tenant.put("rows.jsonl", &dataset).await;
    let adapters =
        json!({"source": "S3", "location": tenant.uri("loras"), "credentialsSecretRef": {"name": "store-keys"}});
    let job = on_real_server(&tenant, "job", &[]).set("/server/adapters", adapters);
    tenant.submit(&job).await;
    let base = rows("base", "");
    tenant.put("base.jsonl", &base).await;
    let without =
        on_real_server(&tenant, "without", &["--no-cache-prompt"]).set("/dataset/uri", json!(tenant.uri("base.jsonl")));
    tenant.submit(&without).await;

    let base = texts(&tenant.complete("without", &base).await);
    let job = tenant.end("job").await;
    assert_eq!(end_of(&job), "Complete: SomeRowsFailed");
    let output = tenant.output("job").await;
    output.prove(&dataset);
    assert_texts(&texts(&output), &base);
    assert_errors(&output);
    let status = serde_json::to_value(&job.status).expect("serialises");
    let file = format!("/var/lib/adapters/tests/{}/loras/{LORA}:0", tenant.namespace);
    let options = &status["resolved"]["adapterArgs"];
    assert_eq!(options, &json!(["--lora-scaled", file, "--no-cache-prompt"]));
    assert_told(&status["adapters"]);
}

/// The base says with the adapter what it says without, whoever was in its slot before; the adapter says something else.
fn assert_texts(texts: &BTreeMap<String, String>, base: &BTreeMap<String, String>) {
    assert_eq!(texts.len(), 4 * PROMPTS.len() + 1, "{texts:#?}");
    for number in 0..PROMPTS.len() {
        let text = |rows: &str| texts[&format!("{rows}-{number}")].as_str();
        let (base, lora) = (base[&format!("base-{number}")].as_str(), text("early-lora"));
        assert_eq!([text("early-base"), text("late-base")], [base; 2], "{texts:#?}");
        assert_eq!(text("late-lora"), lora, "{texts:#?}");
        assert_ne!(lora, base);
    }
}

fn assert_errors(output: &Output) {
    let rows: Vec<&str> = output.errors.lines().collect();
    assert_eq!(rows.len(), 2 * PROMPTS.len(), "{rows:#?}");
    for row in rows {
        let row: Value = serde_json::from_str(row).expect("a row of JSON");
        assert_eq!(row["error"]["code"], "adapter_not_found", "{row}");
        let message = row["error"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("adapter `missing.gguf`: "), "{row}");
    }
}

fn assert_told(adapters: &Value) {
    assert_eq!(adapters["count"], 1, "{adapters}");
    let told = |at: usize| {
        let adapter = &adapters["mostUsed"][at];
        ["name", "rows", "completed", "failed", "reason"].map(|field| adapter[field].clone())
    };
    let missing = [json!(MISSING), json!(6), json!(0), json!(6), json!("AdapterNotFound")];
    assert_eq!(told(0), missing, "{adapters}");
    let lora = [json!(LORA), json!(7), json!(7), json!(0), Value::Null];
    assert_eq!(told(1), lora, "{adapters}");
    assert!(
        adapters["mostUsed"][1]["completionTokens"].as_u64() > Some(7),
        "{adapters}"
    );
}

/// On one slot and one thread: what a row is computed together with changes the last digits of its numbers, and so perhaps its text.
fn on_real_server(tenant: &Tenant, name: &str, more_args: &[&str]) -> Job {
    let args = [&["-np", "1", "-c", "1024", "-t", "1"][..], more_args].concat();
    let resources = json!({"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}});
    Job::new(tenant, name)
        .set("/server/baseModel", json!(MODEL))
        .set("/server/image", json!("localhost/llama-server:1"))
        .set("/server/args", json!(args))
        .set("/server/env", Value::Null)
        .set("/server/resources", resources)
}

/// A row for each prompt.
fn rows(name: &str, model: &str) -> String {
    let prompts = PROMPTS.iter().enumerate();
    let rows = prompts.map(|(number, prompt)| row(&format!("{name}-{number}"), model, prompt, &json!({})));
    rows.collect()
}

/// A row whose answer is the likeliest text each time.
fn row(id: &str, model: &str, prompt: &str, metadata: &Value) -> String {
    let body = json!({
        "model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 16, "temperature": 0,
        "metadata": metadata,
    });
    json!({"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body}).to_string() + "\n"
}

/// The answers' texts by custom_id.
fn texts(output: &Output) -> BTreeMap<String, String> {
    let rows = output.rows().into_iter();
    let text = |row: Value| {
        let id = row["custom_id"].as_str().expect("an id").to_owned();
        let text = &row["response"]["body"]["choices"][0]["message"]["content"];
        (id, text.as_str().expect("a text").to_owned())
    };
    rows.map(text).collect()
}
