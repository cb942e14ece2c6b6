//! Rows of a base model and of adapters in one job: each is answered by its own, on every engine.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::fake_model_server::{FakeModelServer, LoraLoading, Settings};
use crate::output::Output;
use crate::rows::{MODEL, row_with};
use crate::until::until;
use crate::world::{JOB, World};

/// Ten rows each of the base, of two adapters that there are, and of one that is not there.
pub const NAMES: [&str; 4] = [MODEL, "org/sql", "org/chat", "org/missing"];
const ROWS: usize = 40;

/// A data set whose rows name these in turn.
pub fn dataset_of(names: &[&str]) -> String {
    dataset_with(ROWS, names)
}

fn dataset_with(rows: usize, names: &[&str]) -> String {
    let rows = (0..rows).map(|number| {
        let mut row = row_with(&format!("row-{number:03}"), &json!({}));
        row["body"]["model"] = json!(names[number % names.len()]);
        format!("{row}\n")
    });
    rows.collect()
}

/// A job on an engine that takes these adapters.
pub async fn world_on(folder: &str, engine: &str, adapters: Value, dataset: &str) -> World {
    let world = World::new(folder, dataset).await;
    world.kubernetes.change_job(JOB, |job| {
        job["spec"]["server"]["engine"] = json!(engine);
        job["spec"]["server"]["adapters"] = adapters;
        job["status"]["resolved"]["engine"] = json!(engine);
    });
    world
}

/// Starts a server with these arguments, which has the two adapters.
pub fn add_server<'a>(world: &'a mut World, pod: &'static str, args: &[&str]) -> &'a FakeModelServer {
    world.add_server_with(pod, |settings| {
        *settings = Settings::local(args);
        settings.lora_loading = LoraLoading::AtRunTime;
        settings.adapters = ["org/sql", "org/chat"].map(str::to_owned).into();
    })
}

/// The text of an answer.
pub fn text(row: &Value) -> &str {
    let body = &row["response"]["body"];
    body["choices"][0]["message"]["content"].as_str().unwrap_or_default()
}

/// Each row was answered by what it names; `called` is what the server calls an adapter.
fn assert_answered_by_its_own(dataset: &str, output: &Output, called: impl Fn(&str) -> String) {
    let results = output
        .results
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let results: Vec<_> = results.collect();
    for row in dataset.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let name = row["body"]["model"].as_str().unwrap();
        let id = &row["custom_id"];
        let Some(result) = results.iter().find(|result| result["custom_id"] == *id) else {
            assert_eq!(name, "org/missing", "{id} has no result");
            continue;
        };
        let said = format!("You said: this is {}", id.as_str().unwrap());
        let expected = match name {
            MODEL => said,
            adapter => format!("{}: {said}", called(adapter)),
        };
        assert_eq!(text(result), expected, "{id}");
    }
}

/// What status and manifest say of a model.
pub fn told<'a>(list: &'a Value, name: &str) -> &'a Value {
    let list = list.as_array().expect("a list");
    let found = list.iter().find(|model| model["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {list:?}"))
}

#[tokio::test]
async fn rows_of_adapters_are_answered_by_them_and_those_of_a_missing_one_fail() {
    let vllm: &[&str] = &[MODEL, "--enable-lora", "--max-loras", "2"];
    let sglang: &[&str] = &["--model-path", MODEL, "--enable-metrics", "--enable-lora"];
    let lorax: &[&str] = &["--model-id", MODEL];
    for (engine, args) in [("VLLM", vllm), ("SGLang", sglang), ("LoRAX", lorax)] {
        let dataset = dataset_of(&NAMES);
        let mut world = world_on(&format!("adapters-{engine}"), engine, json!({}), &dataset).await;
        add_server(&mut world, "server", args);
        let status = world.run().await;
        assert_eq!(status["feeder"]["reason"], "SomeRowsFailed", "{engine}: {status}");
        let output = world.output().await;
        output.prove(&dataset);
        assert_answered_by_its_own(&dataset, &output, str::to_owned);
        let failed = output.error_rows();
        assert_eq!(failed.len(), 10, "{engine}");
        for row in &failed {
            assert_eq!(row["error"]["code"], "adapter_not_loaded", "{engine}: {row}");
            let message = row["error"]["message"].as_str().unwrap();
            assert!(message.starts_with("adapter `org/missing`: "), "{engine}: {message}");
        }
        let adapters = &status["adapters"];
        // Only servers refuse the third.
        assert_eq!(adapters["count"], 3, "{engine}: {adapters}");
        let sql = told(&adapters["mostUsed"], "org/sql");
        assert_eq!(
            (&sql["rows"], &sql["completed"], &sql["failed"]),
            (&json!(10), &json!(10), &json!(0))
        );
        let missing = told(&adapters["mostUsed"], "org/missing");
        assert_eq!(
            (&missing["rows"], &missing["failed"]),
            (&json!(10), &json!(10)),
            "{engine}"
        );
        assert!(missing["error"].is_string(), "{engine}: {missing}");
        let warning = status["feeder"]["warnings"][0].as_str().expect("a warning");
        assert!(
            warning.starts_with("1 of 3 adapters cannot be used, in 10 rows: `org/missing` (10 rows): "),
            "{engine}: {warning}"
        );
        let models = &output.manifest["models"];
        assert_eq!(told(models, "org/sql")["rows"], 10);
        assert_eq!(told(models, "org/missing")["failed"], 10);
        assert_eq!(told(models, MODEL)["rows"], 10);
        let received = world.counts();
        let was_sent = |row: &Value| received.contains_key(row["custom_id"].as_str().unwrap());
        assert!(!failed.iter().any(was_sent), "{engine}: {received:?}");
    }
}

#[tokio::test]
async fn rows_on_llama_server_ask_for_files_by_number() {
    let dataset = dataset_of(&[MODEL, "sql.gguf", "chat.gguf"]);
    let adapters = json!({"source": "Local", "location": "/adapters"});
    let mut world = world_on("adapters-llama", "LlamaCpp", adapters, &dataset).await;
    let files = "/adapters/chat.gguf:0,/adapters/sql.gguf:0";
    add_server(
        &mut world,
        "server",
        &["-m", "/models/model.gguf", "-a", MODEL, "--lora-scaled", files],
    );
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
    let output = world.output().await;
    output.prove(&dataset);
    assert_answered_by_its_own(&dataset, &output, |name| format!("/adapters/{name}"));
}

#[tokio::test]
async fn rows_that_would_be_answered_by_something_else_are_not_sent() {
    let mut choosing = row_with("choosing", &json!({}));
    choosing["body"]["lora"] = json!([{"id": 0, "scale": 1.0}]);
    let embedding = json!({
        "custom_id": "embedding", "method": "POST", "url": "/v1/embeddings", "body": {"model": "sql.gguf", "input": "a"},
    });
    let dataset = format!("{}{choosing}\n{embedding}\n", dataset_of(&[MODEL, "sql.gguf"]));
    let adapters = json!({"source": "Local", "location": "/adapters"});
    let mut world = world_on("adapters-chosen", "LlamaCpp", adapters, &dataset).await;
    let files = "/adapters/sql.gguf:0";
    add_server(
        &mut world,
        "server",
        &["-m", "/models/model.gguf", "-a", MODEL, "--lora-scaled", files],
    );
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "SomeRowsFailed", "{status}");
    let output = world.output().await;
    output.prove(&dataset);
    let failed = output.error_rows();
    assert_eq!(failed.len(), 2, "{failed:?}");
    for (row, words) in failed.iter().zip(["the body has `lora`", "/v1/embeddings"]) {
        assert_eq!(row["error"]["code"], "adapter_not_chosen", "{row}");
        let message = row["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(world.counts().len(), ROWS);
}

#[tokio::test]
async fn a_job_that_is_to_fail_by_a_missing_adapter_sends_no_row() {
    let dataset = dataset_of(&NAMES);
    let mut world = world_on("adapters-fail", "VLLM", json!({"onError": "FailJob"}), &dataset).await;
    add_server(&mut world, "server", &[MODEL, "--enable-lora"]);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AdapterNotLoaded");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(message.contains("`org/missing` (10 rows)"), "{message}");
    assert_eq!(world.counts().len(), 0);
    assert_eq!(world.servers_needed(), [false, true, false]);
}

/// More adapters than any server has slots for.
#[tokio::test]
async fn every_server_loads_every_adapter_before_its_first_row() {
    let names: Vec<String> = (0..20).map(|number| format!("org/adapter-{number:02}")).collect();
    let called: Vec<&str> = names.iter().map(String::as_str).collect();
    // More than one server takes at a time.
    let dataset = dataset_with(1000, &called);
    let mut world = world_on("adapters-many", "VLLM", json!({}), &dataset).await;
    let pods = ["first", "second"];
    for pod in pods {
        let server = world.add_server_with(pod, |settings| {
            *settings = Settings::local(&[MODEL, "--enable-lora", "--max-loras", "2"]);
            settings.lora_loading = LoraLoading::AtRunTime;
            settings.adapters = names.iter().cloned().collect();
        });
        server.hang();
    }
    let feeder = world.start();
    until("both have rows", async || {
        pods.iter().all(|pod| world.server(pod).in_flight() > 0)
    })
    .await;
    for pod in pods {
        world.server(pod).recover();
    }
    assert_eq!(feeder.exit_code().await, 0);
    let status = world.status();
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
    world.output().await.prove(&dataset);
    for pod in pods {
        let server = world.server(pod);
        let loaded: BTreeSet<_> = server.adapters_asked_for().into_iter().collect();
        assert_eq!(loaded, names.iter().cloned().collect::<BTreeSet<_>>(), "{pod}");
        let first_row = server.answers().iter().map(|answer| answer.received).min();
        assert!(
            server.last_asked_for_adapter() < first_row,
            "{pod}: rows came before the last adapter"
        );
    }
    assert_eq!(status["adapters"]["count"], 20);
}

/// Else a server fetches each adapter again for nearly every row.
#[tokio::test]
async fn rows_of_one_adapter_are_sent_together() {
    // As many as are put in order at a time, so that the few in flight at a change count for little.
    const MANY: usize = 1000;
    let dataset = dataset_with(MANY, &["org/sql", "org/chat"]);
    let mut world = world_on("adapters-together", "VLLM", json!({}), &dataset).await;
    add_server(&mut world, "server", &[MODEL, "--enable-lora"]);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
    let mut answers = world.server("server").answers();
    answers.sort_by_key(|answer| answer.received);
    let is_even = |id: &str| {
        let number: usize = id.trim_start_matches("row-").parse().expect("a number");
        number.is_multiple_of(2)
    };
    let pairs = answers.windows(2);
    let changes = pairs.filter(|pair| is_even(&pair[0].id) != is_even(&pair[1].id));
    let changes = changes.count();
    assert!(changes < MANY / 4, "the adapter changes {changes} times");
}

#[tokio::test]
async fn a_feeder_that_starts_anew_finds_adapters_loaded_and_goes_on() {
    let dataset = dataset_of(&NAMES[..3]);
    let mut world = world_on("adapters-restart", "VLLM", json!({}), &dataset).await;
    add_server(&mut world, "server", &[MODEL, "--enable-lora"]).hang();
    let feeder = world.start();
    let loaded = async || world.server("server").adapters_asked_for().len() == 2;
    until("both adapters are loaded", loaded).await;
    feeder.kill().await;
    world.server("server").recover();
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
    let output = world.output().await;
    output.prove(&dataset);
    assert_answered_by_its_own(&dataset, &output, str::to_owned);
}

/// As if its container had been started anew between two looks at its pod.
#[tokio::test]
async fn a_server_that_lacks_its_adapters_loads_them_again_and_no_row_fails() {
    for (engine, args) in [
        ("VLLM", [MODEL, "--enable-lora"].as_slice()),
        ("SGLang", &["--model-path", MODEL, "--enable-metrics", "--enable-lora"]),
    ] {
        let dataset = dataset_of(&["org/sql", "org/chat"]);
        let mut world = world_on(&format!("adapters-lost-{engine}"), engine, json!({}), &dataset).await;
        let server = world.add_server_with("server", |settings| {
            *settings = Settings::local(args);
            settings.lora_loading = LoraLoading::AtRunTime;
            settings.adapters = ["org/sql", "org/chat"].map(str::to_owned).into();
            settings.slots = 2;
        });
        server.hang();
        let feeder = world.start();
        until("rows are sent", async || world.server("server").in_flight() > 4).await;
        world.server("server").forget_adapters();
        world.server("server").recover();
        assert_eq!(feeder.exit_code().await, 0);
        assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded", "{engine}");
        let output = world.output().await;
        output.prove(&dataset);
        assert_answered_by_its_own(&dataset, &output, str::to_owned);
        assert!(world.server("server").adapters_asked_for().len() >= 4, "{engine}");
    }
}

#[tokio::test]
async fn a_hub_that_breaks_off_costs_no_row() {
    let dataset = dataset_of(&NAMES[..3]);
    let mut world = world_on("adapters-broken-off", "VLLM", json!({}), &dataset).await;
    world.add_server_with("server", |settings| {
        *settings = Settings::local(&[MODEL, "--enable-lora"]);
        settings.lora_loading = LoraLoading::AtRunTime;
        settings.lora_failures = 3;
        settings.adapters = ["org/sql", "org/chat"].map(str::to_owned).into();
    });
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
    let output = world.output().await;
    output.prove(&dataset);
    assert_answered_by_its_own(&dataset, &output, str::to_owned);
    assert_eq!(world.server("server").adapters_asked_for().len(), 5);
}

#[tokio::test]
async fn other_adapters_are_other_work() {
    let dataset = dataset_of(&["sql"]);
    let named = |path: &str| json!({"named": [{"name": "sql", "path": path}]});
    let mut world = world_on("adapters-other", "VLLM", named("org/sql"), &dataset).await;
    add_server(&mut world, "server", &[MODEL, "--enable-lora"]);
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
    world.create_again("2", "rows.jsonl");
    world.kubernetes.change_job(JOB, |job| {
        job["spec"]["server"]["adapters"] = named("org/chat");
    });
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "OutputNotEmpty", "{status}");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(message.contains("other adapters"), "{message}");
}

#[tokio::test]
async fn a_name_that_no_adapter_can_have_is_refused_before_any_server() {
    let dataset = dataset_of(&[MODEL, "no-repository"]);
    let mut world = world_on("adapters-name", "VLLM", json!({}), &dataset).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "DatasetInvalid");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.contains("`no-repository` of 20 rows") && message.contains("ORG/NAME"),
        "{message}"
    );
    assert_eq!(world.servers_needed(), [false]);
}
