use std::collections::{BTreeMap, BTreeSet};

use super::{Block, BlockReader, InvalidRowReason, Line, Source, SourceError, custom_ids::Duplicate};
use crate::openai::{LineNumber, RequestRow, RowNumber, shortened};

/// Where a row is, and what it is called, shortened.
struct Named {
    line: LineNumber,
    custom_id: String,
}

/// Names the lines and ids of duplicates, by reading their rows again: of their ids only hashes were kept.
///
/// # Errors
///
/// The data set cannot be read, or has changed.
pub(super) async fn describe(
    source: &Source,
    blocks: &[Block],
    duplicates: &BTreeSet<Duplicate>,
) -> Result<Vec<(LineNumber, InvalidRowReason)>, SourceError> {
    let rows = duplicates
        .iter()
        .flat_map(|duplicate| [duplicate.first, duplicate.second]);
    let mut named = read(source, blocks, &rows.collect()).await?;
    let described = duplicates.iter().filter_map(|duplicate| {
        let first = named.get(&duplicate.first)?.line;
        let Named { line, custom_id } = named.remove(&duplicate.second)?;
        Some((line, InvalidRowReason::DuplicateCustomId { custom_id, first }))
    });
    let described: Vec<_> = described.collect();
    if described.len() < duplicates.len() {
        return Err(source.changed("a row whose custom_id stands twice is not there any more".to_owned()));
    }
    Ok(described)
}

/// Reads some rows, each block at most once and in ascending order.
async fn read(
    source: &Source,
    blocks: &[Block],
    rows: &BTreeSet<RowNumber>,
) -> Result<BTreeMap<RowNumber, Named>, SourceError> {
    let mut reader = BlockReader::new(source);
    let mut found = BTreeMap::new();
    for block in blocks {
        let end = RowNumber(block.first_row.0 + block.rows);
        if rows.range(block.first_row..end).next().is_none() {
            continue;
        }
        let lines = reader.lines(block).await?;
        let in_rows = lines.iter().filter(|line| !line.is_blank());
        let numbered = (block.first_row.0..).map(RowNumber).zip(in_rows);
        let wanted = numbered.filter(|(number, _)| rows.contains(number));
        found.extend(wanted.filter_map(|(number, line)| Some((number, name(line)?))));
    }
    Ok(found)
}

fn name(line: &Line) -> Option<Named> {
    let custom_id = RequestRow::custom_id_of(&line.content())?;
    Some(Named {
        line: line.number,
        custom_id: shortened(custom_id.as_str()),
    })
}
