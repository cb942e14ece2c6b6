//! A line of `results.jsonl` or `errors.jsonl`: no line makes its reader panic, and one that it takes is JSON.

#![no_main]

use batch_inference_operator::openai::ResultLine;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|input: &[u8]| {
    match ResultLine::parse(&Bytes::copy_from_slice(input)) {
        Ok(_) => assert!(serde_json::from_slice::<&RawValue>(input).is_ok()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
