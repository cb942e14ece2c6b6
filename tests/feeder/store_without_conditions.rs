//! A store that takes every put, also on a condition that is not met: told, and right all the same for one feeder after another.

use crate::rows::{held_line, ids, lines};
use crate::s3_proxy::{Fault, Which};
use crate::world::World;

#[tokio::test]
async fn a_store_that_ignores_conditions_is_a_warning_and_no_row_is_lost_or_doubled_there() {
    let dataset = lines(10) + &ids(20).skip(10).map(|id| held_line(&id, "later")).collect::<String>();
    let mut world = World::with_server("no-conditions", &dataset).await;
    let proxy = world.put_s3_proxy().await;
    proxy.fail(Which::all(), Fault::ConditionIgnored);
    let feeder = world.start();
    world.until_durable(&ids(10).collect::<Vec<_>>()).await;
    let warnings = world.status()["feeder"]["warnings"].clone();
    let warning = warnings[0].as_str().unwrap_or_default();
    assert!(warning.contains("If-None-Match"), "{warnings}");
    feeder.kill().await;

    world.server("server").release_all();
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
    world.output().await.prove(&dataset);
    let counts = world.counts();
    assert!(ids(10).all(|id| counts[&id].received == 1), "{counts:?}");
    // The same work once more is not done again there either.
    world.create_again("2", "rows.jsonl");
    assert_eq!(world.run().await["feeder"]["reason"], "ResultsReused");
}
