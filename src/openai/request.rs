use std::collections::HashSet;

use bytes::Bytes;

use super::{
    CustomId, Endpoint, Field, RequestBody, RowError,
    json::{depth, describe, for_each_member, offset_in, shortened},
    scan::Scanner,
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
    pub const MAX_DEPTH: u32 = 128;

    /// Fields that a line may have, known and unknown: bounds the memory that one bad line costs.
    pub const MAX_FIELDS: usize = 1000;

    /// Reads one line without its line break. The body stays a slice of `line`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with the line, for its author to read.
    pub fn parse(line: &Bytes) -> Result<Self, RowError> {
        match Self::scan(line) {
            Some(row) => Ok(row),
            None => Self::examine(line),
        }
    }

    /// The name of a row that cannot be read as a whole, where it has one.
    #[must_use]
    pub fn custom_id_of(line: &Bytes) -> Option<CustomId> {
        let text = str::from_utf8(line).ok()?;
        let (mut found, mut is_doubled) = (None, false);
        for_each_member(text, |name, value| {
            if name == "custom_id" {
                is_doubled |= found.replace(value.get()).is_some();
            }
        })
        .ok()?;
        custom_id(text, found.filter(|_| !is_doubled)?).ok()
    }

    /// Reads a line in one pass over its bytes. `None` when something is wrong with it, and for a few odd ones that are good.
    fn scan(line: &Bytes) -> Option<Self> {
        let text = simdutf8::basic::from_utf8(line).ok()?;
        let mut fields = ScannedFields::default();
        let mut scanner = Scanner::new(text);
        scanner.space();
        scanner.object(|scanner, name| fields.scan_member(line, name, scanner))?;
        if !scanner.at_end() || !fields.has_method {
            return None;
        }
        Some(Self {
            custom_id: fields.custom_id?,
            endpoint: fields.endpoint?,
            body: fields.body?,
            unknown_fields: fields.unknown.into_iter().map(shortened).collect(),
        })
    }

    /// Reads a line of which nothing is known, and says what is wrong with it.
    fn examine(line: &Bytes) -> Result<Self, RowError> {
        let text = str::from_utf8(line).map_err(|error| RowError::NotUtf8 {
            position: error.valid_up_to() + 1,
        })?;
        let fields = Fields::parse(text)?;
        if depth(line) > Self::MAX_DEPTH as usize {
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

/// The members of a line that is good as far as it was scanned.
#[derive(Default)]
struct ScannedFields<'a> {
    custom_id: Option<CustomId>,
    has_method: bool,
    endpoint: Option<Endpoint>,
    body: Option<RequestBody>,
    unknown: Vec<&'a str>,
}

impl<'a> ScannedFields<'a> {
    /// Unknown fields that are compared with each other. Lines with more are rare, and examined.
    const MAX_UNKNOWN: usize = 16;

    fn scan_member(&mut self, line: &Bytes, name: &'a str, scanner: &mut Scanner<'a>) -> Option<()> {
        let is_first = match name {
            "custom_id" => {
                let id = CustomId::try_from(scanner.string()?.unescaped()?).ok()?;
                self.custom_id.replace(id).is_none()
            }
            "method" => {
                let is_post = scanner.string()?.plain() == Some("POST");
                is_post && !std::mem::replace(&mut self.has_method, true)
            }
            "url" => {
                let endpoint = scanner.string()?.plain()?.parse().ok()?;
                self.endpoint.replace(endpoint).is_none()
            }
            "body" => self.body.replace(RequestBody::scan(line, scanner)?).is_none(),
            unknown => {
                scanner.value(RequestRow::MAX_DEPTH - 1)?;
                let is_first = self.unknown.len() < Self::MAX_UNKNOWN && !self.unknown.contains(&unknown);
                self.unknown.push(unknown);
                is_first
            }
        };
        is_first.then_some(())
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
    use proptest::prelude::*;

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
        let limit = RequestRow::MAX_DEPTH as usize;
        assert_eq!(refusal(nested(100_000)), expected);
        assert_eq!(refusal(nested(limit - 1)), expected);
        assert!(parse(nested(limit - 2)).is_ok());
        assert!(refusal("[".repeat(100_000)).starts_with("the line is an array"));
        assert!(refusal(format!("{{\"a\":{}", "[".repeat(100_000))).starts_with("the JSON is not finished"));
    }

    /// A line that is good, odd or bad, of which both ways of reading must think alike.
    fn line() -> impl Strategy<Value = String> {
        let member = prop::sample::select(vec![
            r#""custom_id":"a""#,
            r#""custom_id" : "\u0061\n""#,
            r#""custom_id":"\ud800""#,
            r#""custom_id":"""#,
            r#""custom_id":1"#,
            r#""method":"POST""#,
            r#""method":"P\u004fST""#,
            r#""method":"GET""#,
            r#""url":"/v1/completions""#,
            r#""url":"\/v1/completions""#,
            r#""body":{}"#,
            r#""body": {"model":"m","x":[1,{"model":2}]} "#,
            r#""body":{"mod\u0065l":"m","k":1,"k":2}"#,
            r#""body":{"model":"\u006d"}"#,
            r#""body":{"model":"m","model":"m"}"#,
            r#""body":{"model":1}"#,
            r#""body":{"stream":false,"stream":null}"#,
            r#""body":{"stream":true}"#,
            r#""body":[]"#,
            r#""b\u006fdy":{}"#,
            r#""tag":[{"a":"b"}]"#,
            r#""tag":01"#,
            r#""n\u00e9":null"#,
            "",
        ]);
        let good = [
            r#""custom_id":"a""#,
            r#""method":"POST""#,
            r#""url":"/v1/completions""#,
            r#""body":{"n":1.0}"#,
        ];
        let members = (
            prop::collection::vec(member, 0..4),
            prop::collection::vec(0_usize..4, 0..2),
        );
        members.prop_map(move |(mut members, left_out)| {
            let kept = good.iter().enumerate().filter(|(at, _)| !left_out.contains(at));
            members.extend(kept.map(|(_, member)| *member));
            let turn = left_out.len().min(members.len());
            members.rotate_left(turn);
            format!(" {{{}}} ", members.join(","))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn a_scanned_row_is_the_row_that_examining_finds(line in line()) {
            let line = Bytes::from(line);
            if let Some(scanned) = RequestRow::scan(&line) {
                prop_assert_eq!(Ok(scanned), RequestRow::examine(&line));
            }
        }
    }

    #[test]
    fn ordinary_rows_are_scanned() {
        let lines = [
            r#"{"custom_id":"a","method":"POST","url":"/v1/completions","body":{"model":"m","prompt":"x\n"}}"#,
            r#" {"custom_id":"\u0061","tag":{"a":[]},"body":{},"url":"/v1/embeddings","method":"POST"} "#,
        ];
        for line in lines {
            let line = Bytes::from_static(line.as_bytes());
            assert!(RequestRow::scan(&line).is_some());
            assert_eq!(RequestRow::scan(&line), RequestRow::examine(&line).ok());
        }
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
    fn a_bad_row_keeps_its_name_where_it_has_one() {
        let name = |line: &'static str| RequestRow::custom_id_of(&Bytes::from_static(line.as_bytes()));
        let named = name(r#"{"custom_id":"\u0061","method":"GET","body":[]}"#);
        assert_eq!(named.unwrap().as_str(), "a");
        let named = name(r#"{"custom_id":"a","tag":1,"tag":2}"#);
        assert_eq!(named.unwrap().as_str(), "a");
        for line in [
            r#"{"custom_id":"a","custom_id":"a"}"#,
            r#"{"custom_id":"a""#,
            r#"{"custom_id":1}"#,
            r#"{"custom_id":""}"#,
            "{}",
            "[]",
        ] {
            assert_eq!(name(line), None, "{line}");
        }
    }

    #[test]
    fn quoted_values_are_shortened() {
        let message = refusal(format!(r#"{{"custom_id":{}}}"#, "9".repeat(1000)));
        assert!(message.len() < 400, "{message}");
    }
}
