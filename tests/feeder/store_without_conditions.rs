//! A store that takes every put, also on a condition that is not met.

use crate::rows::lines;
use crate::s3_proxy::{Fault, Which};
use crate::world::World;

#[tokio::test]
async fn a_store_that_ignores_conditions_is_named_and_one_feeder_loses_nothing_there() {
    let dataset = lines(30);
    let mut world = World::with_server("no-conditions", &dataset).await;
    let proxy = world.put_s3_proxy().await;
    proxy.fail(Which::all(), Fault::ConditionIgnored);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "AllRowsSucceeded", "{status}");
    let warnings = status["feeder"]["warnings"].to_string();
    assert!(warnings.contains("If-None-Match"), "{status}");
    world.output().await.prove(&dataset);
    assert!(world.counts().values().all(|count| count.received == 1));
}
