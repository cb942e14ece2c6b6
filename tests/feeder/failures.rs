//! Rows that fail, for good or for a time.

use serde_json::{Value, json};

use crate::fake_model_server::{EventKind, Recorder};
use crate::rows::{line, line_with, lines};
use crate::world::World;

#[tokio::test]
async fn permanent_failures_are_error_rows_and_passing_ones_are_tried_again() {
    let rows = [
        ("fine", json!({})),
        ("refused", json!({"status": "400"})),
        ("unavailable", json!({"status": "503", "times": "2"})),
        ("too-many", json!({"status": "429", "times": "1", "retry_after": "1"})),
        ("broken-off", json!({"close": "true", "times": "1"})),
        ("not-json", json!({"raw_body": "<html>", "times": "1"})),
        ("never-json", json!({"raw_body": "<html>", "status": "404"})),
    ];
    let dataset: String = rows.iter().map(|(id, fake)| line_with(id, fake)).collect();
    let mut world = World::new("failures", &dataset).await;
    let recorder = Recorder::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    world.add_server_with("server", |settings| settings.recorder = Some(recorder.url()));
    let status = world.run().await;

    assert_eq!(status["feeder"]["reason"], "SomeRowsFailed");
    assert_eq!(
        status["progress"],
        json!({"total": 7, "completed": 5, "failed": 2, "percent": 100})
    );
    let output = world.output().await;
    output.prove(&dataset);
    let [refused, never_json] = output.error_rows().try_into().expect("two error rows");
    assert_eq!(
        (&refused["custom_id"], &refused["error"]),
        (&json!("refused"), &Value::Null)
    );
    assert_eq!(refused["response"]["status_code"], 400);
    assert_eq!(refused["response"]["body"]["error"]["message"], "scripted");
    assert_eq!(
        (&never_json["custom_id"], &never_json["error"]["message"]),
        (&json!("never-json"), &json!("<html>"))
    );
    let counts = world.counts();
    let received = rows.map(|(id, _)| counts[id].received);
    assert_eq!(received, [1, 1, 3, 2, 2, 2, 1]);
    assert!(pause_of(&recorder, "too-many") >= 1000, "Retry-After was not kept to");
}

/// Milliseconds from the first answer of a row to its next request.
fn pause_of(recorder: &Recorder, id: &str) -> u64 {
    let events: Vec<_> = recorder.events().into_iter().filter(|event| event.id == id).collect();
    let answered = events
        .iter()
        .position(|event| event.event == EventKind::Answered)
        .expect("an answer");
    let again = events[answered..]
        .iter()
        .find(|event| event.event == EventKind::Received);
    again.expect("a second request").at_ms - events[answered].at_ms
}

#[tokio::test]
async fn a_job_of_which_every_row_fails_has_failed() {
    let dataset = line_with("a", &json!({"status": "400"})) + &line_with("b", &json!({"status": "422"}));
    let mut world = World::with_server("all-fail", &dataset).await;
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsFailed");
    let output = world.output().await;
    output.prove(&dataset);
    assert_eq!(output.results, "");
}

#[tokio::test]
async fn a_server_that_refuses_the_feeder_ends_the_job() {
    let mut world = World::new("refuses", &lines(3)).await;
    let feeder = world.start();
    world.until_servers_are_needed().await;
    world.add_server_with("server", |settings| settings.status = Some(401));
    assert_eq!(feeder.exit_code().await, 0);
    let status = world.status();
    assert_eq!(status["feeder"]["reason"], "ServerRefusesRequests");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(message.contains("401") && message.contains("API key"), "{message}");
    assert_eq!(status.get("results"), None);
    assert_eq!(world.servers_needed(), [false, true, false]);
}

#[tokio::test]
async fn every_name_of_the_base_model_reaches_it() {
    let rows = ["", "gpt-4o-mini", crate::rows::MODEL].map(|model| {
        let mut row = crate::rows::row_with(&format!("row {model}"), &json!({}));
        row["body"]["model"] = json!(model);
        format!("{row}\n")
    });
    // Without the field at all.
    let dataset = rows.concat() + &line("last").replace(&format!("\"model\":\"{}\",", crate::rows::MODEL), "");
    assert!(!dataset.lines().last().unwrap().contains("\"model\""));
    let mut world = World::with_server("names", &dataset).await;
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
}
