//! `OpenAI`'s form for LoRAX's answers: a few values that its router fills in with something else are put right in place, and every other
//! byte stays.
//!
//! Facts: predibase/lorax a7394ba, `router/src/lib.rs` (`ChatCompletionResponse`, `CompletionResponse`, `CompletionFinishReason`).

use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::openai::{Endpoint, offset_in};

/// What the answer to a request should say.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Where the request was sent.
    pub endpoint: Endpoint,
    /// Names the request.
    pub id: &'a str,
    /// The `model` that it was sent with.
    pub model: &'a str,
    /// When the answer came, in seconds since 1970.
    pub created: i64,
}

/// The members that may be wrong.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    object: Option<&'a RawValue>,
    created: Option<&'a RawValue>,
    model: Option<&'a RawValue>,
    #[serde(default)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
}

/// The answer with what LoRAX says otherwise put right; one that is no answer of its router stays as it is.
#[must_use]
pub fn in_openai_form(body: Bytes, told: &Told<'_>) -> Bytes {
    let Some(edits) = edits(&body, told).filter(|edits| !edits.is_empty()) else {
        return body;
    };
    let mut written = Vec::with_capacity(body.len() + told.id.len() + told.model.len());
    let mut copied = 0;
    for (range, value) in edits {
        written.extend_from_slice(&body[copied..range.start]);
        written.extend_from_slice(value.as_bytes());
        copied = range.end;
    }
    written.extend_from_slice(&body[copied..]);
    written.into()
}

/// What to replace, from front to back.
fn edits(body: &[u8], told: &Told<'_>) -> Option<Vec<(Range<usize>, String)>> {
    let text = str::from_utf8(body).ok()?;
    let answer: Answer<'_> = serde_json::from_str(text).ok()?;
    let quoted = |value: &str| serde_json::Value::from(value).to_string();
    let mut edits = Vec::new();
    let mut replace = |value: Option<&RawValue>, wrong: &str, right: &str| {
        if let Some(value) = value.map(RawValue::get).filter(|value| *value == wrong) {
            let start = offset_in(text, value);
            edits.push((start..start + value.len(), right.to_owned()));
        }
    };
    replace(answer.id, "\"null\"", &quoted(told.id));
    replace(answer.model, "\"null\"", &quoted(told.model));
    replace(answer.created, "0", &told.created.to_string());
    if told.endpoint == Endpoint::ChatCompletions {
        replace(answer.object, "\"text_completion\"", "\"chat.completion\"");
    }
    for choice in answer.choices {
        // LoRAX filters nothing: it says so of an answer that a stop sequence ended.
        replace(choice.finish_reason, "\"content_filter\"", "\"stop\"");
    }
    edits.sort_by_key(|(range, _)| range.start);
    Some(edits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(endpoint: Endpoint, body: &str) -> String {
        let told = Told {
            endpoint,
            id: "row-1",
            model: "org/\"model\"",
            created: 1_764_072_000,
        };
        let bytes = in_openai_form(Bytes::copy_from_slice(body.as_bytes()), &told);
        String::from_utf8(bytes.into()).expect("text")
    }

    #[test]
    fn a_chat_answer_gets_its_name_its_kind_and_its_reason() {
        let chat = r#"{"id":"null", "object":"text_completion","created":1764000000,"model":"org/model","choices":[{"index":0,"message":{"role":"assistant","content":"\"id\":\"null\" \u00e9"},"finish_reason":"content_filter"},{"index":1,"message":{},"finish_reason":"length"}],"usage":{"prompt_tokens":7,"total_tokens":12,"completion_tokens":5},"system_fingerprint":"0.1.0-native"}"#;
        let want = r#"{"id":"row-1", "object":"chat.completion","created":1764000000,"model":"org/model","choices":[{"index":0,"message":{"role":"assistant","content":"\"id\":\"null\" \u00e9"},"finish_reason":"stop"},{"index":1,"message":{},"finish_reason":"length"}],"usage":{"prompt_tokens":7,"total_tokens":12,"completion_tokens":5},"system_fingerprint":"0.1.0-native"}"#;
        assert_eq!(repaired(Endpoint::ChatCompletions, chat), want);
    }

    #[test]
    fn an_answer_to_a_prompt_gets_its_name_its_model_and_its_time() {
        let text = r#"{"id":"null","object":"text_completion","created":0,"model":"null","choices":[{"index":0,"text":"x","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"total_tokens":12,"completion_tokens":5}}"#;
        let want = r#"{"id":"row-1","object":"text_completion","created":1764072000,"model":"org/\"model\"","choices":[{"index":0,"text":"x","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"total_tokens":12,"completion_tokens":5}}"#;
        assert_eq!(repaired(Endpoint::Completions, text), want);
    }

    #[test]
    fn the_order_of_members_does_not_matter() {
        let text = r#"{"choices":[{"finish_reason":"content_filter"}],"model":"null","id":"null"}"#;
        let want = r#"{"choices":[{"finish_reason":"stop"}],"model":"org/\"model\"","id":"row-1"}"#;
        assert_eq!(repaired(Endpoint::Completions, text), want);
    }

    #[test]
    fn what_is_no_answer_of_the_router_stays_as_it_is() {
        for body in [
            r#"{"error":"Model is overloaded","error_type":"overloaded"}"#,
            r#"{"object":"list","data":[{"index":0,"object":"embedding","embedding":[0.1]}],"model":"org/model"}"#,
            r#"{"id":"null","id":"null"}"#,
            r#"{"id":"null","#,
            "length limit exceeded",
            "[]",
            "",
        ] {
            assert_eq!(repaired(Endpoint::ChatCompletions, body), body);
        }
        let not_text = Bytes::from_static(b"{\"id\":\"null\",\"x\":\"\xff\"}");
        let told = Told {
            endpoint: Endpoint::Completions,
            id: "row-1",
            model: "m",
            created: 1,
        };
        assert_eq!(in_openai_form(not_text.clone(), &told), not_text);
    }
}
