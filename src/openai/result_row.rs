use std::borrow::Cow;

use super::{CustomId, LineNumber, ResponseBody};

/// The `error.code` of a row whose server answered something other than JSON.
pub const RESPONSE_NOT_JSON: &str = "response_not_json";

/// The `error.code` of a row that could not be sent, as its line of the data set is no good request.
pub const INVALID_ROW: &str = "invalid_row";

/// The most of a body that is not JSON which becomes `error.message`, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// One line of `results.jsonl` or `errors.jsonl`, in the shape of an `OpenAI` batch output row.
#[derive(Clone, Copy, Debug)]
pub struct ResultRow<'a> {
    /// Names this result.
    pub id: &'a str,
    /// The request's own name. Only a line that is no good request may have none.
    pub custom_id: Option<&'a CustomId>,
    /// What came of the request.
    pub outcome: Outcome<'a>,
}

/// What came of a request.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// A server answered, whatever the status.
    Answered {
        /// The HTTP status.
        status_code: u16,
        /// Names the request in the server's log.
        request_id: &'a str,
        /// The answer.
        body: &'a ResponseBody,
    },
    /// There is no answer: `response` is null.
    Unanswered {
        /// A constant for programs, such as `batch_expired`.
        code: &'a str,
        /// A sentence for people.
        message: &'a str,
    },
    /// It was never sent, as its line of the data set is no good request. `error.line` is as in `errors.data` of `OpenAI`'s batch
    /// object: <https://platform.openai.com/docs/api-reference/batch/object>.
    Invalid {
        /// The line of the data set.
        line: LineNumber,
        /// What is wrong with it.
        message: &'a str,
    },
}

impl ResultRow<'_> {
    /// About how long its line becomes: no less, unless something in it has to be escaped.
    fn length(&self) -> usize {
        /// All names, and numbers.
        const FRAME: usize = 128;
        let custom_id = self.custom_id.map_or(0, |id| id.as_str().len());
        let outcome = match self.outcome {
            Outcome::Answered { request_id, body, .. } => {
                let body_bytes = body.as_bytes().len();
                let most = if body.is_json() { body_bytes } else { MAX_MESSAGE_BYTES };
                request_id.len() + body_bytes.min(most)
            }
            Outcome::Unanswered { code, message } => code.len() + message.len(),
            Outcome::Invalid { message, .. } => message.len(),
        };
        FRAME + self.id.len() + custom_id + outcome
    }

    /// Appends the row as one line, without a line break at its end. A JSON body passes through byte for byte, but for
    /// raw line breaks, which become spaces; in JSON they can only stand between tokens (RFC 8259, sections 2 and 7). Another
    /// body becomes `error.message`: its first 64 KiB, as far as it is UTF-8.
    pub fn write_to(&self, line: &mut Vec<u8>) {
        line.reserve(self.length());
        line.extend_from_slice(b"{\"id\":");
        push_string(line, self.id);
        line.extend_from_slice(b",\"custom_id\":");
        match self.custom_id {
            Some(custom_id) => push_string(line, custom_id.as_str()),
            None => line.extend_from_slice(b"null"),
        }
        match self.outcome {
            Outcome::Answered {
                status_code,
                request_id,
                body,
            } => push_answer(line, status_code, request_id, body),
            Outcome::Unanswered { code, message } => {
                line.extend_from_slice(b",\"response\":null");
                push_error(line, code, message, None);
            }
            Outcome::Invalid { line: number, message } => {
                line.extend_from_slice(b",\"response\":null");
                push_error(line, INVALID_ROW, message, Some(number));
            }
        }
        line.push(b'}');
    }
}

fn push_answer(line: &mut Vec<u8>, status_code: u16, request_id: &str, body: &ResponseBody) {
    line.extend_from_slice(format!(",\"response\":{{\"status_code\":{status_code},\"request_id\":").as_bytes());
    push_string(line, request_id);
    line.extend_from_slice(b",\"body\":");
    if body.is_json() {
        push_on_one_line(line, body.as_bytes());
        line.extend_from_slice(b"},\"error\":null");
    } else {
        line.extend_from_slice(b"null}");
        push_error(line, RESPONSE_NOT_JSON, &message_of(body.as_bytes()), None);
    }
}

/// JSON with spaces for its raw line breaks.
fn push_on_one_line(line: &mut Vec<u8>, json: &[u8]) {
    let start = line.len();
    line.extend_from_slice(json);
    for at in memchr::memchr2_iter(b'\n', b'\r', json) {
        line[start + at] = b' ';
    }
}

fn push_error(line: &mut Vec<u8>, code: &str, message: &str, of_line: Option<LineNumber>) {
    line.extend_from_slice(b",\"error\":{\"code\":");
    push_string(line, code);
    line.extend_from_slice(b",\"message\":");
    push_string(line, message);
    if let Some(number) = of_line {
        line.extend_from_slice(format!(",\"line\":{number}").as_bytes());
    }
    line.push(b'}');
}

fn push_string(line: &mut Vec<u8>, text: &str) {
    // Cannot fail: a text can always be written as JSON, and memory always takes it.
    let _ = serde_json::to_writer(line, text);
}

fn message_of(body: &[u8]) -> Cow<'_, str> {
    // Room for one more character, so that one cut apart here is cut off below. Making a body lossy never shortens it.
    let start = &body[..body.len().min(MAX_MESSAGE_BYTES + 4)];
    match String::from_utf8_lossy(start) {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..text.floor_char_boundary(MAX_MESSAGE_BYTES)]),
        Cow::Owned(mut text) => {
            text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::Value;

    use super::*;

    fn row(outcome: Outcome<'_>) -> String {
        let custom_id = CustomId::try_from("row \"1\"\n".to_owned()).unwrap();
        let mut line = Vec::new();
        ResultRow {
            id: "batch_req_7",
            custom_id: Some(&custom_id),
            outcome,
        }
        .write_to(&mut line);
        String::from_utf8(line).unwrap()
    }

    fn answered(status_code: u16, body: &[u8]) -> String {
        let body = ResponseBody::new(Bytes::copy_from_slice(body));
        row(Outcome::Answered {
            status_code,
            request_id: "req-1",
            body: &body,
        })
    }

    fn message(body: &[u8]) -> String {
        let parsed: Value = serde_json::from_str(&answered(502, body)).unwrap();
        assert_eq!(parsed["response"]["body"], Value::Null);
        assert_eq!(parsed["error"]["code"], RESPONSE_NOT_JSON);
        parsed["error"]["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_json_answer_passes_through_byte_for_byte() {
        let body = r#" { "a" :1.0,"a":12345678901234567890 , "s":"\u00e9\n\/" } "#;
        assert_eq!(
            answered(200, body.as_bytes()),
            format!(
                r#"{{"id":"batch_req_7","custom_id":"row \"1\"\n","response":{{"status_code":200,"request_id":"req-1","body":{body}}},"error":null}}"#
            )
        );
    }

    #[test]
    fn line_breaks_between_tokens_become_spaces() {
        let line = answered(200, b"{\r\n  \"a\":\n1\n}\n");
        assert!(line.contains("\"body\":{    \"a\": 1 } }"), "{line}");
    }

    #[test]
    fn an_error_status_with_a_json_body_keeps_the_body() {
        let line = answered(400, br#"{"error":{"message":"too long"}}"#);
        assert!(line.contains(
            r#""status_code":400,"request_id":"req-1","body":{"error":{"message":"too long"}}},"error":null"#
        ));
    }

    #[test]
    fn a_body_that_is_not_json_becomes_the_message() {
        assert_eq!(message(b"<html>\nBad \"Gateway\"\n"), "<html>\nBad \"Gateway\"\n");
        assert_eq!(message(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(message(b""), "");
    }

    #[test]
    fn the_message_is_cut_at_a_character() {
        let long = "x".to_owned() + &"\u{1f600}".repeat(40_000);
        let cut = message(long.as_bytes());
        assert_eq!(cut.len(), 1 + 4 * 16_383);
        assert!(long.starts_with(&cut));
        let garbage = message(&vec![0xff; 100_000]);
        assert!(garbage.len() <= MAX_MESSAGE_BYTES && garbage.chars().all(|character| character == '\u{fffd}'));
    }

    #[test]
    fn a_row_without_an_answer_has_a_null_response() {
        assert_eq!(
            row(Outcome::Unanswered {
                code: "batch_expired",
                message: "out of time"
            }),
            r#"{"id":"batch_req_7","custom_id":"row \"1\"\n","response":null,"error":{"code":"batch_expired","message":"out of time"}}"#
        );
    }

    #[test]
    fn an_invalid_row_has_its_line_and_perhaps_no_name() {
        let outcome = Outcome::Invalid {
            line: LineNumber(7),
            message: "not JSON",
        };
        let mut line = Vec::new();
        let nameless = ResultRow {
            id: "batch_req_7",
            custom_id: None,
            outcome,
        };
        nameless.write_to(&mut line);
        let rest = r#""response":null,"error":{"code":"invalid_row","message":"not JSON","line":7}}"#;
        assert_eq!(
            String::from_utf8(line).unwrap(),
            format!(r#"{{"id":"batch_req_7","custom_id":null,{rest}"#)
        );
        assert!(row(outcome).ends_with(rest), "{}", row(outcome));
    }
}
