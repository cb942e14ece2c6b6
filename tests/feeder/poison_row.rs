//! Rows that crash whatever server they are sent to.

use std::time::Duration;

use serde_json::json;

use crate::rows::{ids, line, line_with};
use crate::world::World;

/// Each crash takes a second, and the rows around it wait longer from one to the next.
const ENDS_WITHIN: Duration = Duration::from_mins(3);
/// Crashes that one row may cost before it has failed.
const MOST_CRASHES: u64 = 8;

#[tokio::test]
async fn a_row_that_crashes_its_server_fails_alone_after_a_few_crashes() {
    let dataset: String = ids(100)
        .map(|id| {
            if id == "row-050" {
                line_with(&id, &json!({"crash": "true"}))
            } else {
                line(&id)
            }
        })
        .collect();
    let mut world = World::new("poison", &dataset).await;
    for pod in ["server-a", "server-b"] {
        world.add_server_with(pod, |settings| settings.latency = Duration::from_millis(200));
    }
    let feeder = world.start();
    assert_eq!(feeder.exit_code_within(ENDS_WITHIN).await, 0);
    assert_eq!(world.status()["feeder"]["reason"], "SomeRowsFailed");
    let output = world.output().await;
    output.prove(&dataset);
    let failed = output.error_rows();
    let named: Vec<_> = failed.iter().map(|row| row["custom_id"].as_str().unwrap()).collect();
    assert_eq!(named, ["row-050"]);
    assert!(failed[0]["error"]["message"].is_string(), "{}", failed[0]);
    let counts = world.counts();
    assert!((2..=MOST_CRASHES).contains(&counts["row-050"].received), "{counts:?}");
    assert!(
        ids(100).all(|id| id == "row-050" || counts[&id].answered == 1),
        "{counts:?}"
    );
}
