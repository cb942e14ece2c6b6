use bytes::Bytes;
use serde::de::IgnoredAny;

use super::{Usage, json::for_each_member};

/// What a server answered, kept as the bytes that came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResponseBody {
    bytes: Bytes,
    json: Option<JsonAnswer>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct JsonAnswer {
    usage: Usage,
    model: Option<String>,
}

impl ResponseBody {
    /// Looks at an answer's bytes, which may be anything.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        let json = str::from_utf8(&bytes).ok().and_then(JsonAnswer::parse);
        Self { bytes, json }
    }

    /// The bytes as they came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the whole body is one JSON text (RFC 8259). Verdicts and result rows both go by this.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json.is_some()
    }

    /// The tokens that the server counted; zero where it does not say.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.json.as_ref().map(|answer| answer.usage).unwrap_or_default()
    }

    /// The model that the server says answered.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.json.as_ref()?.model.as_deref()
    }
}

impl JsonAnswer {
    /// `None` when the text is not JSON. Of doubled keys the last one counts, as most readers have it.
    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        let mut answer = Self::default();
        // Ends early at a value that is no object, and at a key with half of a surrogate pair, which JSON allows (RFC 8259,
        // section 8.2) and no string of ours can hold.
        let _ = for_each_member(text, |key, value| match key.as_str() {
            "usage" => answer.usage = Usage::from_json(value.get()),
            "model" => answer.model = serde_json::from_str(value.get()).ok(),
            _ => {}
        });
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &'static str) -> ResponseBody {
        ResponseBody::new(Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn usage_and_model_are_read_from_a_chat_answer() {
        let body = answer(r#"{"model":"m","usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}"#);
        assert_eq!(
            body.usage(),
            Usage {
                prompt_tokens: 7,
                completion_tokens: 5
            }
        );
        assert_eq!(body.model(), Some("m"));
    }

    #[test]
    fn usage_that_is_absent_or_odd_counts_as_zero() {
        for body in [
            "{}",
            r#"{"usage":null}"#,
            r#"{"usage":{"prompt_tokens":-1}}"#,
            "[]",
            "oops",
            "17",
        ] {
            assert_eq!(answer(body).usage(), Usage::default(), "{body}");
        }
        let embeddings = answer(r#"{"usage":{"prompt_tokens":7,"total_tokens":7}}"#);
        assert_eq!(
            embeddings.usage(),
            Usage {
                prompt_tokens: 7,
                completion_tokens: 0
            }
        );
    }

    #[test]
    fn of_doubled_keys_the_last_one_counts() {
        let body = answer(r#"{"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":2,"prompt_tokens":3}}"#);
        assert!(body.is_json());
        assert_eq!(body.usage().prompt_tokens, 3);
    }

    #[test]
    fn only_one_whole_json_text_is_json() {
        let half_a_pair = r#"{"usage":{"prompt_tokens":3},"\ud800":1}"#;
        assert_eq!(answer(half_a_pair).usage().prompt_tokens, 3);
        for body in [
            r#"{"a":1}"#,
            " [1] \n",
            r#""text""#,
            "12345678901234567890",
            "null",
            half_a_pair,
        ] {
            assert!(answer(body).is_json(), "{body}");
        }
        for body in ["", "<html>", "{", "{}{}", "nul", "\u{feff}{}"] {
            assert!(!answer(body).is_json(), "{body}");
        }
        assert!(!ResponseBody::new(Bytes::from_static(b"\"\xff\"")).is_json());
    }
}
