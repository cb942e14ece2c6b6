//! The manifest: no object makes its reader panic, and one that it takes says the same when it is written again.

#![no_main]

use batch_inference_operator::results::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let manifest = match Manifest::parse(input) {
        Ok(manifest) => manifest,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let written = serde_json::to_vec_pretty(&manifest).expect("a manifest is JSON");
    let again = Manifest::parse(&written).expect("what was written is read");
    assert_eq!(again, manifest);
});
