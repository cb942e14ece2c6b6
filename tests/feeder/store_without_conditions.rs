//! A store that takes every put, also on a condition that is not met: nothing that is written once could be relied on.

use crate::rows::lines;
use crate::s3_proxy::{Fault, Which};
use crate::world::World;

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused_before_any_server_is_needed() {
    let mut world = World::with_server("no-conditions", &lines(3)).await;
    let proxy = world.put_s3_proxy().await;
    proxy.fail(Which::all(), Fault::ConditionIgnored);
    let status = world.run().await;
    assert_eq!(status["feeder"]["reason"], "OutputNotWritable", "{status}");
    let message = status["feeder"]["message"].as_str().unwrap();
    assert!(message.contains("If-None-Match"), "{message}");
    assert_eq!(world.servers_needed(), [false]);
    assert!(world.counts().is_empty(), "a row was sent");
}
