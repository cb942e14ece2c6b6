//! Where a file differs whose checksum is wrong although every `custom_id` is in its place. A second look, and only at what
//! has failed: what it needs (`index.json`, segments) may have been deleted, and then the checksum is all that is told.

use crate::dataset::{Block, BlockChecksum, Compression, Index, MAX_ROW_BYTES};
use crate::openai::ResultLine;
use crate::results::{Checksum, Error, INDEX, Kind, Manifest, Replay, ReplayedRow};
use crate::storage::{self, Store};

use super::difference::Difference;
use super::differences::{DESCRIBED, Differences};
use super::lines::{Lines, stream_object};
use super::row::{FilePlace, Name, file_name};
use super::walk::{LONGEST_LINE, without_line_break};

/// Notes the first block of the data set that is not the one that was read, by `index.json`. Not of a compressed one, whose
/// blocks are nowhere in the file.
pub async fn changed_block(
    dataset: &Store,
    key: &str,
    output: &Store,
    manifest: &Manifest,
    differences: &mut Differences,
) -> Result<(), storage::Error> {
    if Compression::of_name(key) != Compression::None {
        return Ok(());
    }
    let index = output.read(INDEX).await?;
    let Some(index) = index.and_then(|bytes| Index::decode(&bytes).ok()) else {
        return Ok(());
    };
    if Checksum::from(<[u8; 32]>::from(index.sha256)) != manifest.dataset.sha256 {
        return Ok(());
    }
    let size = dataset.size(key).await?.unwrap_or(0);
    for block in &index.blocks {
        if !is_unchanged(dataset, key, size, block).await? {
            differences.note(Difference::DatasetBlock {
                row: block.first_row,
                line: block.first_line,
                rows: block.rows,
            });
            return Ok(());
        }
    }
    Ok(())
}

async fn is_unchanged(dataset: &Store, key: &str, size: u64, block: &Block) -> Result<bool, storage::Error> {
    let end = block.offset + block.length;
    // No block that inspection leaves is longer, so this bounds memory.
    if end > size || block.length > 2 * MAX_ROW_BYTES as u64 {
        return Ok(false);
    }
    let bytes = dataset.read_range(key, block.offset..end).await?;
    Ok(BlockChecksum::of(&bytes) == block.checksum)
}

/// Notes the lines that are not what the segments hold.
pub async fn altered_lines(output: &Store, manifest: &Manifest, differences: &mut Differences) -> Result<(), Error> {
    match compare_with_segments(output, manifest, differences).await {
        // A damaged segment says nothing about the files.
        Err(Error::Damaged { .. }) => Ok(()),
        other => other,
    }
}

async fn compare_with_segments(
    output: &Store,
    manifest: &Manifest,
    differences: &mut Differences,
) -> Result<(), Error> {
    let Some(mut replay) = Replay::open(output, &manifest.segments).await? else {
        return Ok(());
    };
    let open = async |kind| stream_object(output, file_name(kind)).await;
    let (Some(results), Some(errors)) = (open(Kind::Result).await?, open(Kind::Error).await?) else {
        return Ok(());
    };
    let mut results = Lines::new(results, Compression::None, LONGEST_LINE);
    let mut errors = Lines::new(errors, Compression::None, LONGEST_LINE);
    let mut noted = 0;
    while let Some(row) = replay.next().await? {
        let file = match row.kind {
            Kind::Result => &mut results,
            Kind::Error => &mut errors,
        };
        let Some(Ok(line)) = file.next().await? else {
            return Ok(());
        };
        if line.raw != row.line {
            let at = FilePlace {
                file: row.kind,
                line: line.number,
            };
            differences.note(altered(&row, at));
            noted += 1;
        }
        if noted == DESCRIBED {
            return Ok(());
        }
    }
    Ok(())
}

fn altered(row: &ReplayedRow, at: FilePlace) -> Difference {
    let stored = ResultLine::parse(&without_line_break(&row.line));
    Difference::Altered {
        at,
        row: row.row,
        name: stored.ok().map(|stored| Name::from(&stored.name).text),
    }
}
