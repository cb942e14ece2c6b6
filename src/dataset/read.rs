use bytes::Bytes;

use super::{
    Block, BlockChecksum, Compression, InvalidRowReason, Line, LineSplitter, MAX_ROW_BYTES, SkippedRow, SkippedRows,
    Source, SourceError, forward::ForwardReader,
};
use crate::openai::{LineNumber, RequestRow, RowError, RowNumber, shortened};

/// A row that is to be sent, and where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestRead {
    /// Its place among the rows.
    pub number: RowNumber,
    /// Its place in the file.
    pub line: LineNumber,
    /// What is to be sent.
    pub request: RequestRow,
}

/// A row of a data set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DatasetRow {
    /// It is to be sent.
    Request(RequestRead),
    /// It cannot be sent.
    Skipped(SkippedRow),
}

impl DatasetRow {
    /// Its place among the rows.
    #[must_use]
    pub fn number(&self) -> RowNumber {
        match self {
            Self::Request(row) => row.number,
            Self::Skipped(row) => row.number,
        }
    }
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
    /// A row is good that the index says is none.
    #[error("line {line} of the data set is a good request, and index.json says that it is none")]
    Good {
        /// Where it is.
        line: LineNumber,
    },
}

/// Reads blocks of a data set that was inspected, however it is stored. Blocks are to be asked for in ascending order: in a
/// compressed data set, one that is behind costs reading all anew.
#[derive(Debug)]
pub struct BlockReader(Place);

#[derive(Debug)]
enum Place {
    /// Any block can be read at once.
    Anywhere(Source),
    Forward(Box<ForwardReader>),
}

impl BlockReader {
    /// A reader that has read nothing yet.
    #[must_use]
    pub fn new(source: &Source) -> Self {
        Self(match source.compression() {
            Compression::None => Place::Anywhere(source.clone()),
            Compression::Gzip | Compression::Zstd => Place::Forward(Box::new(ForwardReader::new(source.clone()))),
        })
    }

    /// Reads all rows of `block`, in order; `skipped` are those that inspection refused. Each holds its own bytes only, so one
    /// that stays long does not keep the block.
    ///
    /// # Errors
    ///
    /// See [`ReadError`]; the same block can be asked for again. Its checksum decides whether the data set has changed, whatever
    /// the store says.
    pub async fn rows(&mut self, block: &Block, skipped: &SkippedRows) -> Result<Vec<DatasetRow>, ReadError> {
        let lines = self.lines(block).await?;
        let rows = lines.iter().filter(|line| !line.is_blank());
        let rows = rows.zip((block.first_row.0..).map(RowNumber));
        rows.map(|(line, number)| {
            if skipped.rows.contains(number) {
                return refused_again(line, number, skipped).map(DatasetRow::Skipped);
            }
            request(line, number).map(DatasetRow::Request)
        })
        .collect()
    }

    /// Reads all lines of `block`, blank ones too, and checks that they are those that were inspected.
    pub(super) async fn lines(&mut self, block: &Block) -> Result<Vec<Line>, SourceError> {
        let mut bytes = self.bytes(block).await?;
        if BlockChecksum::of(&bytes) != block.checksum {
            let what = format!(
                "the {} rows from line {} on are not those that were inspected",
                block.rows, block.first_line
            );
            return Err(self.source().changed(what));
        }
        let mut splitter = LineSplitter::starting_at(block.first_line, block.offset, MAX_ROW_BYTES);
        let mut lines: Vec<_> = std::iter::from_fn(|| splitter.next_in(&mut bytes)).flatten().collect();
        // No line is lost by flattening: one that is too long is in no block, and the checksum is right.
        lines.extend(splitter.finish().into_iter().flatten());
        Ok(lines)
    }

    async fn bytes(&mut self, block: &Block) -> Result<Bytes, SourceError> {
        match &mut self.0 {
            Place::Anywhere(source) => source.read(block.offset..block.offset + block.length).await,
            Place::Forward(reader) => reader.read(block).await,
        }
    }

    fn source(&self) -> &Source {
        match &self.0 {
            Place::Anywhere(source) => source,
            Place::Forward(reader) => reader.source(),
        }
    }
}

fn request(line: &Line, number: RowNumber) -> Result<RequestRead, ReadError> {
    let own = Bytes::copy_from_slice(&line.content());
    let request = RequestRow::parse(&own).map_err(|source| ReadError::Row {
        line: line.number,
        source,
    })?;
    Ok(RequestRead {
        number,
        line: line.number,
        request,
    })
}

/// Why a row was refused: it is bad by itself, or it is one of those that repeat an id.
fn refused_again(line: &Line, number: RowNumber, skipped: &SkippedRows) -> Result<SkippedRow, ReadError> {
    let content = line.content();
    let (custom_id, reason) = match RequestRow::parse(&content) {
        Err(error) => (RequestRow::custom_id_of(&content), error.into()),
        Ok(row) if skipped.repeated.contains(number) => {
            let custom_id = shortened(row.custom_id.as_str());
            (Some(row.custom_id), InvalidRowReason::RepeatedCustomId { custom_id })
        }
        Ok(_) => return Err(ReadError::Good { line: line.number }),
    };
    Ok(SkippedRow {
        number,
        line: line.number,
        custom_id,
        reason,
    })
}
