//! Rows and answers that are far larger than usual, in a container with little memory.

use std::time::Duration;

use serde_json::json;

use crate::process::program_within;
use crate::rows::{ids, row_with};
use crate::world::World;

const MEBIBYTE: usize = 1 << 20;
/// A quarter of what a feeder has by default; all rows take more, and their answers half as much again.
const LIMIT_MEBIBYTES: u64 = 256;
const ROWS: usize = 158;
/// Every so many rows there is one of the largest, of 8 in all.
const LARGEST_EVERY: usize = 19;
/// The longest line that is a row.
const LARGEST: usize = 16 * MEBIBYTE;
/// What a row has besides its prompt and its answer.
const FRAME: usize = 1024;
const SERVERS: [&str; 3] = ["server-a", "server-b", "server-c"];
/// Half a gigabyte goes through the store and three servers, all on this machine.
const RUN_WITHIN: Duration = Duration::from_mins(5);

/// A line of so many bytes, but for some of the frame, whose answer has a mebibyte.
fn line(id: &str, bytes: usize) -> String {
    let answer = json!({"text": "x".repeat(MEBIBYTE - FRAME)}).to_string();
    let mut row = row_with(id, &json!({"raw_body": answer}));
    row["body"]["messages"][0]["content"] = json!("y".repeat(bytes - MEBIBYTE));
    format!("{row}\n")
}

fn bytes_of(number: usize) -> usize {
    if (number + 1).is_multiple_of(LARGEST_EVERY) {
        LARGEST
    } else {
        MEBIBYTE
    }
}

#[tokio::test]
async fn large_rows_and_answers_through_three_servers_stay_within_a_small_limit() {
    let line = |(number, id): (usize, String)| line(&id, bytes_of(number));
    let dataset: String = ids(ROWS).enumerate().map(line).collect();
    let mut world = World::new("large-rows", "\n").await;
    // In parts, as it is too large for one request.
    world.replace("rows.jsonl", &dataset).await;
    drop(dataset);
    // The bucket is shared by all tests, and has little room.
    world.put_output_on_claim();
    for server in SERVERS {
        // So that as many rows as the feeder wants are there at once.
        world.add_server_with(server, |settings| settings.latency = Duration::from_millis(200));
    }
    let feeder = world.start_as(&program_within(LIMIT_MEBIBYTES << 20));
    let (code, peak) = feeder.exit_code_and_peak_within(RUN_WITHIN).await;
    assert_eq!(code, 0);
    assert!(peak <= LIMIT_MEBIBYTES, "{peak} MiB");
    assert_eq!(world.status()["feeder"]["reason"], "AllRowsSucceeded");
    assert_eq!(world.output().await.results.lines().count(), ROWS);
    assert!(world.counts().values().all(|count| count.received == 1));
    for server in SERVERS {
        assert!(!world.server(server).requests().is_empty(), "{server} was not used");
    }
}
