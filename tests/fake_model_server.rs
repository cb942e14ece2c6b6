//! The fake model server: it takes what the real servers take, and does what a row asks of it.

#[path = "fake-model-server/tests/adapters.rs"]
mod adapters;
#[path = "fake-model-server/mod.rs"]
mod fake_model_server;
#[path = "fake-model-server/tests/faults.rs"]
mod faults;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use batch_inference_operator::engine::adapters::{FoundAdapters, options};
use batch_inference_operator::engine::{
    AcceptedNames, BaseModel, Devices, Engine, GivenContainer, Launch, LaunchInput, Version, engine_load, launch,
};
use fake_model_server::flags::Arity;
use fake_model_server::{Count, EventKind, FakeModelServer, Flags, Program, Recorder, Settings};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const VLLM: &[&str] = &["org/model", "--served-model-name", "model", "org/model"];
const LLAMA_SERVER: &[&str] = &["-m", "/models/model.gguf", "-a", "model", "--metrics"];
const LORAX: &[&str] = &["--model-id", "model"];
const SGLANG: &[&str] = &[
    "--model-path",
    "org/model",
    "--served-model-name",
    "model",
    "--enable-metrics",
];
const CHAT: &str = "/v1/chat/completions";

/// The longest that a test waits for something that should come at once.
const PATIENCE: Duration = Duration::from_secs(30);

fn start(args: &[&str]) -> FakeModelServer {
    FakeModelServer::start(Settings::local(args)).expect("a free port")
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .expect("a client")
}

/// A chat row that asks something of the server.
fn chat(id: &str, fake: &Value) -> Value {
    json!({"model": "model", "user": id, "messages": [{"role": "user", "content": "hello there"}], "metadata": {"fake": fake}})
}

async fn post(server: &FakeModelServer, path: &str, body: &Value) -> (u16, String) {
    let answer = client()
        .post(server.url(path))
        .json(body)
        .send()
        .await
        .expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

async fn get(url: &str) -> (u16, String) {
    let answer = client().get(url).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

fn own_version(engine: Engine) -> Version {
    let image = engine.default_image().expect("an image");
    Version::of(engine, &image.to_string())
}

fn described(engine: Engine, model: &str, quantization: Option<&str>) -> Launch {
    let model: BaseModel = model.parse().expect("a model");
    let names = AcceptedNames::new(&model, &["other-name".to_owned()]).expect("names");
    let input = LaunchInput {
        has_model_cache: false,
        engine,
        model: &model,
        names: &names,
        quantization,
        revision: model
            .repository()
            .filter(|_| engine != Engine::LlamaCpp)
            .map(|_| "main"),
        adapters: None,
        devices: Devices::Counted(1),
        version: own_version(engine),
        extra_args: &[],
        env: &[],
        container: GivenContainer::default(),
    };
    launch(&input).expect("a launch")
}

#[test]
fn every_launch_is_accepted_and_listens_where_it_says() {
    for (engine, program, model, quantization) in [
        (Engine::VLLM, Program::Vllm, "qwen3-8b", Some("fp8")),
        (Engine::VLLM, Program::Vllm, "/models/qwen", None),
        (Engine::LoRAX, Program::Lorax, "llama-3-1-8b", Some("bitsandbytes-int8")),
        (Engine::LoRAX, Program::Lorax, "/models/llama", None),
        (Engine::SGLang, Program::Sglang, "qwen3-8b", Some("bitsandbytes-nf4")),
        (Engine::SGLang, Program::Sglang, "/models/qwen", None),
        (
            Engine::LlamaCpp,
            Program::LlamaServer,
            "Qwen/Qwen3-8B-GGUF",
            Some("Q4_K_M"),
        ),
        (Engine::LlamaCpp, Program::LlamaServer, "/models/model.gguf", None),
    ] {
        let launch = described(engine, model, quantization);
        let settings = Settings::read(&launch.args, |_| None).unwrap_or_else(|refusal| panic!("{}", refusal.message));
        assert_eq!(settings.program, program);
        assert_eq!(settings.address, ([0, 0, 0, 0], launch.port).into());
        assert_eq!(settings.names[0], launch.served_name);
        assert!(settings.metrics);
    }
}

#[test]
fn every_option_for_adapters_is_accepted() {
    let paths = ["/a/x.gguf", "/a/y.gguf"].map(str::to_owned);
    for (engine, model, has_lora, files) in [
        (Engine::VLLM, "qwen3-8b", true, &[][..]),
        (Engine::LoRAX, "llama-3-1-8b", false, &[]),
        (Engine::SGLang, "qwen3-8b", true, &[]),
        (Engine::LlamaCpp, "/models/model.gguf", false, paths.as_slice()),
    ] {
        let found = FoundAdapters {
            version: own_version(engine),
            count: 2,
            max_rank: Some(16),
            paths: paths.to_vec(),
        };
        let args = [described(engine, model, None).args, options(engine, &found)].concat();
        let settings = Settings::read(&args, |_| None).unwrap_or_else(|refusal| panic!("{}", refusal.message));
        assert_eq!((settings.has_lora, settings.lora_files.as_slice()), (has_lora, files));
    }
}

#[test]
fn an_option_that_the_real_server_does_not_have_is_refused_in_its_words() {
    for (args, message, exit_code) in [
        (
            &["org/model", "--ctx-size", "1"][..],
            "vllm serve: error: unrecognized arguments: --ctx-size",
            2,
        ),
        (
            &["org/model", "org/other"],
            "vllm serve: error: unrecognized arguments: org/other",
            2,
        ),
        (
            &["org/model", "--port"],
            "vllm serve: error: argument --port: expected one argument",
            2,
        ),
        (
            &["--model-id", "x", "--max-model-len", "1"],
            "error: unexpected argument '--max-model-len' found",
            2,
        ),
        (
            &["--model-id", "x", "--served_model_name", "1"],
            "error: unexpected argument '--served_model_name' found",
            2,
        ),
        (
            &["--model-id", "x", "--num-shard", "1", "--num-shard=2"],
            "error: the argument '--num-shard' cannot be used multiple times",
            2,
        ),
        (
            &["--model-id"],
            "error: a value is required for '--model-id' but none was supplied",
            2,
        ),
        (
            &["--model-path", "x", "--max-model-len", "1"],
            "sglang serve: error: unrecognized arguments: --max-model-len",
            2,
        ),
        (
            &["--model-path", "x", "--served_model_name=y"],
            "sglang serve: error: unrecognized arguments: --served_model_name=y",
            2,
        ),
        (
            &["-m", "x", "--max-model-len", "1"],
            "error: invalid argument: --max-model-len",
            1,
        ),
        (&["-m", "x", "--port=1"], "error: invalid argument: --port=1", 1),
        (
            &["-m"],
            "error while handling argument \"-m\": expected value for argument",
            1,
        ),
    ] {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let refusal = Settings::read(&args, |_| None).expect_err("a refusal");
        assert_eq!((refusal.message.as_str(), refusal.exit_code), (message, exit_code));
    }
}

#[test]
fn the_options_of_llama_server_are_read_from_its_help() {
    let flags = Flags::llama_server();
    for (name, arity) in [
        ("-m", Arity::One),
        ("--model", Arity::One),
        ("-hf", Arity::One),
        ("--spec-type", Arity::One),
        ("--override-tensor", Arity::One),
        ("--metrics", Arity::None),
        ("--no-webui", Arity::None),
        ("--usage", Arity::None),
        ("-nkvo", Arity::None),
    ] {
        assert_eq!(flags.arity(name), Some(arity), "{name}");
    }
    assert!(flags.names().all(|name| name.starts_with('-') && !name.ends_with(',')));
}

#[tokio::test]
async fn chat_is_answered_with_the_last_user_message_and_usage() {
    for args in [VLLM, LORAX, SGLANG, LLAMA_SERVER] {
        let server = start(args);
        let (status, body) = post(&server, CHAT, &chat("1", &json!({}))).await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(status, 200);
        assert_eq!(body["choices"][0]["message"]["content"], "You said: hello there");
        assert_eq!(body["model"], "model");
        assert_eq!(
            body["usage"],
            json!({"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6})
        );
    }
}

#[tokio::test]
async fn a_raw_body_comes_back_byte_for_byte() {
    let server = start(VLLM);
    let raw = "{ \"a\":1.0,\"a\" :12345678901234567890,\n\t\"b\":\"\\u00e9\\ud83d\"}\r\n";
    let (status, body) = post(&server, CHAT, &chat("1", &json!({"raw_body": raw}))).await;
    assert_eq!((status, body.as_str()), (200, raw));
}

#[tokio::test]
async fn a_status_is_sent_as_often_as_the_row_asks() {
    let server = start(VLLM);
    let row = chat("1", &json!({"status": "500", "times": "2", "retry_after": "7"}));
    for status in [500, 500, 200] {
        assert_eq!(post(&server, CHAT, &row).await.0, status);
    }
    let counts = server.requests();
    assert_eq!(
        counts["1"],
        Count {
            received: 3,
            answered: 3
        }
    );
}

#[tokio::test]
async fn a_wish_that_is_not_known_is_refused() {
    let server = start(VLLM);
    let (status, body) = post(&server, CHAT, &chat("1", &json!({"stauts": "500"}))).await;
    assert_eq!(status, 400);
    assert!(body.contains("metadata.fake.stauts is not known"), "{body}");
}

#[tokio::test]
async fn a_held_answer_goes_when_it_is_released() {
    let server = start(LLAMA_SERVER);
    let url = server.url(CHAT);
    let held = tokio::spawn(client().post(url).json(&chat("1", &json!({"hold": "gate"}))).send());
    until("the row is received", || server.in_flight() == 1).await;
    assert_eq!(
        server.requests()["1"],
        Count {
            received: 1,
            answered: 0
        }
    );
    let (_, metrics) = get(&server.url("/metrics")).await;
    assert!(metrics.contains("llamacpp:requests_processing 1\n"), "{metrics}");

    let released = client()
        .post(server.url("/control/release/gate"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(released.status(), 200);
    assert_eq!(held.await.expect("no panic").expect("an answer").status(), 200);
    let (_, counts) = get(&server.url("/control/requests")).await;
    assert_eq!(counts, r#"{"1":{"received":1,"answered":1}}"#);
}

#[tokio::test]
async fn requests_beyond_the_slots_wait() {
    let mut settings = Settings::local(VLLM);
    settings.slots = 1;
    let server = FakeModelServer::start(settings).expect("a free port");
    let send = |id| {
        tokio::spawn(
            client()
                .post(server.url(CHAT))
                .json(&chat(id, &json!({"hold": "gate"})))
                .send(),
        )
    };
    let rows = [send("1"), send("2"), send("3")];
    until("all rows are received", || server.in_flight() == 3).await;
    let (_, metrics) = get(&server.url("/metrics")).await;
    assert!(
        metrics.contains("vllm:num_requests_running{engine=\"0\",model_name=\"model\"} 1.0\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("vllm:num_requests_waiting{engine=\"0\",model_name=\"model\"} 2.0\n"),
        "{metrics}"
    );
    server.release_all();
    for row in rows {
        assert_eq!(row.await.expect("no panic").expect("an answer").status(), 200);
    }
}

#[tokio::test]
async fn lorax_and_sglang_turn_away_what_they_have_no_room_for() {
    let of_lorax = json!({"error": "Model is overloaded", "error_type": "overloaded"});
    let of_sglang = json!({
        "object": "error", "message": "The request queue is full.", "type": "503", "param": null, "code": 503,
    });
    for (args, room, status, answer) in [
        (LORAX, &["--max-concurrent-requests", "2"][..], 429, of_lorax),
        (
            SGLANG,
            &["--max-running-requests", "1", "--max-queued-requests", "1"],
            503,
            of_sglang,
        ),
    ] {
        let server = start(&[args, room].concat());
        let send = |id| {
            let row = chat(id, &json!({"hold": "gate"}));
            tokio::spawn(client().post(server.url(CHAT)).json(&row).send())
        };
        let held = [send("1"), send("2")];
        until("both rows are received", || server.in_flight() == 2).await;
        let (refused, body) = post(&server, CHAT, &chat("3", &json!({}))).await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((refused, body), (status, answer));
        server.release_all();
        for row in held {
            assert_eq!(row.await.expect("no panic").expect("an answer").status(), 200);
        }
    }
}

#[tokio::test]
async fn a_connection_is_dropped_in_the_middle_of_the_body() {
    let server = start(VLLM);
    let row = chat("1", &json!({"close": "true", "times": "1"}));
    // The end may overtake the head.
    if let Ok(answer) = client().post(server.url(CHAT)).json(&row).send().await {
        assert_eq!(answer.status(), 200);
        answer.bytes().await.expect_err("the body ends too early");
    }
    assert_eq!(post(&server, CHAT, &row).await.0, 200);
    assert_eq!(
        server.requests()["1"],
        Count {
            received: 2,
            answered: 1
        }
    );
}

#[tokio::test]
async fn a_dropped_server_ends_what_is_in_flight() {
    let server = start(VLLM);
    let held = tokio::spawn(
        client()
            .post(server.url(CHAT))
            .json(&chat("1", &json!({"hold": "gate"})))
            .send(),
    );
    until("the row is received", || server.in_flight() == 1).await;
    drop(server);
    held.await.expect("no panic").expect_err("no answer");
}

#[tokio::test]
async fn a_name_that_is_not_served_is_treated_as_the_real_servers_do() {
    let mut row = chat("1", &json!({}));
    row["model"] = json!("nonsense");
    let (status, body) = post(&start(VLLM), CHAT, &row).await;
    assert_eq!(status, 404);
    assert!(body.contains("The model `nonsense` does not exist."), "{body}");
    assert_eq!(post(&start(LLAMA_SERVER), CHAT, &row).await.0, 200);
    assert_eq!(post(&start(SGLANG), CHAT, &row).await.0, 200);
    let (status, body) = post(&start(LORAX), CHAT, &row).await;
    assert_eq!(status, 424);
    assert!(body.contains("Repository Not Found for url"), "{body}");
    row["model"] = json!("model:nonsense");
    let (status, body) = post(&start(SGLANG), CHAT, &row).await;
    assert_eq!(status, 400);
    assert!(body.contains("not loaded: nonsense"), "{body}");
}

/// As `router/src/server.rs` and axum have them.
#[tokio::test]
async fn lorax_answers_in_its_own_words() {
    let server = start(LORAX);
    let mut row = chat("1", &json!({}));
    row["stop"] = json!(["there"]);
    let (status, body) = post(&server, CHAT, &row).await;
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status, 200);
    assert_eq!(
        (&body["id"], &body["object"], &body["choices"][0]["finish_reason"]),
        (&json!("null"), &json!("text_completion"), &json!("content_filter"))
    );

    let overloaded = chat("2", &json!({"status": "429"}));
    let overload = r#"{"error":"scripted","error_type":"overloaded"}"#.to_owned();
    assert_eq!(post(&server, CHAT, &overloaded).await, (429, overload));

    row["stop"] = json!("there");
    let refused =
        "Failed to deserialize the JSON body into the target type: stop: invalid type: \"there\", expected a sequence";
    assert_eq!(post(&server, CHAT, &row).await, (422, refused.to_owned()));
    let (status, body) = get(&server.url("/v1/models")).await;
    assert_eq!((status, body.as_str()), (404, ""));
}

#[tokio::test]
async fn sglang_answers_errors_in_one_level() {
    let server = start(SGLANG);
    let full = chat("1", &json!({"status": "503"}));
    let (status, answer) = post(&server, CHAT, &full).await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let expected = json!({"object": "error", "message": "scripted", "type": "503", "param": null, "code": 503});
    assert_eq!((status, answer), (503, expected));
    let without = start(&["--model-path", "org/model"]);
    assert_eq!(get(&without.url("/metrics")).await.0, 404);
}

/// What the fake servers tell is read as the real ones' is.
#[tokio::test]
async fn the_load_is_in_the_metrics_of_every_program() {
    for (engine, args) in [
        (Engine::VLLM, VLLM),
        (Engine::LoRAX, LORAX),
        (Engine::SGLang, SGLANG),
        (Engine::LlamaCpp, LLAMA_SERVER),
    ] {
        let mut settings = Settings::local(args);
        settings.slots = 1;
        let server = FakeModelServer::start(settings).expect("a free port");
        let held: Vec<_> = ["a", "b"]
            .map(|id| chat(id, &json!({"hold": "gate"})))
            .map(|row| tokio::spawn(client().post(server.url(CHAT)).json(&row).send()))
            .into();
        until("both rows are received", || server.in_flight() == 2).await;
        let (_, page) = get(&server.url("/metrics")).await;
        let load = engine_load(engine, page.as_bytes()).unwrap_or_else(|| panic!("{engine}: {page}"));
        assert_eq!((load.running, load.waiting), (1, 1), "{engine}");
        server.release_all();
        for row in held {
            assert_eq!(row.await.expect("no panic").expect("an answer").status(), 200);
        }
        let (_, page) = get(&server.url("/metrics")).await;
        let after = engine_load(engine, page.as_bytes()).expect("a load");
        assert!(after.work > load.work, "{engine}: {after:?} after {load:?}");
    }
}

#[tokio::test]
async fn what_is_not_json_or_has_no_messages_is_a_bad_request() {
    for (args, of_missing) in [(VLLM, 400), (LORAX, 422), (SGLANG, 400), (LLAMA_SERVER, 400)] {
        let server = start(args);
        for (body, status) in [("{", 400), (r#"{"model":"model"}"#, of_missing)] {
            let answer = client()
                .post(server.url(CHAT))
                .body(body)
                .send()
                .await
                .expect("an answer");
            assert_eq!(answer.status(), status);
        }
    }
}

#[tokio::test]
async fn endpoints_that_are_not_enabled_answer_501() {
    let server = start(&["-m", "/models/model.gguf"]);
    assert_eq!(post(&server, "/v1/embeddings", &json!({"input": "x"})).await.0, 501);
    assert_eq!(get(&server.url("/metrics")).await.0, 501);
    assert_eq!(get(&server.url("/nothing")).await.0, 404);
}

#[tokio::test]
async fn llama_server_answers_503_while_the_model_is_loaded() {
    let mut settings = Settings::local(LLAMA_SERVER);
    settings.loading = Duration::from_hours(1);
    let server = FakeModelServer::start(settings).expect("a free port");
    let loading = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
    assert_eq!(get(&server.url("/health")).await, (503, loading.to_owned()));
    assert_eq!(
        post(&server, CHAT, &chat("1", &json!({}))).await,
        (503, loading.to_owned())
    );
}

#[tokio::test]
async fn vllm_does_not_listen_while_the_model_is_loaded() {
    let mut settings = Settings::local(VLLM);
    settings.loading = Duration::from_hours(1);
    let server = FakeModelServer::start(settings).expect("a free port");
    let refused = client().get(server.url("/health")).send().await.expect_err("no answer");
    assert!(refused.is_connect(), "{refused:?}");
}

#[tokio::test]
async fn a_recorder_has_the_counts_of_servers_that_are_gone() {
    let recorder = Recorder::start(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    for pod in ["one", "two"] {
        let mut settings = Settings::local(VLLM);
        settings.recorder = Some(recorder.url());
        settings.pod = pod.to_owned();
        let server = FakeModelServer::start(settings).expect("a free port");
        post(&server, CHAT, &chat("row", &json!({}))).await;
    }
    assert_eq!(
        recorder.counts()["row"],
        Count {
            received: 2,
            answered: 2
        }
    );
    let events: Vec<_> = recorder
        .events()
        .into_iter()
        .map(|event| (event.pod, event.event))
        .collect();
    let (received, answered) = (EventKind::Received, EventKind::Answered);
    let wanted = [
        ("one", received),
        ("one", answered),
        ("two", received),
        ("two", answered),
    ];
    assert_eq!(events, wanted.map(|(pod, event)| (pod.to_owned(), event)));
}

#[tokio::test]
async fn a_row_that_cannot_be_recorded_is_not_answered() {
    let mut settings = Settings::local(VLLM);
    settings.recorder = Some("http://127.0.0.1:1/events".to_owned());
    let server = FakeModelServer::start(settings).expect("a free port");
    assert_eq!(post(&server, CHAT, &chat("1", &json!({}))).await.0, 502);
    assert_eq!(
        server.requests()["1"],
        Count {
            received: 1,
            answered: 0
        }
    );
}

/// Where cargo puts the process; `cargo test` builds it with the tests.
fn process(args: &[&str]) -> Command {
    let this = std::env::current_exe().expect("a path");
    let program: PathBuf = this
        .ancestors()
        .nth(2)
        .expect("deps is in the profile's folder")
        .join("examples/fake-model-server");
    assert!(program.exists(), "run first: cargo build --example fake-model-server");
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .kill_on_drop(true)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn the_process_refuses_what_the_real_server_refuses() {
    let output = process(&["-m", "x", "--nonsense"]).output().await.expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stderr, b"error: invalid argument: --nonsense\n");
    let printed = String::from_utf8(output.stdout).expect("text");
    assert_eq!(printed, "arguments: [\"-m\", \"x\", \"--nonsense\"]\n");
}

#[tokio::test]
async fn the_process_ends_with_zero_when_it_is_told_to() {
    let mut child = process(&["org/model", "--host", "127.0.0.1", "--port", "0"])
        .spawn()
        .expect("it runs");
    let stdout = child.stdout.take().expect("piped");
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.expect("text") {
        if line.starts_with("plays Vllm on") {
            break;
        }
    }
    terminate(&child).await;
    let status = tokio::time::timeout(PATIENCE, child.wait())
        .await
        .expect("it ends")
        .expect("a status");
    assert_eq!(status.code(), Some(0));
}

async fn terminate(child: &Child) {
    let id = child.id().expect("it runs").to_string();
    let killed = Command::new("kill")
        .args(["-TERM", &id])
        .status()
        .await
        .expect("kill runs");
    assert!(killed.success());
}
