use std::ops::Range;

use bytes::Bytes;

use super::{
    RowError,
    json::{describe, for_each_member, offset_in},
    request::RequestRow,
    scan::Scanner,
};

/// A request's body: a JSON object, kept as the bytes that were given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestBody {
    json: Bytes,
    model: Option<ModelMember>,
    /// Where the value begins that the model reads.
    prompt: Option<usize>,
    has_members: bool,
}

/// Members that the model reads, by endpoint.
fn is_prompt(key: &str) -> bool {
    matches!(key, "messages" | "prompt" | "input")
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct ModelMember {
    name: String,
    value: Range<usize>,
}

impl RequestBody {
    /// The most of a prompt that is compared with others, in bytes.
    const BEGINNING: usize = 256;

    /// Reads a body out of its line; `line_offset` is where in the line it begins, for messages.
    pub(super) fn parse(json: Bytes, line_offset: usize) -> Result<Self, RowError> {
        let text = str::from_utf8(&json).map_err(|error| RowError::NotUtf8 {
            position: line_offset + error.valid_up_to() + 1,
        })?;
        if !text.starts_with('{') {
            return Err(RowError::BodyNotObject { found: describe(text) });
        }
        let mut models = Vec::new();
        let mut streams = Vec::new();
        let (mut prompt, mut has_members) = (None, false);
        for_each_member(text, |key, value| {
            has_members = true;
            match key.as_str() {
                "model" => models.push(value.get()),
                "stream" => streams.push(value.get()),
                key if is_prompt(key) => prompt = Some(offset_in(text, value.get())),
                _ => {}
            }
        })
        .map_err(|error| RowError::from_json(&error, line_offset))?;

        if let Some(stream) = streams.into_iter().find(|value| !matches!(*value, "false" | "null")) {
            return Err(RowError::Stream {
                found: describe(stream),
            });
        }
        let model = match models.as_slice() {
            [] => None,
            [value] => Some(ModelMember::parse(text, value, line_offset)?),
            _ => return Err(RowError::DuplicateModel),
        };
        Ok(Self {
            json,
            model,
            prompt,
            has_members,
        })
    }

    /// Reads a body where `scanner` is in `line`. `None` when something is wrong with it, and for a few odd ones that are good.
    pub(super) fn scan(line: &Bytes, scanner: &mut Scanner<'_>) -> Option<Self> {
        let (start, mut model, mut prompt, mut has_members) = (scanner.position(), None, None, false);
        scanner.object(|scanner, key| {
            has_members = true;
            match key {
                "model" => {
                    let value = scanner.position() - start;
                    let name = scanner.string()?.unescaped()?;
                    let value = value..scanner.position() - start;
                    model.replace(ModelMember { name, value }).is_none().then_some(())
                }
                "stream" => matches!(scanner.value(0)?, "false" | "null").then_some(()),
                key => {
                    if is_prompt(key) {
                        prompt = Some(scanner.position() - start);
                    }
                    // The line and its body are two levels.
                    scanner.value(RequestRow::MAX_DEPTH - 2).map(drop)
                }
            }
        })?;
        Some(Self {
            json: line.slice(start..scanner.position()),
            model,
            prompt,
            has_members,
        })
    }

    /// The body exactly as given.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.json
    }

    /// The name in the top-level `model`, escapes resolved; `None` when there is none.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_ref().map(|model| model.name.as_str())
    }

    /// How what the model reads begins: the first message as far as it is compared, which is often a system prompt that rows share.
    #[must_use]
    pub fn beginning(&self) -> &[u8] {
        let prompt = &self.json[self.prompt.unwrap_or_default()..];
        let longest = &prompt[..prompt.len().min(Self::BEGINNING)];
        // The first closing brace ends a message, or a part of it.
        longest.split(|byte| *byte == b'}').next().unwrap_or(longest)
    }

    /// The body as given, byte for byte, but with `name` as the value of the top-level `model`, which becomes the first
    /// member where there was none.
    #[must_use]
    pub fn with_model(&self, name: &str) -> Bytes {
        let quoted = serde_json::Value::from(name).to_string();
        let Some(ModelMember { value, .. }) = &self.model else {
            let separator = if self.has_members { "," } else { "" };
            let member = format!("\"model\":{quoted}{separator}");
            return self.splice(1..1, &member);
        };
        self.splice(value.clone(), &quoted)
    }

    /// The same, with more members in front of all others: `members` is JSON without the braces, and may be empty.
    #[must_use]
    pub fn with_model_and(&self, name: &str, members: &str) -> Bytes {
        let body = self.with_model(name);
        if members.is_empty() {
            return body;
        }
        // Behind the brace stands the model, at least.
        [b"{".as_slice(), members.as_bytes(), b",", &body[1..]].concat().into()
    }

    /// The first member that has one of these names.
    #[must_use]
    pub fn first_of<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        if names.is_empty() {
            return None;
        }
        let mut first = None;
        let text = str::from_utf8(&self.json).ok()?;
        for_each_member(text, |key, _| {
            first = first.or_else(|| names.iter().copied().find(|name| *name == key));
        })
        .ok()?;
        first
    }

    fn splice(&self, range: Range<usize>, replacement: &str) -> Bytes {
        [
            &self.json[..range.start],
            replacement.as_bytes(),
            &self.json[range.end..],
        ]
        .concat()
        .into()
    }
}

impl ModelMember {
    fn parse(body: &str, value: &str, line_offset: usize) -> Result<Self, RowError> {
        if !value.starts_with('"') {
            return Err(RowError::ModelNotString { found: describe(value) });
        }
        let start = offset_in(body, value);
        let name = serde_json::from_str(value).map_err(|error| RowError::from_json(&error, line_offset + start))?;
        Ok(Self {
            name,
            value: start..start + value.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(json: &str) -> RequestBody {
        RequestBody::parse(Bytes::copy_from_slice(json.as_bytes()), 0).unwrap()
    }

    fn refusal(json: &str) -> String {
        RequestBody::parse(Bytes::copy_from_slice(json.as_bytes()), 0)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn only_the_value_of_the_top_level_model_changes() {
        let cases = [
            (r#"{"model":"a"}"#, r#"{"model":"b"}"#),
            (r#"{"mod\u0065l" : "a" , "x":1.0}"#, r#"{"mod\u0065l" : "b" , "x":1.0}"#),
            (
                r#"{"x":{"model":"n"},"model":""}"#,
                r#"{"x":{"model":"n"},"model":"b"}"#,
            ),
            (r#"{"x":{"model":"n"}}"#, r#"{"model":"b","x":{"model":"n"}}"#),
            (r#"{"x":"\"model\":\"a\""}"#, r#"{"model":"b","x":"\"model\":\"a\""}"#),
            (r"{}", r#"{"model":"b"}"#),
            (r"{ }", r#"{"model":"b" }"#),
            (
                r#"{ "k":1, "k":12345678901234567890, "model"  :  "\u0061" }"#,
                r#"{ "k":1, "k":12345678901234567890, "model"  :  "b" }"#,
            ),
        ];
        for (given, expected) in cases {
            assert_eq!(body(given).with_model("b"), expected, "{given}");
        }
    }

    #[test]
    fn more_members_stand_in_front_and_change_nothing_else() {
        let given = r#"{ "model":"a", "x" : 1.0 }"#;
        assert_eq!(body(given).with_model_and("b", ""), body(given).with_model("b"));
        assert_eq!(
            body(given).with_model_and("b", r#""k":[1],"l":2"#),
            r#"{"k":[1],"l":2, "model":"b", "x" : 1.0 }"#
        );
        assert_eq!(body("{}").with_model_and("b", r#""k":1"#), r#"{"k":1,"model":"b"}"#);
    }

    #[test]
    fn a_member_is_found_at_the_top_however_it_is_written() {
        let names = ["lora", "lora_path"];
        for (given, expected) in [
            (r#"{"x":1,"lora_path":"a","lora":[]}"#, Some("lora_path")),
            (r#"{"l\u006fra":[]}"#, Some("lora")),
            (r#"{"x":{"lora":[]},"y":"lora"}"#, None),
            ("{}", None),
        ] {
            assert_eq!(body(given).first_of(&names), expected, "{given}");
            assert_eq!(body(given).first_of(&[]), None, "{given}");
        }
    }

    #[test]
    fn a_name_that_needs_escapes_reads_back() {
        let name = "a\"b\\c\n\u{e9}\u{1f600}";
        let replaced = body("{}").with_model(name);
        assert_eq!(RequestBody::parse(replaced, 0).unwrap().model(), Some(name));
    }

    #[test]
    fn the_model_is_read_with_its_escapes() {
        assert_eq!(body(r#"{"model":"\u0061/b"}"#).model(), Some("a/b"));
        assert_eq!(body(r#"{"model":""}"#).model(), Some(""));
        assert_eq!(body("{}").model(), None);
    }

    #[test]
    fn a_model_that_is_no_string_or_doubled_is_refused() {
        assert_eq!(
            refusal(r#"{"model":5}"#),
            "body.model is the number 5; write a string, or leave it out for the base model"
        );
        assert_eq!(
            refusal(r#"{"model":null}"#),
            "body.model is null; write a string, or leave it out for the base model"
        );
        assert_eq!(
            refusal(r#"{"model":"a","mod\u0065l":"a"}"#),
            "body.model stands twice; keep one of them"
        );
    }

    #[test]
    fn a_stream_is_refused_in_whatever_form() {
        let expected = "body.stream is true; set it to false or leave it out: a row has one answer";
        assert_eq!(refusal(r#"{"stream":true}"#), expected);
        assert_eq!(refusal(r#"{"stream":false,"stream":true}"#), expected);
        assert!(refusal(r#"{"stream":1}"#).contains("the number 1"));
        assert_eq!(body(r#"{"stream":false}"#).as_bytes(), br#"{"stream":false}"#);
        assert_eq!(body(r#"{"stream":null}"#).as_bytes(), br#"{"stream":null}"#);
    }

    #[test]
    fn rows_of_one_first_message_begin_alike_whatever_stands_before_and_after() {
        let system = r#"[{"role":"system","content":"Be brief."},"#;
        let rows = [
            format!(r#"{{"seed":1,"messages":{system}{{"role":"user","content":"a"}}]}}"#),
            format!(r#"{{"model":"a","messages":{system}{{"role":"user","content":"b"}}],"seed":2}}"#),
        ];
        for row in rows {
            let row = format!(r#"{{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{row}}}"#);
            let scanned = RequestRow::parse(&Bytes::from(row)).unwrap().body;
            let expected = r#"[{"role":"system","content":"Be brief.""#;
            assert_eq!(scanned.beginning(), expected.as_bytes());
            assert_eq!(RequestBody::parse(scanned.json.clone(), 0).unwrap(), scanned);
        }
        assert_eq!(body(r#"{"prompt": "a b"}"#).beginning(), br#""a b""#);
        let long = format!(r#"{{"input":"{}"}}"#, "a".repeat(1000));
        assert_eq!(body(&long).beginning().len(), RequestBody::BEGINNING);
        assert_eq!(body(r#"{"x":1}"#).beginning(), br#"{"x":1"#);
    }

    /// Members of an object whose text is as odd as JSON lets it be.
    fn members() -> impl Strategy<Value = Vec<(String, String, String)>> {
        let space = prop::sample::select(vec!["", " ", "\t ", "  "]);
        let key = prop::sample::select(vec![r#""k""#, r#""k\u0065""#, r#""modell""#, r#""""#, r#""\"model\"""#]);
        let value = prop::sample::select(vec![
            "1.0",
            "12345678901234567890",
            "-0e+5",
            r#""model""#,
            r#""\u00e9\n}""#,
            r#"{"model":"x"}"#,
            r#"[ {"model" : 1} ]"#,
            "null",
        ]);
        prop::collection::vec(
            (space, key, value).prop_map(|(space, key, value)| (space.into(), key.into(), value.into())),
            0..6,
        )
    }

    fn object(members: &[(String, String, String)]) -> String {
        let texts: Vec<_> = members
            .iter()
            .map(|(space, key, value)| format!("{space}{key}{space}:{space}{value}{space}"))
            .collect();
        format!("{{{}}}", texts.join(","))
    }

    proptest! {
        #[test]
        fn replacing_the_model_leaves_every_other_byte(
            before in members(), after in members(), old in ".{0,8}", new in ".{0,8}", escaped_key: bool,
        ) {
            let key = if escaped_key { r#""\u006dodel""# } else { r#""model""# };
            let quoted = |name: &str| serde_json::Value::from(name).to_string();
            let with = |name: &str| {
                let model = (" ".to_owned(), key.to_owned(), quoted(name));
                object(&[before.clone(), vec![model], after.clone()].concat())
            };
            prop_assert_eq!(body(&with(&old)).with_model(&new), with(&new));
        }

        #[test]
        fn an_inserted_model_can_be_cut_out_again(members in members(), name in ".{0,8}") {
            let given = object(&members);
            let inserted = String::from_utf8(body(&given).with_model(&name).into()).unwrap();
            let separator = if members.is_empty() { "" } else { "," };
            let member = format!("{{\"model\":{}{separator}", serde_json::Value::from(name));
            prop_assert_eq!(inserted.replacen(&member, "{", 1), given);
        }
    }
}
