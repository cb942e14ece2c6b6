//! Data sets: rows in the OpenAI batch format, each with its wish to the fake model server.

use serde_json::{Value, json};

/// A chat row. Its `user` tells the fake server which row it is.
pub fn chat(id: &str, model: &str, fake: &Value) -> String {
    let body = json!({
        "model": model,
        "user": id,
        "messages": [{"role": "user", "content": format!("this is {id}")}],
        "metadata": {"fake": fake},
    });
    json!({"custom_id": id, "method": "POST", "url": "/v1/chat/completions", "body": body}).to_string()
}

/// Chat rows `row-0`, `row-1`, ... that all ask the same of the server.
pub fn chats(count: usize, fake: &Value) -> String {
    (0..count)
        .map(|number| chat(&format!("row-{number}"), "", fake) + "\n")
        .collect()
}

/// Twenty rows that are answered at once and one that is held, as `held`.
pub fn twenty_and_one_held() -> String {
    chats(20, &json!({})) + &chat("held", "", &json!({"hold": "held"}))
}
