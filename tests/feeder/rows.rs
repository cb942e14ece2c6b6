//! Rows of a data set, with what they ask of the fake model server.

use serde_json::{Value, json};

/// The model that the servers of a test serve.
pub const MODEL: &str = "org/model";

/// A row as JSON, to be spoiled or written as a line. The server counts it by its `custom_id`.
pub fn row_with(id: &str, fake: &Value) -> Value {
    json!({
        "custom_id": id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": MODEL,
            "user": id,
            "messages": [{"role": "user", "content": format!("this is {id}")}],
            "metadata": {"fake": fake},
        },
    })
}

/// The line of a row of which the server does something.
pub fn line_with(id: &str, fake: &Value) -> String {
    format!("{}\n", row_with(id, fake))
}

/// The line of a row that is answered at once.
pub fn line(id: &str) -> String {
    line_with(id, &json!({}))
}

/// The line of a row that is answered once the name is released.
pub fn held_line(id: &str, name: &str) -> String {
    line_with(id, &json!({"hold": name}))
}

/// The line of a row of embeddings that is answered at once.
pub fn embedding_line(id: &str) -> String {
    let mut row = row_with(id, &json!({}));
    row["url"] = json!("/v1/embeddings");
    row["body"]["input"] = row["body"]["messages"].take()[0]["content"].take();
    row["body"].as_object_mut().unwrap().remove("messages");
    format!("{row}\n")
}

/// `row-000` and so on.
pub fn ids(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("row-{number:03}"))
}

/// Lines that are answered at once.
pub fn lines(count: usize) -> String {
    ids(count).map(|id| line(&id)).collect()
}
