//! The line splitter: however a file is cut into chunks, its lines are the same, and together they are the file.
//!
//! The first byte is the limit of a line, the second the length of a chunk, the rest the file.

#![no_main]

use batch_inference_operator::dataset::{Line, LineSplitter, LineTooLong};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fn split(file: &Bytes, chunk: usize, limit: usize) -> Vec<Result<Line, LineTooLong>> {
    let mut splitter = LineSplitter::new(limit);
    let mut lines = Vec::new();
    for start in (0..file.len()).step_by(chunk) {
        let mut chunk = file.slice(start..file.len().min(start + chunk));
        while let Some(line) = splitter.next_in(&mut chunk) {
            lines.push(line);
        }
    }
    lines.extend(splitter.finish());
    lines
}

fuzz_target!(|input: &[u8]| {
    let [limit, chunk, file @ ..] = input else { return };
    let (limit, chunk) = (usize::from(*limit) + 1, usize::from(*chunk) + 1);
    let file = Bytes::copy_from_slice(file);
    let lines = split(&file, chunk, limit);
    assert_eq!(lines, split(&file, file.len().max(1), limit));
    let mut end = 0;
    for (number, line) in lines.iter().enumerate() {
        let Ok(line) = line else {
            // How long its line break is, is not told; the next line says where it begins.
            end = usize::MAX;
            continue;
        };
        let offset = usize::try_from(line.offset).expect("a file in memory");
        assert_eq!(line.number.0, number as u64 + 1);
        assert!(end == usize::MAX || offset == end);
        assert_eq!(file[offset..offset + line.raw.len()], line.raw);
        assert!(line.content().len() <= limit);
        let _ = line.is_blank();
        end = offset + line.raw.len();
    }
    assert!(end == usize::MAX || end == file.len());
});
