use serde::{Deserialize, Serialize};
use twox_hash::xxhash3_128::Hasher;

use super::{BlockChecksum, Line, MAX_ROW_BYTES};
use crate::openai::{LineNumber, RowNumber};

/// A run of whole lines of the data set, read and checked at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "BlockFields", into = "BlockFields")]
pub struct Block {
    /// The number of its first row.
    pub first_row: RowNumber,
    /// The line of its first row.
    pub first_line: LineNumber,
    /// Where its first line begins in the file, in bytes.
    pub offset: u64,
    /// In bytes, with blank lines and all line breaks.
    pub length: u64,
    /// How many rows it has, at least one.
    pub rows: u64,
    /// Of all its bytes.
    pub checksum: BlockChecksum,
}

impl Block {
    /// The most bytes that one has: a row of the longest, its line break, and blank lines up to the limit.
    const MAX_BYTES: u64 = 2 * MAX_ROW_BYTES as u64;

    /// Whether inspection can have made one with so many rows and bytes.
    pub(super) fn is_possible(&self) -> bool {
        (1..=self.length).contains(&self.rows) && self.length <= Self::MAX_BYTES
    }
}

/// How a block is written in the index: an array, as there are many.
type BlockFields = (RowNumber, LineNumber, u64, u64, u64, BlockChecksum);

impl From<BlockFields> for Block {
    fn from((first_row, first_line, offset, length, rows, checksum): BlockFields) -> Self {
        Self {
            first_row,
            first_line,
            offset,
            length,
            rows,
            checksum,
        }
    }
}

impl From<Block> for BlockFields {
    fn from(block: Block) -> Self {
        (
            block.first_row,
            block.first_line,
            block.offset,
            block.length,
            block.rows,
            block.checksum,
        )
    }
}

/// How large a block may become. A single row may be larger and is then a block of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockLimits {
    /// Rows in a block.
    pub rows: u64,
    /// Bytes of a block.
    pub bytes: u64,
}

impl Default for BlockLimits {
    /// 4096 rows or 2 MiB: a good size to read at once, and about 75 bytes of index for it, so some 20 KiB for a
    /// million short rows and 4 MiB for 100 GB.
    fn default() -> Self {
        Self {
            rows: 4096,
            bytes: 2 * 1024 * 1024,
        }
    }
}

/// Gathers lines into blocks.
pub(super) struct BlockBuilder {
    limits: BlockLimits,
    blocks: Vec<Block>,
    open: Option<OpenBlock>,
}

struct OpenBlock {
    first_row: RowNumber,
    first_line: LineNumber,
    offset: u64,
    length: u64,
    rows: u64,
    hasher: Hasher,
}

impl BlockBuilder {
    pub(super) fn new(limits: BlockLimits) -> Self {
        Self {
            limits,
            blocks: Vec::new(),
            open: None,
        }
    }

    /// Adds the line that holds `row`.
    pub(super) fn push_row(&mut self, row: RowNumber, line: &Line) {
        self.close_unless_fits(line, 1);
        let open = self.open.get_or_insert_with(|| OpenBlock {
            first_row: row,
            first_line: line.number,
            offset: line.offset,
            length: 0,
            rows: 0,
            hasher: Hasher::new(),
        });
        open.rows += 1;
        open.extend(line);
    }

    /// Adds a line without a row. Between blocks it belongs to none.
    pub(super) fn push_blank(&mut self, line: &Line) {
        self.close_unless_fits(line, 0);
        if let Some(open) = &mut self.open {
            open.extend(line);
        }
    }

    /// Ends the block before something that can be in none.
    pub(super) fn close(&mut self) {
        self.blocks.extend(self.open.take().map(OpenBlock::close));
    }

    /// The blocks so far, the open one with them.
    pub(super) fn finish(mut self) -> Vec<Block> {
        self.close();
        self.blocks
    }

    fn close_unless_fits(&mut self, line: &Line, rows: u64) {
        let fits = self.open.as_ref().is_none_or(|open| {
            open.rows + rows <= self.limits.rows && open.length + line.raw.len() as u64 <= self.limits.bytes
        });
        if !fits {
            self.close();
        }
    }
}

impl OpenBlock {
    fn extend(&mut self, line: &Line) {
        self.length += line.raw.len() as u64;
        self.hasher.write(&line.raw);
    }

    fn close(self) -> Block {
        Block {
            first_row: self.first_row,
            first_line: self.first_line,
            offset: self.offset,
            length: self.length,
            rows: self.rows,
            checksum: self.hasher.finish_128().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::dataset::LineSplitter;

    /// The blocks of a file, each as first row, first line and bytes.
    fn blocks(file: &'static str, limits: BlockLimits) -> Vec<(u64, u64, &'static str)> {
        let mut builder = BlockBuilder::new(limits);
        let mut splitter = LineSplitter::new(1000);
        let mut chunk = Bytes::from_static(file.as_bytes());
        let mut row = 0;
        let mut lines: Vec<_> = std::iter::from_fn(|| splitter.next_in(&mut chunk)).collect();
        lines.extend(splitter.finish());
        for line in lines {
            let line = line.unwrap();
            if line.is_blank() {
                builder.push_blank(&line);
            } else {
                builder.push_row(RowNumber(row), &line);
                row += 1;
            }
        }
        let range = |block: &Block| {
            let start = usize::try_from(block.offset).unwrap();
            &file[start..start + usize::try_from(block.length).unwrap()]
        };
        builder
            .finish()
            .iter()
            .inspect(|block| assert_eq!(block.checksum, BlockChecksum::of(range(block).as_bytes())))
            .map(|block| (block.first_row.0, block.first_line.0, range(block)))
            .collect()
    }

    #[test]
    fn blocks_end_at_the_row_limit() {
        let limits = BlockLimits { rows: 2, bytes: 100 };
        assert_eq!(
            blocks("a\nb\nc\nd\ne", limits),
            [(0, 1, "a\nb\n"), (2, 3, "c\nd\n"), (4, 5, "e")]
        );
        assert_eq!(blocks("", limits), []);
    }

    #[test]
    fn blocks_end_at_the_byte_limit_and_a_longer_row_stands_alone() {
        let limits = BlockLimits { rows: 100, bytes: 4 };
        assert_eq!(
            blocks("a\nb\nlonger\nc\n", limits),
            [(0, 1, "a\nb\n"), (2, 3, "longer\n"), (3, 4, "c\n")]
        );
    }

    #[test]
    fn blank_lines_stay_within_a_block_and_never_make_it_larger_than_the_limit() {
        let limits = |bytes| BlockLimits { rows: 100, bytes };
        let file = "\n\na\n \nb\n\n\n\nc\n";
        assert_eq!(
            blocks(file, limits(5)),
            [(0, 3, "a\n \n"), (1, 5, "b\n\n\n\n"), (2, 9, "c\n")]
        );
        assert_eq!(blocks(file, limits(6)), [(0, 3, "a\n \nb\n"), (2, 9, "c\n")]);
        assert_eq!(
            blocks("a\r\n\r\nb\r\n", limits(6)),
            [(0, 1, "a\r\n\r\n"), (1, 3, "b\r\n")]
        );
        assert_eq!(blocks("\n\n\n", limits(6)), []);
    }
}
