//! The server's answer is what the results hold.

use serde_json::{Value, json};

use crate::rows::line_with;
use crate::world::World;

/// Answers that a round trip through any value type would change.
const BODIES: [&str; 6] = [
    r#"{ "id" : "x" ,"choices":[ ]  , "usage":{"prompt_tokens":3,"completion_tokens":4} }"#,
    r#"{"same":1,"same":2,"usage":null}"#,
    r#"{"float":1.0,"exponent":1E+2,"minus":-0.0}"#,
    r#"{"large":12345678901234567890123,"digits":18446744073709551616}"#,
    r#"{"text":"\u00e9\ud83d\ude00\u0041\/"}"#,
    "{\"b\":1,\n\"a\":2}",
];

#[tokio::test]
async fn answers_are_kept_byte_for_byte() {
    let row = |(number, body): (usize, &&str)| line_with(&format!("row-{number}"), &json!({"raw_body": body}));
    let dataset: String = BODIES.iter().enumerate().map(row).collect();
    let mut world = World::with_server("bytes", &dataset).await;
    assert_eq!(world.run().await["feeder"]["reason"], "AllRowsSucceeded");
    let output = world.output().await;
    output.prove(&dataset);
    for (line, body) in output.results.lines().zip(BODIES) {
        // A row is one line.
        let body = body.replace('\n', " ");
        let end = format!(r#","body":{body}}},"error":null}}"#);
        assert!(line.ends_with(&end), "{line} does not end with {end}");
        let again = serde_json::from_str::<Value>(&body).unwrap().to_string();
        assert_ne!(again, body, "this body would not show a round trip");
    }
    let usage = json!({"promptTokens": 3, "completionTokens": 4, "totalTokens": 7});
    assert_eq!(output.manifest["usage"], usage);
}
