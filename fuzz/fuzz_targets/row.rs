//! The row parser: a line is refused in one line of words, or its body is sent with another model and no other change.

#![no_main]

use std::collections::BTreeMap;

use batch_inference_operator::openai::RequestRow;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

const MODEL: &str = "a \"model\"";

fn members(body: &[u8]) -> BTreeMap<String, Box<RawValue>> {
    serde_json::from_slice(body).expect("a body is a JSON object")
}

fuzz_target!(|input: &[u8]| {
    let line = Bytes::copy_from_slice(input);
    let row = match RequestRow::parse(&line) {
        Ok(row) => row,
        Err(error) => {
            let words = error.to_string();
            assert!(!words.is_empty() && !words.chars().any(char::is_control), "{words:?}");
            return;
        }
    };
    assert!(!row.custom_id.as_str().is_empty());
    let sent = row.body.with_model(MODEL);
    let (mut given, mut sent) = (members(row.body.as_bytes()), members(&sent));
    let model = sent.remove("model").expect("a model");
    assert_eq!(serde_json::from_str::<String>(model.get()).expect("a string"), MODEL);
    given.remove("model");
    let texts = |members: BTreeMap<String, Box<RawValue>>| -> Vec<(String, String)> {
        let text = |(name, value): (String, Box<RawValue>)| (name, value.get().to_owned());
        members.into_iter().map(text).collect()
    };
    assert_eq!(texts(given), texts(sent));
});
