//! Servers that answer in other words than vLLM: what they mean comes to the same.

use serde_json::{Value, json};

use crate::fake_model_server::Settings;
use crate::rows::{MODEL, line, line_with, row_with};
use crate::world::{JOB, World};

/// A job on an engine, with a server that was started with these arguments.
async fn world_on(folder: &str, engine: &str, args: &[&str], dataset: &str) -> World {
    let mut world = World::new(folder, dataset).await;
    world.kubernetes.change_job(JOB, |job| {
        job["spec"]["server"]["engine"] = json!(engine);
        job["status"]["resolved"]["engine"] = json!(engine);
    });
    world.add_server_with("server", |settings| *settings = Settings::local(args));
    world
}

/// A row that has this member in its body.
fn line_that_has(id: &str, member: &str, value: &Value) -> String {
    let mut row = row_with(id, &json!({}));
    row["body"][member] = value.clone();
    format!("{row}\n")
}

fn row(rows: &str, id: &str) -> Value {
    let mut rows = rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
    rows.find(|row| row["custom_id"] == id).unwrap()
}

#[tokio::test]
async fn rows_on_lorax_come_back_in_openai_s_form() {
    let dataset = [
        line("plain"),
        line_that_has("stopped", "stop", &json!(["this"])),
        line_that_has("stop-is-text", "stop", &json!("this")),
        line_with("overloaded", &json!({"status": "429", "times": "1"})),
        line_with("shard-failed", &json!({"status": "424", "times": "1"})),
    ]
    .concat();
    let mut world = world_on("lorax", "LoRAX", &["--model-id", MODEL], &dataset).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "SomeRowsFailed");
    let output = world.output().await;
    output.prove(&dataset);
    let counts = world.counts();
    for (id, received) in [
        ("plain", 1),
        ("stopped", 1),
        ("stop-is-text", 1),
        ("overloaded", 2),
        ("shard-failed", 2),
    ] {
        assert_eq!(counts[id].received, received, "{id}");
    }
    for id in ["plain", "stopped"] {
        let row = row(&output.results, id);
        let body = &row["response"]["body"];
        assert_eq!(
            (&body["object"], &body["model"]),
            (&json!("chat.completion"), &json!(MODEL))
        );
        assert_eq!(body["choices"][0]["finish_reason"], "stop");
        assert_eq!(body["id"], row["response"]["request_id"]);
    }
    let failed = output.error_rows();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (&failed[0]["custom_id"], &failed[0]["response"]["status_code"]),
        (&json!("stop-is-text"), &json!(422))
    );
}

#[tokio::test]
async fn rows_on_sglang_wait_for_room_and_fail_for_their_own_faults() {
    let dataset = [
        line("plain"),
        line_with("queue-full", &json!({"status": "503", "times": "1"})),
        line_with("error", &json!({"status": "500", "times": "1"})),
        line_with("too-long", &json!({"status": "400"})),
    ]
    .concat();
    let args = ["--model-path", MODEL, "--enable-metrics"];
    let mut world = world_on("sglang", "SGLang", &args, &dataset).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "SomeRowsFailed");
    let output = world.output().await;
    output.prove(&dataset);
    let counts = world.counts();
    for (id, received) in [("plain", 1), ("queue-full", 2), ("error", 2), ("too-long", 1)] {
        assert_eq!(counts[id].received, received, "{id}");
    }
    let failed = output.error_rows();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["response"]["body"]["message"], "scripted");
}
