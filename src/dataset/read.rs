use bytes::Bytes;

use super::{Block, BlockChecksum, Line, LineSplitter, MAX_ROW_BYTES, Source, SourceError};
use crate::openai::{LineNumber, RequestRow, RowError, RowNumber};

/// A row of a data set, and where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatasetRow {
    /// Its place among the rows.
    pub number: RowNumber,
    /// Its place in the file.
    pub line: LineNumber,
    /// What is to be sent.
    pub request: RequestRow,
}

/// A block's rows cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The data set cannot be read, or is another one than was inspected ([`SourceError::Changed`]).
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A row that inspection found good is not good to this version of the operator.
    #[error("line {line} of the data set passed inspection and cannot be read now")]
    Row {
        /// Where it is.
        line: LineNumber,
        /// What is wrong with it.
        source: RowError,
    },
}

/// Reads all rows of `block`, in order. Each holds its own bytes only, so one that stays long does not keep the block.
///
/// # Errors
///
/// See [`ReadError`]. The block's checksum decides whether the data set has changed, whatever the store says.
pub async fn read_block(source: &Source, block: &Block) -> Result<Vec<DatasetRow>, ReadError> {
    let lines = read_lines(source, block).await?;
    let rows = lines.iter().filter(|line| !line.is_blank());
    rows.zip(block.first_row.0..)
        .map(|(line, number)| row(line, RowNumber(number)))
        .collect()
}

fn row(line: &Line, number: RowNumber) -> Result<DatasetRow, ReadError> {
    let own = Bytes::copy_from_slice(&line.content());
    let request = RequestRow::parse(&own).map_err(|source| ReadError::Row {
        line: line.number,
        source,
    })?;
    Ok(DatasetRow {
        number,
        line: line.number,
        request,
    })
}

/// Reads all lines of `block`, blank ones too, and checks that they are those that were inspected.
pub(super) async fn read_lines(source: &Source, block: &Block) -> Result<Vec<Line>, SourceError> {
    let mut bytes = source.read(block.offset..block.offset + block.length).await?;
    if BlockChecksum::of(&bytes) != block.checksum {
        let what = format!(
            "the {} rows from line {} on are not those that were inspected",
            block.rows, block.first_line
        );
        return Err(source.changed(what));
    }
    let mut splitter = LineSplitter::starting_at(block.first_line, block.offset, MAX_ROW_BYTES);
    let mut lines: Vec<_> = std::iter::from_fn(|| splitter.next_in(&mut bytes)).flatten().collect();
    // No line is lost by flattening: one that is too long is in no block, and the checksum is right.
    lines.extend(splitter.finish().into_iter().flatten());
    Ok(lines)
}
