//! A data set of a web server that gives no ranges.

use axum::Router;
use serde_json::json;
use tokio::net::TcpListener;

use crate::rows::{held_line, ids, lines};
use crate::world::World;

/// Where a server gives `content` as a whole, whatever is asked for.
async fn serve(content: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(async move || content);
    tokio::spawn(async { axum::serve(listener, router).await });
    format!("http://{address}/rows.jsonl")
}

#[tokio::test]
async fn a_data_set_without_ranges_is_copied_by_each_feeder_and_gone_on_with_after_a_kill() {
    let (early, all) = (30, 80);
    let held: String = ids(all).skip(early).map(|id| held_line(&id, "late")).collect();
    let dataset = lines(early) + &held;
    let mut world = World::with_server("web", &dataset).await;
    let uri = serve(dataset).await;
    world.change_spec(|spec| spec["dataset"]["uri"] = json!(uri));
    let feeder = world.start();
    let early: Vec<String> = ids(early).collect();
    world.until_durable(&early).await;
    feeder.kill().await;
    world.server("server").release_all();
    let status = world.run().await;

    assert_eq!(status["feeder"]["attempt"], 2);
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded");
    let output = world.output().await;
    assert_eq!(output.manifest["dataset"]["uri"], uri);
    let counts = world.counts();
    assert!(early.iter().all(|id| counts[id].received == 1), "{counts:?}");
}

#[tokio::test]
async fn a_data_set_that_is_larger_than_a_copy_may_be_is_waited_for_without_servers() {
    let mut world = World::with_server("web-large", &lines(1)).await;
    let uri = serve(lines(100)).await;
    world.change_spec(|spec| {
        spec["dataset"]["uri"] = json!(uri);
        spec["feeder"] = json!({"scratch": {"sizeLimit": "1Ki"}});
    });
    let feeder = world.start();
    let status = world.until_waits("ScratchUnusable").await;
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(
        message.contains("more than the 896 bytes that a copy may take"),
        "{message}"
    );
    assert!(world.servers_needed().iter().all(|needed| !needed));
    feeder.kill().await;
}
