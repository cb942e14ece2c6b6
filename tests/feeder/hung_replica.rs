//! Model servers that hang: they take rows, their health path answers, and nothing comes.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::fake_model_server::Serves;
use crate::rows::{embedding_line, held_line, ids, lines};
use crate::until::until;
use crate::world::World;

/// A server is watched for a while before it is taken for hung.
const NOTICED_WITHIN: Duration = Duration::from_mins(5);

fn hung_servers(world: &World) -> Vec<String> {
    let hung = world.status()["feeder"]["hungServers"].as_array().cloned();
    let name = |server: &serde_json::Value| {
        // A name, or an object with one.
        server
            .as_str()
            .or(server["pod"].as_str())
            .or(server["name"].as_str())
            .map(str::to_owned)
    };
    hung.unwrap_or_default().iter().filter_map(name).collect()
}

async fn until_hung(world: &World, pod: &str) {
    let begun = Instant::now();
    while !hung_servers(world).iter().any(|hung| hung == pod) {
        assert!(
            begun.elapsed() < NOTICED_WITHIN,
            "{pod} hangs, and nobody says so: {}",
            world.status()
        );
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
#[ignore = "three minutes: make soak"]
async fn rows_of_a_server_that_hangs_go_to_another_and_are_not_to_blame() {
    let dataset: String = ids(60).map(|id| held_line(&id, "later")).collect();
    let mut world = World::new("hung", &dataset).await;
    world.add_server("server-a");
    world.add_server("server-b");
    let feeder = world.start();
    until("both have rows", async || {
        ["server-a", "server-b"]
            .iter()
            .all(|pod| world.server(pod).in_flight() > 0)
    })
    .await;
    world.server("server-a").hang();
    until_hung(&world, "server-a").await;
    // The controller replaces its pod.
    world.kubernetes.delete_server("server-a");
    assert_eq!(
        hung_servers(&world),
        ["server-a"],
        "the other one answers nothing either, but works"
    );
    world.server("server-b").release_all();
    assert_eq!(feeder.exit_code_within(NOTICED_WITHIN).await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    let output = world.output().await;
    output.prove(&dataset);
    let counts = world.server("server-b").requests();
    assert!(ids(60).all(|id| counts[&id].answered == 1), "{counts:?}");
}

#[tokio::test]
#[ignore = "three minutes: make soak"]
async fn the_only_server_may_hang_and_its_pod_be_replaced() {
    let dataset = lines(40);
    let mut world = World::with_server("hung-alone", &dataset).await;
    world.server("server").hang();
    let feeder = world.start();
    until_hung(&world, "server").await;
    world.kubernetes.delete_server("server");
    world.add_server("server-b");
    assert_eq!(feeder.exit_code_within(NOTICED_WITHIN).await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
}

#[tokio::test]
#[ignore = "three minutes: make soak"]
async fn a_server_of_embeddings_that_hangs_from_the_start_is_found_out() {
    let dataset: String = ids(40).map(|id| embedding_line(&id)).collect();
    let mut world = World::new("hung-embeddings", &dataset).await;
    // It says so at once, also while the engine hangs.
    world.add_server_with("server", |settings| settings.serves = Serves::Embeddings);
    world.server("server").hang();
    let feeder = world.start();
    until_hung(&world, "server").await;
    world.kubernetes.delete_server("server");
    world.add_server_with("server-b", |settings| settings.serves = Serves::Embeddings);
    assert_eq!(feeder.exit_code_within(NOTICED_WITHIN).await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    world.output().await.prove(&dataset);
}
