//! The index of a data set: no object makes its reader panic, and one that it takes holds every row once and is written again as it
//! was.

#![no_main]

use batch_inference_operator::dataset::Index;
use batch_inference_operator::openai::RowNumber;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let index = match Index::decode(input) {
        Ok(index) => index,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(Index::decode(&index.encode()).expect("what was written is read"), index);
    assert!((1..=index.rows).contains(&index.rows_to_send()));
    let in_blocks: u64 = index.blocks.iter().map(|block| block.rows).sum();
    assert_eq!(in_blocks + index.skipped.too_long.len() as u64, index.rows);
    for block in &index.blocks {
        let last = RowNumber(block.first_row.0 + block.rows - 1);
        assert_eq!(index.block_of(last), Some(block));
        assert!(block.offset + block.length <= index.text_bytes);
    }
});
