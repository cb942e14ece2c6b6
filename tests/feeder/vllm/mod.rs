//! A real vLLM on the processor, started as the operator's pods are: whether it takes their arguments, and whether rows of the base and of
//! adapters in one job are each answered by what they name, also where it has room for one adapter at a time.
//!
//! The job's children are built by the controller's code, from what the feeder reports. [`server`] is the process.

mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::controller::build::servers::deployment;
use batch_inference_operator::controller::settings::Settings;
use batch_inference_operator::controller::validate::{ValidatedJob, validate};
use batch_inference_operator::engine::metrics::METRICS_PATH;
use batch_inference_operator::engine::{Engine, engine_load};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::adapters::{text, told};
use crate::output::Output;
use crate::until::until;
use crate::world::{JOB, World};
use server::Vllm;

const ROWS: usize = 500;
/// Rows that name all there is to name once, or more often.
const TURN: usize = 10;
/// Prompts that the base and both adapters are asked, so that their answers can be compared.
const PROMPTS: usize = 3 * ROWS / TURN;
const ADAPTERS: [&str; 2] = ["sql", "chat"];
const MISSING: &str = "missing";
const SERVED_NAME: &str = "gpt-4o-mini";
/// The longest that the rows may take, on a busy machine too.
const RUN_WITHIN: Duration = Duration::from_mins(10);
/// Nothing is compiled, and sums are exact enough to be the same in a batch of another size.
const EXACT: [&str; 3] = ["--enforce-eager", "--dtype", "float32"];
/// A slot for one adapter and memory for no second, which go before what the operator would have: each adapter takes the place of the other,
/// again and again.
const ONE_SLOT: [&str; 4] = ["--max-loras", "1", "--max-cpu-loras", "1"];
/// Requests of the test itself at a time.
const AT_ONCE: usize = 16;

struct Row {
    id: String,
    name: String,
    prompt: usize,
}

/// Rows of all that there is to name, turn by turn.
fn rows(turn: [&str; TURN]) -> Vec<Row> {
    let rows = (0..ROWS).map(|number| Row {
        id: format!("row-{number:03}"),
        name: turn[number % TURN].to_owned(),
        prompt: 3 * (number / TURN) + number % TURN / 3,
    });
    rows.collect()
}

/// At temperature 0 an answer depends on model and prompt alone.
fn body(name: &str, prompt: usize) -> Value {
    json!({
        "model": name,
        "messages": [{"role": "user", "content": format!("{prompt} sides: what is it called?")}],
        "temperature": 0,
        "max_tokens": 12,
    })
}

fn dataset(rows: &[Row]) -> String {
    let lines = rows.iter().map(|row| {
        let body = body(&row.name, row.prompt);
        let line = json!({"custom_id": row.id, "method": "POST", "url": "/v1/chat/completions", "body": body});
        format!("{line}\n")
    });
    lines.collect()
}

/// A job as somebody writes it who has vLLM run on processors, as the controller takes it up.
async fn world(folder: &str, models: &Path, args: &[&str], dataset: &str) -> World {
    let world = World::new(folder, dataset).await;
    world.kubernetes.change_job(JOB, |job| {
        job["spec"]["server"] = json!({
            "baseModel": models.join("base"),
            "servedModelNames": [SERVED_NAME],
            "adapters": {"source": "Local", "location": models.join("adapters")},
            "args": args,
            "resources": {"limits": {"nvidia.com/gpu": "0"}},
            "env": [{"name": "VLLM_CPU_KVCACHE_SPACE", "value": "1"}, {"name": "HF_HUB_OFFLINE", "value": "1"}],
        });
        job["status"] = json!({});
        job["status"]["resolved"] = json!(validated(job).resolved);
    });
    world
}

fn validated(job: &Value) -> ValidatedJob {
    let job: BatchInferenceJob = serde_json::from_value(job.clone()).unwrap();
    validate(&job, &Settings::new("batch-inference-operator:test")).unwrap()
}

/// The container of the job's servers, now that the feeder has told which adapters rows name.
fn container(world: &World) -> Value {
    let validated = validated(&world.kubernetes.job(JOB));
    let deployment = json!(deployment(&validated, validated.servers.as_ref().unwrap(), 1, None));
    deployment["spec"]["template"]["spec"]["containers"][0].clone()
}

fn base(models: &Path) -> String {
    models.join("base").display().to_string()
}

/// What the server itself says to each prompt by this name.
async fn answers(server: &Vllm, name: &str) -> Vec<String> {
    let requests = (0..PROMPTS).map(|prompt| server.chat(body(name, prompt)));
    let answers: Vec<Value> = futures::stream::iter(requests).buffered(AT_ONCE).collect().await;
    let texts = answers
        .iter()
        .map(|answer| answer["choices"][0]["message"]["content"].as_str());
    texts.map(|text| text.expect("a text").to_owned()).collect()
}

/// Otherwise an answer of the wrong model would be taken for the right one.
fn assert_each_answers_in_its_own_way(answers: &BTreeMap<&str, Vec<String>>) {
    for prompt in 0..PROMPTS {
        let texts: BTreeSet<_> = answers.values().map(|texts| &texts[prompt]).collect();
        assert_eq!(texts.len(), answers.len(), "prompt {prompt}: {texts:?}");
    }
}

fn assert_answered_by_its_own(rows: &[Row], output: &Output, base: &str, answers: &BTreeMap<&str, Vec<String>>) {
    let results = output.results.lines().map(|line| {
        let result: Value = serde_json::from_str(line).unwrap();
        (result["custom_id"].as_str().unwrap().to_owned(), result)
    });
    let results: BTreeMap<String, Value> = results.collect();
    let there: Vec<_> = rows.iter().filter(|row| row.name != MISSING).collect();
    assert_eq!(results.len(), there.len());
    for row in there {
        let (id, result) = (&row.id, &results[&row.id]);
        let called = ADAPTERS
            .into_iter()
            .find(|adapter| *adapter == row.name)
            .unwrap_or(base);
        assert_eq!(result["response"]["body"]["model"], called, "{id}: {result}");
        assert_eq!(text(result), answers[called][row.prompt], "{id} of {:?}", row.name);
    }
}

fn assert_missing_ones_fail(rows: &[Row], output: &Output) {
    let missing: Vec<_> = rows.iter().filter(|row| row.name == MISSING).collect();
    let failed = output.error_rows();
    assert_eq!(failed.len(), missing.len());
    for (row, failed) in missing.iter().zip(failed) {
        assert_eq!(failed["custom_id"], row.id, "{failed}");
        assert_eq!(failed["error"]["code"], "adapter_not_loaded", "{failed}");
        let message = failed["error"]["message"].as_str().unwrap();
        let names_the_path = message.starts_with("adapter `missing`: a server does not load it from `/");
        assert!(names_the_path && message.contains("/missing`: 404 "), "{message}");
    }
}

fn assert_status_tells(rows: &[Row], status: &Value) {
    assert_eq!(status["feeder"]["reason"], "SomeRowsFailed", "{status}");
    let adapters = &status["adapters"];
    assert_eq!(adapters["count"], 3, "{adapters}");
    for name in [ADAPTERS[0], ADAPTERS[1], MISSING] {
        let adapter = told(&adapters["mostUsed"], name);
        let named = rows.iter().filter(|row| row.name == name).count();
        let (completed, failed) = if name == MISSING { (0, named) } else { (named, 0) };
        assert_eq!(adapter["rows"], named, "{adapter}");
        assert_eq!(adapter["completed"], completed, "{adapter}");
        assert_eq!(adapter["failed"], failed, "{adapter}");
        assert_eq!(adapter["error"].is_string(), name == MISSING, "{adapter}");
    }
}

/// Runs a job of such rows on a server with these arguments, as a person gives them.
async fn assert_rows_are_answered_by_what_they_name(folder: &str, args: &[&str], turn: [&str; TURN]) {
    let models = server::models();
    let base = base(&models);
    let rows = rows(turn);
    let dataset = dataset(&rows);
    let mut world = world(folder, &models, args, &dataset).await;
    let feeder = world.start();
    let needed = async || world.status()["feeder"]["serversNeeded"] == true;
    until("servers are needed", needed).await;
    let container = container(&world);
    eprintln!("vllm serve {}", container["args"]);
    let all = container["args"].as_array().expect("arguments");
    assert_eq!(
        all[all.len() - args.len()..],
        *args,
        "of options that are given twice, the last counts"
    );
    let server = Vllm::start(&container).await;
    // It has loaded no adapter yet.
    let of_base = answers(&server, &base).await;
    world.kubernetes.put_server(JOB, "server", server.address());
    let begin = Instant::now();
    assert_eq!(feeder.exit_code_within(RUN_WITHIN).await, 0);
    eprintln!("{ROWS} rows in {:.1?}", begin.elapsed());
    world.assert_nothing_was_refused();

    let status = world.status();
    eprintln!("status.adapters: {}", status["adapters"]);
    eprintln!("warnings: {}", status["feeder"]["warnings"]);
    assert_status_tells(&rows, &status);
    let output = world.output().await;
    output.prove(&dataset);
    let [sql, chat] = ADAPTERS;
    let answers = BTreeMap::from([
        (base.as_str(), of_base),
        (sql, answers(&server, sql).await),
        (chat, answers(&server, chat).await),
    ]);
    assert_each_answers_in_its_own_way(&answers);
    assert_answered_by_its_own(&rows, &output, &base, &answers);
    assert_missing_ones_fail(&rows, &output);

    let page = server.page(METRICS_PATH).await;
    let load = engine_load(Engine::VLLM, &page).expect("the page of metrics says how much there is to do");
    assert_eq!((load.running, load.waiting), (0, 0));
    assert!(load.work > 0);
}

#[tokio::test]
#[ignore = "needs vLLM for the processor, 6 GB: make test-vllm"]
async fn rows_are_answered_by_what_they_name_on_a_real_vllm() {
    let base = base(&server::models());
    let [sql, chat] = ADAPTERS;
    let turn = ["", sql, chat, &base, sql, chat, SERVED_NAME, sql, chat, MISSING];
    assert_rows_are_answered_by_what_they_name("vllm", &EXACT, turn).await;
}

/// Without rows of the base: on processors vLLM computes them with the adapter of the last slot (docs/adapters.md).
#[tokio::test]
#[ignore = "needs vLLM for the processor, 6 GB: make test-vllm"]
async fn more_adapters_than_slots_take_turns_on_a_real_vllm() {
    let [sql, chat] = ADAPTERS;
    let turn = [chat, sql, chat, sql, sql, chat, chat, sql, sql, MISSING];
    let args = [&EXACT[..], &ONE_SLOT[..]].concat();
    assert_rows_are_answered_by_what_they_name("vllm-one-slot", &args, turn).await;
}
