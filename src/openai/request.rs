use std::collections::HashSet;

use bytes::Bytes;

use super::{
    CustomId, Endpoint, Field, RequestBody, RowError,
    json::{depth, describe, for_each_member, offset_in, shortened},
};

/// One line of a data set: a request that is to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestRow {
    /// The row's own name.
    pub custom_id: CustomId,
    /// Where it is sent.
    pub endpoint: Endpoint,
    /// What is sent.
    pub body: RequestBody,
    /// Names of the line's fields that mean nothing to us, shortened. They are not sent.
    pub unknown_fields: Vec<String>,
}

impl RequestRow {
    /// Arrays and objects that may be open at once in a line. Model servers read requests with recursive parsers: a
    /// deeper one would cost a server, not a row.
    pub const MAX_DEPTH: usize = 128;

    /// Fields that a line may have, known and unknown: bounds the memory that one bad line costs.
    pub const MAX_FIELDS: usize = 1000;

    /// Reads one line without its line break. The body stays a slice of `line`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with the line, for its author to read.
    pub fn parse(line: &Bytes) -> Result<Self, RowError> {
        let text = str::from_utf8(line).map_err(|error| RowError::NotUtf8 {
            position: error.valid_up_to() + 1,
        })?;
        let fields = Fields::parse(text)?;
        if depth(line) > Self::MAX_DEPTH {
            return Err(RowError::TooDeep { limit: Self::MAX_DEPTH });
        }
        let custom_id = custom_id(text, required(fields.custom_id, Field::CustomId)?)?;
        let method = required(fields.method, Field::Method)?;
        if string(text, method)?.as_deref() != Some("POST") {
            return Err(RowError::Method {
                found: describe(method),
            });
        }
        let url = required(fields.url, Field::Url)?;
        let endpoint = string(text, url)?
            .and_then(|url| url.parse().ok())
            .ok_or_else(|| RowError::Url { found: describe(url) })?;
        let body = required(fields.body, Field::Body)?;
        let body = RequestBody::parse(line.slice_ref(body.as_bytes()), offset_in(text, body))?;
        Ok(Self {
            custom_id,
            endpoint,
            body,
            unknown_fields: fields.unknown,
        })
    }
}

/// The members of a line, each as the text of its value.
#[derive(Default)]
struct Fields<'a> {
    custom_id: Option<&'a str>,
    method: Option<&'a str>,
    url: Option<&'a str>,
    body: Option<&'a str>,
    unknown: Vec<String>,
}

impl<'a> Fields<'a> {
    fn parse(line: &'a str) -> Result<Self, RowError> {
        if is_other_json(line.trim()) {
            return Err(RowError::NotAnObject { found: describe(line) });
        }
        let mut fields = Self::default();
        let mut names = HashSet::new();
        let mut refused = None;
        for_each_member(line, |name, value| {
            if refused.is_some() {
                return;
            }
            fields.set(&name, value.get());
            if names.len() == RequestRow::MAX_FIELDS {
                refused = Some(RowError::TooManyFields {
                    limit: RequestRow::MAX_FIELDS,
                });
            } else if names.contains(&name) {
                refused = Some(RowError::Duplicate {
                    field: shortened(&name),
                });
            }
            names.insert(name);
        })
        .map_err(|error| RowError::from_json(&error, 0))?;
        refused.map_or(Ok(fields), Err)
    }

    fn set(&mut self, name: &str, value: &'a str) {
        match name {
            "custom_id" => self.custom_id = Some(value),
            "method" => self.method = Some(value),
            "url" => self.url = Some(value),
            "body" => self.body = Some(value),
            unknown => self.unknown.push(shortened(unknown)),
        }
    }
}

/// Whether a line begins as some JSON value other than an object. An array that is not closed is most likely the first
/// line of a file that is one JSON array.
fn is_other_json(line: &str) -> bool {
    let numbers_begin = |first: char| first == '-' || first.is_ascii_digit();
    line.starts_with(['[', '"']) || line.starts_with(numbers_begin) || matches!(line, "null" | "true" | "false")
}

fn required(value: Option<&str>, field: Field) -> Result<&str, RowError> {
    value.ok_or(RowError::Missing { field })
}

fn custom_id(line: &str, value: &str) -> Result<CustomId, RowError> {
    let id = string(line, value)?.ok_or_else(|| RowError::CustomIdNotString { found: describe(value) })?;
    CustomId::try_from(id).map_err(|_| RowError::CustomIdEmpty)
}

/// The text of a JSON string; `None` when the value is something else.
fn string(line: &str, value: &str) -> Result<Option<String>, RowError> {
    if !value.starts_with('"') {
        return Ok(None);
    }
    serde_json::from_str(value)
        .map(Some)
        .map_err(|error| RowError::from_json(&error, offset_in(line, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: impl AsRef<[u8]>) -> Result<RequestRow, RowError> {
        RequestRow::parse(&Bytes::copy_from_slice(line.as_ref()))
    }

    fn refusal(line: impl AsRef<[u8]>) -> String {
        parse(line).unwrap_err().to_string()
    }

    #[test]
    fn a_row_keeps_its_body_byte_for_byte() {
        let body = r#"{ "model":"m" ,"n":1.0,"n":12345678901234567890,"s":"\u00e9" }"#;
        let row = parse(format!(
            r#" {{"custom_id":"a\u0062","method":"POST","url":"/v1/chat/completions", "body" : {body} }} "#
        ))
        .unwrap();
        assert_eq!(row.custom_id.as_str(), "ab");
        assert_eq!(row.endpoint, Endpoint::ChatCompletions);
        assert_eq!(row.body.as_bytes(), body.as_bytes());
        assert_eq!(row.body.model(), Some("m"));
        assert_eq!(row.unknown_fields, Vec::<String>::new());
    }

    #[test]
    fn unknown_fields_are_named_and_do_no_harm() {
        let row = parse(r#"{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{},"tag":1,"note":[]}"#);
        assert_eq!(row.unwrap().unknown_fields, ["tag", "note"]);
    }

    #[test]
    fn each_refusal_says_what_to_write_instead() {
        let cases = [
            ("hello", "not JSON: expected value at column 1"),
            (
                r#"{"custom_id": "a" "method""#,
                "not JSON: expected `,` or `}` at column 19",
            ),
            (
                r#"{"custom_id": 1"#,
                "the JSON is not finished at the end of the line; write each row on one line",
            ),
            ("{} {}", "not JSON: trailing characters at column 4"),
            (
                r#"[{"custom_id":"a"}]"#,
                "the line is an array; write one JSON object on each line",
            ),
            ("null", "the line is null; write one JSON object on each line"),
            ("17", "the line is the number 17; write one JSON object on each line"),
            (
                "{}",
                r#"custom_id is missing; add a text that no other row has: "custom_id": "row-1""#,
            ),
            (
                r#"{"custom_id":17}"#,
                r#"custom_id is the number 17; write it as a string: "17""#,
            ),
            (
                r#"{"custom_id":null}"#,
                "custom_id is null; write a string that no other row has",
            ),
            (
                r#"{"custom_id":""}"#,
                "custom_id is empty; write a text that no other row has",
            ),
            (r#"{"custom_id":"a"}"#, r#"method is missing; add "method": "POST""#),
            (
                r#"{"custom_id":"a","method":"GET"}"#,
                r#"method is the string "GET"; write "POST""#,
            ),
            (
                r#"{"custom_id":"a","method":"POST"}"#,
                r#"url is missing; add "url": "/v1/chat/completions""#,
            ),
            (
                r#"{"custom_id":"a","method":"POST","url":"/v1/images"}"#,
                "url is the string \"/v1/images\"; write one of /v1/chat/completions, /v1/completions, /v1/embeddings",
            ),
            (
                r#"{"custom_id":"a","method":"POST","url":"/v1/completions"}"#,
                r#"body is missing; add the request: "body": {"messages": [...]}"#,
            ),
            (
                r#"{"custom_id":"a","method":"POST","url":"/v1/completions","body":[]}"#,
                r#"body is an array; write the request as an object: {"messages": [...]}"#,
            ),
            (
                r#"{"custom_id":"a","custom_id":"a"}"#,
                "the field `custom_id` stands twice; keep one of them",
            ),
            (
                r#"{"tag":1,"t\u0061g":2}"#,
                "the field `tag` stands twice; keep one of them",
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(refusal(line), expected, "{line}");
        }
    }

    #[test]
    fn a_fault_within_a_string_is_placed_in_the_line() {
        assert_eq!(
            refusal(b"{\"custom_id\":\"\xff\"}"),
            "byte 15 of the line is not UTF-8; save the file as UTF-8"
        );
        let lone = refusal(r#"{"custom_id":"\ud800"}"#);
        assert!(lone.starts_with("not JSON: ") && lone.contains("column 2"), "{lone}");
    }

    #[test]
    fn nesting_is_bounded_and_never_overflows_the_stack() {
        let nested = |levels: usize| {
            format!(
                r#"{{"custom_id":"a","method":"POST","url":"/v1/completions","body":{{"x":{}{}}}}}"#,
                "[".repeat(levels),
                "]".repeat(levels)
            )
        };
        let expected = "nested deeper than 128 levels of arrays and objects; flatten it";
        assert_eq!(refusal(nested(100_000)), expected);
        assert_eq!(refusal(nested(RequestRow::MAX_DEPTH - 1)), expected);
        assert!(parse(nested(RequestRow::MAX_DEPTH - 2)).is_ok());
        assert!(refusal("[".repeat(100_000)).starts_with("the line is an array"));
        assert!(refusal(format!("{{\"a\":{}", "[".repeat(100_000))).starts_with("the JSON is not finished"));
    }

    #[test]
    fn the_number_of_fields_is_bounded() {
        let fields: Vec<_> = (0..=RequestRow::MAX_FIELDS)
            .map(|number| format!("\"f{number}\":0"))
            .collect();
        let line = format!("{{{}}}", fields.join(","));
        assert_eq!(
            refusal(line),
            "more than 1000 fields; a row needs only custom_id, method, url and body"
        );
    }

    #[test]
    fn quoted_values_are_shortened() {
        let message = refusal(format!(r#"{{"custom_id":{}}}"#, "9".repeat(1000)));
        assert!(message.len() < 400, "{message}");
    }
}
