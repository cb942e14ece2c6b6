//! What a hub says of the model, before any server is needed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::rows::lines;
use crate::world::{JOB, World};

const COMMIT: &str = "b968826d9c46dd6066d109eabc6255188de91218";

/// A hub that says the same to everybody, whatever is asked for.
async fn hub(status: StatusCode, body: Value) -> String {
    async fn answer(State((status, body)): State<(StatusCode, String)>) -> Response {
        (status, [("X-Error-Message", "as its tester wants")], body).into_response()
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new()
        .fallback(answer)
        .with_state((status, body.to_string()));
    tokio::spawn(async { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// A job whose model has a revision.
async fn world(folder: &str, dataset: &str, hub: &str) -> World {
    let mut world = World::with_server(folder, dataset).await;
    world.ask_hub(hub);
    world.kubernetes.change_job(JOB, |job| {
        job["spec"]["server"]["revision"] = json!("main");
        job["status"]["resolved"]["revision"] = json!("main");
    });
    world
}

#[tokio::test]
async fn without_a_revision_the_commit_of_main_is_told_and_is_no_part_of_the_work() {
    let dataset = lines(3);
    let mut world = World::with_server("no-revision", &dataset).await;
    world.ask_hub(&hub(StatusCode::OK, json!({"sha": COMMIT})).await);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    assert_eq!(status["model"], json!({"revision": COMMIT}));
    assert_eq!(claimed_revision(&world).await, Value::Null);
}

async fn claimed_revision(world: &World) -> Value {
    let claim = world.output_store().read("job.json").await.unwrap().expect("a claim");
    let claim: Value = serde_json::from_slice(&claim).unwrap();
    claim["work"]["revision"].clone()
}

#[tokio::test]
async fn a_model_that_the_hub_does_not_know_ends_the_job_before_any_server_and_claims_no_output() {
    let hub = hub(StatusCode::NOT_FOUND, json!({"error": "Repository not found"})).await;
    let mut world = world("no-model", &lines(3), &hub).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "ModelNotFound");
    assert_eq!(world.servers_needed(), [false]);
    assert_eq!(world.counts().len(), 0);
    assert!(world.output_store().read("job.json").await.unwrap().is_none());
}

#[tokio::test]
async fn the_commit_of_a_revision_is_told_before_servers_are_needed_and_stays() {
    let dataset = lines(3);
    let first = hub(StatusCode::OK, json!({"sha": COMMIT})).await;
    let mut world = world("revision", &dataset, &first).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    assert_eq!(status["model"], json!({"revision": COMMIT}));
    let statuses = world.kubernetes.statuses(JOB);
    let mut in_need = statuses
        .iter()
        .filter(|status| status["feeder"]["serversNeeded"] == true);
    assert!(in_need.all(|status| status["model"]["revision"] == COMMIT));
    assert_eq!(claimed_revision(&world).await, COMMIT);
    world.output().await.prove(&dataset);

    // The next start of the same job, before which the branch has moved on.
    world.ask_hub(&hub(StatusCode::OK, json!({"sha": "0123456789"})).await);
    world
        .kubernetes
        .change_job(JOB, |job| job["status"]["feeder"]["state"] = json!("Inspecting"));
    let status = world.run().await;
    assert_eq!(status["model"], json!({"revision": COMMIT}));
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
}

#[tokio::test]
async fn rows_that_are_done_need_no_model() {
    let dataset = lines(3);
    let mut world = World::with_server("done-without-model", &dataset).await;
    world.ask_hub(&hub(StatusCode::OK, json!({"sha": COMMIT})).await);
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");

    // The next start of the same job, before which its token has expired.
    world.ask_hub(&hub(StatusCode::UNAUTHORIZED, json!(null)).await);
    world
        .kubernetes
        .change_job(JOB, |job| job["status"]["feeder"]["state"] = json!("Inspecting"));
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
    world.output().await.prove(&dataset);
}

#[tokio::test]
async fn a_hub_that_does_not_say_is_a_warning_and_the_job_goes_on() {
    let dataset = lines(3);
    let hub = hub(StatusCode::PROXY_AUTHENTICATION_REQUIRED, json!(null)).await;
    let mut world = world("no-hub", &dataset, &hub).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    let warning = status["feeder"]["warnings"][0].as_str().expect("a warning");
    assert!(
        warning.starts_with(&format!("{hub} could not be asked of the model")),
        "{warning}"
    );
    assert_eq!(status["model"], json!({"revision": "main"}));
    assert_eq!(claimed_revision(&world).await, "main");
    world.output().await.prove(&dataset);
}

#[tokio::test]
async fn a_hub_that_answers_again_says_the_commit_unless_the_output_is_claimed_without_it() {
    let dataset = lines(3);
    let there = hub(StatusCode::OK, json!({"sha": COMMIT})).await;
    let away = hub(StatusCode::PROXY_AUTHENTICATION_REQUIRED, json!(null)).await;
    let mut unclaimed = world("hub-again", &dataset, &there).await;
    unclaimed
        .kubernetes
        .change_job(JOB, |job| job["status"]["model"] = json!({"revision": "main"}));
    let status = unclaimed.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
    assert_eq!(status["model"], json!({"revision": COMMIT}));
    assert_eq!(claimed_revision(&unclaimed).await, COMMIT);

    let mut claimed = world("hub-again-claimed", &dataset, &away).await;
    claimed.run().await;
    claimed.ask_hub(&there);
    claimed.kubernetes.change_job(JOB, |job| {
        job["status"]["feeder"]["state"] = json!("Inspecting");
        job["status"]["model"] = json!({"revision": "main"});
    });
    let status = claimed.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
    assert_eq!(claimed_revision(&claimed).await, "main");
}

/// One that answers when it is notified.
async fn slow_hub(may_answer: Arc<Notify>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move || async move {
        may_answer.notified().await;
        json!({"sha": COMMIT}).to_string()
    };
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn a_hub_that_takes_its_time_is_said_to_be_asked() {
    let may_answer = Arc::new(Notify::new());
    let hub = slow_hub(Arc::clone(&may_answer)).await;
    let mut world = world("slow-hub", &lines(3), &hub).await;
    let feeder = world.start();
    let status = world.until_waits("Inspecting").await;
    let message = status["feeder"]["message"].as_str().expect("a message");
    assert!(
        message.starts_with(&format!("{hub} is asked about the model ")),
        "{message}"
    );
    may_answer.notify_one();
    assert_eq!(feeder.exit_code().await, 0);
    let status = world.status();
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
    assert_eq!(status["model"], json!({"revision": COMMIT}));
}
