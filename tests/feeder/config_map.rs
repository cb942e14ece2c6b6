//! A job without any store: its rows in the object itself, its results in a ConfigMap.

use serde_json::{Value, json};

use crate::output::Output;
use crate::rows::{held_line, ids, line_with, lines};
use crate::world::World;

const NAME: &str = "triangles-results";

/// A world whose job has these rows in itself, and needs no store.
async fn without_store(folder: &'static str, rows: &str) -> World {
    let world = World::with_server(folder, "").await;
    world.change_spec(|spec| {
        spec["dataset"] = json!({"inline": rows});
        spec["output"] = json!({"configMap": {"name": NAME}});
    });
    world
}

/// The data of the results' ConfigMap.
fn data(world: &World) -> Value {
    world.kubernetes.config_map(NAME).expect("a ConfigMap")["data"].clone()
}

fn output(world: &World) -> Output {
    let data = data(world);
    let text = |key: &str| data[key].as_str().unwrap_or_else(|| panic!("no {key}")).to_owned();
    Output {
        results: text("results.jsonl"),
        errors: text("errors.jsonl"),
        manifest: serde_json::from_str(&text("manifest.json")).unwrap(),
    }
}

#[tokio::test]
async fn rows_in_the_job_come_back_in_a_config_map_that_the_job_does_not_own() {
    let dataset = lines(30) + &line_with("bad", &json!({"status": "400"}));
    let mut world = without_store("config-map", &dataset).await;
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "SomeRowsFailed");
    assert_eq!(status["feeder"].get("warnings"), None);
    assert_eq!(
        status["results"],
        json!({
            "uri": "configmap://triangles-results/results.jsonl",
            "errorsUri": "configmap://triangles-results/errors.jsonl",
            "manifestUri": "configmap://triangles-results/manifest.json",
            "rows": 30, "errors": 1,
        })
    );
    let output = output(&world);
    output.prove(&dataset);
    assert_eq!(output.manifest["dataset"]["uri"], "spec.dataset.inline");
    let map = world.kubernetes.config_map(NAME).unwrap();
    assert_eq!(map["metadata"].get("ownerReferences"), None);
    assert_eq!(world.kubernetes.config_map("triangles-results-segments"), None);

    // The same job created again finds its work done.
    world.create_again("2", "rows.jsonl");
    world.change_spec(|spec| {
        spec["dataset"] = json!({"inline": dataset});
        spec["output"] = json!({"configMap": {"name": NAME}});
    });
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "ResultsReused");
    assert_eq!(world.counts()["row-000"].received, 1);

    // Other work is refused, and changes nothing.
    let before = data(&world);
    world.create_again("3", "rows.jsonl");
    world.change_spec(|spec| {
        spec["dataset"] = json!({"inline": lines(2)});
        spec["output"] = json!({"configMap": {"name": NAME}});
    });
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "OutputNotEmpty");
    assert_eq!(data(&world)["results.jsonl"], before["results.jsonl"]);
}

#[tokio::test]
async fn a_killed_feeder_sends_no_row_again_that_the_api_server_has() {
    let dataset = lines(20) + &ids(30).skip(20).map(|id| held_line(&id, "later")).collect::<String>();
    let mut world = without_store("config-map-kill", &dataset).await;
    let feeder = world.start();
    world.until_completed(20).await;
    feeder.kill().await;
    let segments = world
        .kubernetes
        .config_map("triangles-results-segments")
        .expect("segments");
    assert!(!segments["data"].as_object().unwrap().is_empty());
    world.server("server").release_all();
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    output(&world).prove(&dataset);
    assert!(
        ids(20).all(|id| world.counts()[&id].received == 1),
        "a durable row was sent again"
    );
}

#[tokio::test]
async fn more_rows_than_can_fit_are_refused_before_any_server() {
    let mut world = World::new("config-map-rows", &lines(3001)).await;
    world.change_spec(|spec| spec["output"] = json!({"configMap": {"name": NAME}}));
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "ResultsTooLarge");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.contains("the data set has 3001 rows, and a ConfigMap takes the results of at most 3000"),
        "{message}"
    );
    assert_eq!(world.servers_needed(), [false]);
    assert_eq!(
        world.kubernetes.config_map(NAME),
        None,
        "nothing is left of a job that never began"
    );
}

#[tokio::test]
async fn results_that_do_not_fit_end_the_job_by_name() {
    let answer = json!({"text": "x".repeat(300 << 10)}).to_string();
    let large = ids(4)
        .map(|id| line_with(&id, &json!({"raw_body": answer})))
        .collect::<String>();
    let mut world = World::with_server("config-map-large", &large).await;
    world.change_spec(|spec| spec["output"] = json!({"configMap": {"name": NAME}}));
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "ResultsTooLarge");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.contains("ConfigMap triangles-results-segments would have "),
        "{message}"
    );
    assert!(
        message.contains("and may have 921600: name a store or a claim in spec.output.uri"),
        "{message}"
    );
    assert_eq!(status.get("results"), None);
    assert_eq!(data(&world).get("manifest.json"), None);
}

#[tokio::test]
async fn a_config_map_of_somebody_else_is_not_touched() {
    let mut world = without_store("config-map-theirs", &lines(1)).await;
    let theirs = json!({"metadata": {"name": NAME}, "data": {"settings": "theirs"}});
    world.kubernetes.put_config_map(theirs);
    let before = world.kubernetes.config_map(NAME);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "OutputNotWritable");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.contains("ConfigMap triangles-results was not made by the operator"),
        "{message}"
    );
    assert_eq!(world.kubernetes.config_map(NAME), before);
    assert_eq!(world.servers_needed(), [false]);
}

#[tokio::test]
async fn an_api_server_that_is_away_is_waited_for_and_every_answer_is_kept() {
    let dataset = lines(5) + &ids(10).skip(5).map(|id| held_line(&id, "later")).collect::<String>();
    let mut world = without_store("config-map-away", &dataset).await;
    let feeder = world.start();
    world.until_completed(5).await;
    world.kubernetes.set_away(true);
    world.server("server").release_all();
    world.until_answered(10).await;
    world.kubernetes.set_away(false);
    assert_eq!(feeder.exit_code().await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    output(&world).prove(&dataset);
    assert!(world.counts().values().all(|count| count.received == 1));
}
