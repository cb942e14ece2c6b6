//! Adapters of a hub that answers: what it says of each is known before any server is needed.

use axum::Json;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::adapters::{NAMES, add_server, dataset_of, told, world_on};
use crate::rows::MODEL;
use crate::world::{JOB, World};

const COMMIT: &str = "b968826d9c46dd6066d109eabc6255188de91218";

/// A hub that has the base, an adapter of rank 16, one that it shows and does not give, and one of a kind that vLLM does not load.
async fn hub() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn answer(uri: Uri) -> Response {
    match uri.path().trim_start_matches("/api/models/") {
        "org/sql/revision/main" | "org/gated/revision/main" | "org/of-other-kind/revision/main" => {
            let files = ["adapter_config.json", "adapter_model.safetensors"].map(|name| json!({"rfilename": name}));
            Json(json!({"sha": COMMIT, "siblings": files})).into_response()
        }
        path if path.starts_with("org/chat/") || path.starts_with("org/missing/") => {
            (StatusCode::NOT_FOUND, [("X-Error-Code", "RepoNotFound")]).into_response()
        }
        path if path.starts_with("/org/gated/") => {
            (StatusCode::UNAUTHORIZED, [("X-Error-Code", "GatedRepo")]).into_response()
        }
        path if path.starts_with("/org/of-other-kind/") => Json(json!({"peft_type": "IA3"})).into_response(),
        path if path.ends_with("/adapter_config.json") => Json(json!({"peft_type": "LORA", "r": 16})).into_response(),
        // Of the base model.
        _ => Json(json!({"sha": COMMIT})).into_response(),
    }
}

#[tokio::test]
async fn a_job_that_is_to_fail_by_an_adapter_that_the_hub_has_not_needs_no_server() {
    let adapters = json!({"onError": "FailJob"});
    let mut world = world_on("adapters-hub-missing", "VLLM", adapters, &dataset_of(&NAMES)).await;
    world.ask_hub(&hub().await);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AdapterNotFound", "{status}");
    assert_eq!(world.servers_needed(), [false]);
}

#[tokio::test]
async fn rank_and_commit_that_the_hub_tells_are_in_the_status() {
    let dataset = dataset_of(&NAMES[..2]);
    let mut world = world_on("adapters-hub", "VLLM", json!({}), &dataset).await;
    world.ask_hub(&hub().await);
    add_server(&mut world, "server", &[MODEL, "--enable-lora"]);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
    assert_eq!(status["adapters"]["maxRank"], 16, "{status}");
    let sql = told(&status["adapters"]["mostUsed"], "org/sql");
    assert_eq!(sql["revision"], COMMIT);
}

/// Those that cannot be used, what is said of them, the reason in the status and the code of their rows.
const BAD: [(&str, &str, &str, &str); 3] = [
    (
        "org/missing",
        " has none (404 Not Found)",
        "AdapterNotFound",
        "adapter_not_found",
    ),
    (
        "org/gated",
        "name a token that may read it by spec.server.hfTokenSecretRef",
        "AdapterNotFound",
        "adapter_not_found",
    ),
    (
        "org/of-other-kind",
        "it is an adapter of the kind IA3, and engine VLLM loads LORA only",
        "AdapterNotLoaded",
        "adapter_not_loaded",
    ),
];

#[tokio::test]
async fn what_the_hub_says_of_bad_adapters_is_told_before_the_first_row_and_all_other_rows_are_done() {
    let names = [MODEL, "org/sql", "org/missing", "org/gated", "org/of-other-kind"];
    let dataset = dataset_of(&names);
    let each = dataset.lines().count() / names.len();
    let mut world = world_on("adapters-hub-bad", "VLLM", json!({}), &dataset).await;
    world.ask_hub(&hub().await);
    add_server(&mut world, "server", &[MODEL, "--enable-lora"]);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "SomeRowsFailed", "{status}");

    let warning = warning_before_servers(&world);
    let beginning = format!("3 of 4 adapters cannot be used, in {} rows: ", 3 * each);
    assert!(warning.starts_with(&beginning), "{warning}");
    assert_eq!(world.server("server").adapters_asked_for(), ["org/sql"]);
    let output = world.output().await;
    output.prove(&dataset);
    assert_eq!(output.results.lines().count(), 2 * each);
    let failed = output.error_rows();
    for (name, words, reason, code) in BAD {
        assert!(warning.contains(&format!("`{name}` ({each} rows): ")), "{warning}");
        assert!(warning.contains(words), "{warning}");
        let adapter = told(&status["adapters"]["mostUsed"], name);
        assert_eq!((&adapter["reason"], &adapter["failed"]), (&json!(reason), &json!(each)));
        let beginning = format!("adapter `{name}`: ");
        let is_of_it = |row: &&Value| {
            let message = row["error"]["message"].as_str().unwrap();
            row["error"]["code"] == code && message.starts_with(&beginning) && message.contains(words)
        };
        assert_eq!(failed.iter().filter(is_of_it).count(), each, "{name}: {failed:?}");
    }
}

/// What the status says of adapters as soon as servers are needed.
fn warning_before_servers(world: &World) -> String {
    let statuses = world.kubernetes.statuses(JOB);
    let mut needing = statuses
        .iter()
        .filter(|status| status["feeder"]["serversNeeded"] == true);
    let first = needing.next().expect("servers are needed");
    let warnings = first["feeder"]["warnings"].as_array().expect("warnings");
    let mut texts = warnings.iter().filter_map(Value::as_str);
    let found = texts.find(|text| text.contains("adapters cannot be used"));
    found.expect("a warning of adapters").to_owned()
}
