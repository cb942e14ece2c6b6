use bytes::Bytes;
use serde::de::IgnoredAny;

use super::{Usage, json::for_each_member, scan::Scanner};

/// What a server answered, kept as the bytes that came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResponseBody {
    bytes: Bytes,
    /// What it cost; only of JSON.
    usage: Option<Usage>,
}

impl ResponseBody {
    /// Looks at an answer's bytes, which may be anything.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        let text = simdutf8::basic::from_utf8(&bytes).ok();
        let usage = text.and_then(|text| scan(text).or_else(|| examine(text)));
        Self { bytes, usage }
    }

    /// The bytes as they came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes as they came, without looking at them any more.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Whether the whole body is one JSON text (RFC 8259). Verdicts and result rows both go by this.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.usage.is_some()
    }

    /// The tokens that the server counted; zero where it does not say.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage.unwrap_or_default()
    }
}

/// The usage in a JSON object, in one pass over its bytes. `None` for all else, and for a few odd ones that are JSON. Of doubled
/// keys the last one counts, as most readers have it.
fn scan(text: &str) -> Option<Usage> {
    let mut usage = Usage::default();
    let mut scanner = Scanner::new(text);
    scanner.space();
    scanner.object(|scanner, key| {
        let value = scanner.value(Scanner::MAX_LEVELS)?;
        if key == "usage" {
            usage = Usage::from_json(value);
        }
        Some(())
    })?;
    scanner.at_end().then_some(usage)
}

/// The usage in a text of which nothing is known; `None` when it is not JSON.
fn examine(text: &str) -> Option<Usage> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut usage = Usage::default();
    // Ends early at a value that is no object, and at a key with half of a surrogate pair, which JSON allows (RFC 8259,
    // section 8.2) and no string of ours can hold.
    let _ = for_each_member(text, |key, value| {
        if key == "usage" {
            usage = Usage::from_json(value.get());
        }
    });
    Some(usage)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(body: &'static str) -> ResponseBody {
        ResponseBody::new(Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn answers_of_the_engines_are_scanned_in_one_pass() {
        let answers = [
            // vLLM 0.11, with text of many kinds.
            r#"{"id":"chatcmpl-1","object":"chat.completion","created":1764072000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"A \"word\", \u00e9 \ud83d\ude00 é\n","refusal":null,"tool_calls":[]},"logprobs":null,"finish_reason":"stop","stop_reason":null}],"service_tier":null,"usage":{"prompt_tokens":7,"total_tokens":12,"completion_tokens":5,"prompt_tokens_details":null},"kv_transfer_params":null}"#,
            // llama-server, which writes its timings as numbers of every form.
            r#"{"choices":[{"finish_reason":"length","index":0,"message":{"role":"assistant","content":""}}],"usage":{"completion_tokens":5,"prompt_tokens":7},"timings":{"prompt_ms":-1.5e-05,"n":[]}}"#,
            "{\r\n  \"embedding\" : [ 0.1, -2E+3 , {} ],\r\n  \"usage\" : { \"prompt_tokens\" : 7, \"completion_tokens\": 5 }\r\n}\n",
        ];
        let expected = Usage {
            prompt_tokens: 7,
            completion_tokens: 5,
        };
        for answer in answers {
            assert_eq!(scan(answer), Some(expected), "{answer}");
        }
    }

    #[test]
    fn usage_is_read_from_a_chat_answer() {
        let body = answer(r#"{"model":"m","usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}"#);
        assert_eq!(
            body.usage(),
            Usage {
                prompt_tokens: 7,
                completion_tokens: 5
            }
        );
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

    fn body() -> impl Strategy<Value = String> {
        let member = prop::sample::select(vec![
            r#""usage":{"prompt_tokens":7,"completion_tokens":5}"#,
            r#""usage" : {"prompt_tokens":3}"#,
            r#""us\u0061ge":{"prompt_tokens":1}"#,
            r#""usage":[]"#,
            r#""choices":[{"text":"\ud800"}]"#,
            r#""x":01"#,
            r#""x":"\q""#,
            "",
        ]);
        prop::collection::vec(member, 0..4).prop_map(|members| format!(" {{{}}}\n", members.join(",")))
    }

    proptest! {
        #[test]
        fn a_scanned_answer_is_what_examining_finds(body in body()) {
            if let Some(scanned) = scan(&body) {
                prop_assert_eq!(Some(scanned), examine(&body));
            }
        }
    }
}
