//! The segment reader: no object makes it panic, and one that it takes is written again as it was.
//!
//! Each input is read twice: as it is, and with its checksums and lengths put right, as otherwise nothing gets past them.

#![no_main]

use batch_inference_operator::results::Segment;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const FIRST_LINE: usize = 104;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The input's header and rows as a segment whose checksums are right; `None` when the header is no JSON object.
fn repaired(input: &[u8]) -> Option<Bytes> {
    let rest = input.get(FIRST_LINE..)?;
    let end = rest.iter().position(|byte| *byte == b'\n')? + 1;
    let (header, body) = rest.split_at(end);
    let mut header: Value = serde_json::from_slice(header).ok()?;
    let tells = header.as_object_mut()?;
    tells.insert("body".into(), json!({"bytes": body.len(), "sha256": sha256(body)}));
    let header = format!("{header}\n");
    let first = format!(
        "batchinference.dev/segment/v1 {:08} {}\n",
        header.len(),
        sha256(header.as_bytes())
    );
    Some([first.as_bytes(), header.as_bytes(), body].concat().into())
}

fn read(object: &Bytes) {
    let segment = match Segment::decode(object) {
        Ok(segment) => segment,
        Err(damage) => return assert!(!damage.to_string().is_empty()),
    };
    let written: Bytes = segment.encode().expect("a header is JSON").concat().into();
    assert_eq!(Segment::decode(&written).expect("what was written is read"), segment);
    if let Ok(rows) = segment.rows() {
        let again = Segment::new(segment.header().id, rows.clone());
        let mut kept = rows;
        kept.sort_by_key(|row| row.row);
        kept.dedup_by_key(|row| row.row);
        assert_eq!(again.rows().expect("rows of ours").len(), kept.len());
    }
}

fuzz_target!(|input: &[u8]| {
    read(&Bytes::copy_from_slice(input));
    if let Some(object) = repaired(input) {
        read(&object);
    }
});
