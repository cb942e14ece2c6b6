use serde::{Deserialize, Serialize};

use super::{AdapterRows, Block, ModelNames, Sha256Digest, SkippedRows, UnknownField};
use crate::openai::{LineNumber, RowNumber};

/// What inspection leaves behind, so that a restart neither inspects nor plans again: what the data set was, and where its
/// rows are.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// How many rows the data set has, skipped ones with them; at least one can be sent.
    pub rows: u64,
    /// The size of the file as it is stored.
    pub bytes: u64,
    /// The size of its text: more, when it is compressed.
    pub text_bytes: u64,
    /// What the store said about the object: size, time, entity tag. For people; blocks are checked by their checksums.
    pub version: String,
    /// Of the whole file as it is stored.
    pub sha256: Sha256Digest,
    /// The names that rows were allowed to have: with fewer, its rows may not be good any more.
    pub model_names: ModelNames,
    /// The first ten fields that rows have and that are not sent.
    pub unknown_fields: Vec<UnknownField>,
    /// The adapters that rows name, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<AdapterRows>,
    /// Rows that are not sent.
    pub skipped: SkippedRows,
    /// All rows in order, but for those that are too long.
    pub blocks: Vec<Block>,
}

/// Bytes that are not an index of ours.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not JSON, or not the right fields.
    #[error("the index of the data set cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// Something else, or written by another version of the operator.
    #[error("the index of the data set has format `{format}` version {version}, not `{FORMAT}` version {VERSION}")]
    OtherFormat {
        /// The format that it names.
        format: String,
        /// The version of the format that it names.
        version: u64,
    },
    /// Its blocks do not hold every row once and in order.
    #[error("the index of the data set contradicts itself from row {row} on")]
    Inconsistent {
        /// The first row that is not where it should be.
        row: RowNumber,
    },
}

const FORMAT: &str = "batchinference.dev/dataset-index";
const VERSION: u64 = 3;

/// What every version of the format begins with.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    format: String,
    format_version: u64,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    header: Header,
    #[serde(flatten)]
    index: &'a Index,
}

impl Index {
    /// The index as one line of JSON.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "it cannot panic")]
    pub fn encode(&self) -> Vec<u8> {
        let header = Header {
            format: FORMAT.to_owned(),
            format_version: VERSION,
        };
        // Cannot fail: writing to memory does not, and there is no map with keys other than strings.
        serde_json::to_vec(&Document { header, index: self }).expect("an index is always valid JSON")
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// The bytes are something else, or an index that contradicts itself.
    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let header: Header = serde_json::from_slice(bytes).map_err(IndexError::Malformed)?;
        if header.format != FORMAT || header.format_version != VERSION {
            return Err(IndexError::OtherFormat {
                format: header.format,
                version: header.format_version,
            });
        }
        let index: Self = serde_json::from_slice(bytes).map_err(IndexError::Malformed)?;
        index.check()?;
        Ok(index)
    }

    /// The block that holds `row`.
    #[must_use]
    pub fn block_of(&self, row: RowNumber) -> Option<&Block> {
        let after = self.blocks.partition_point(|block| block.first_row <= row);
        let block = self.blocks.get(after.checked_sub(1)?)?;
        (row.0 - block.first_row.0 < block.rows).then_some(block)
    }

    /// How many rows can be sent.
    #[must_use]
    pub fn rows_to_send(&self) -> u64 {
        self.rows - self.skipped.rows.len()
    }

    /// How many rows are good requests by themselves, also where their `custom_id` is an earlier row's: those are counted by adapter.
    #[must_use]
    pub fn good_rows(&self) -> u64 {
        self.rows_to_send() + self.skipped.repeated.len()
    }

    fn check(&self) -> Result<(), IndexError> {
        let (mut row, mut line, mut offset) = (0, LineNumber::FIRST, 0);
        let mut too_long = self.skipped.too_long.iter().map(|row| row.row.0).peekable();
        for block in &self.blocks {
            while too_long.next_if_eq(&row).is_some() {
                row += 1;
            }
            let follows = block.first_row.0 == row && block.first_line >= line && block.offset >= offset;
            let end = block.offset.checked_add(block.length);
            let end = end.filter(|end| follows && block.is_possible() && *end <= self.text_bytes);
            let (Some(end), Some(next_line)) = (end, block.first_line.0.checked_add(block.rows)) else {
                return Err(IndexError::Inconsistent { row: RowNumber(row) });
            };
            // No overflow: a row is at least one byte of the text.
            row += block.rows;
            line = LineNumber(next_line);
            offset = end;
        }
        while too_long.next_if_eq(&row).is_some() {
            row += 1;
        }
        if too_long.next().is_some() || row != self.rows || !self.skipped.are_some_of(row) {
            return Err(IndexError::Inconsistent { row: RowNumber(row) });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{BlockChecksum, SkippedLine, TooLongRow};

    fn block(first_row: u64, first_line: u64, offset: u64, length: u64, rows: u64) -> Block {
        Block {
            first_row: RowNumber(first_row),
            first_line: LineNumber(first_line),
            offset,
            length,
            rows,
            checksum: BlockChecksum::of(b""),
        }
    }

    fn index() -> Index {
        Index {
            rows: 5,
            bytes: 300,
            text_bytes: 700,
            version: "size=700 etag=\"1\"".to_owned(),
            sha256: Sha256Digest::of(b"file"),
            model_names: ModelNames::new(["org/model", "gpt-4o-mini"]),
            unknown_fields: vec![UnknownField {
                name: "tag".to_owned(),
                rows: 4,
            }],
            adapters: Vec::new(),
            skipped: SkippedRows {
                rows: [1, 4].map(RowNumber).into_iter().collect(),
                repeated: [RowNumber(1)].into_iter().collect(),
                too_long: Vec::new(),
                first: vec![SkippedLine {
                    line: LineNumber(7),
                    reason: "not JSON".to_owned(),
                }],
            },
            blocks: vec![block(0, 2, 3, 400, 3), block(3, 6, 410, 290, 2)],
        }
    }

    fn too_long(row: u64) -> TooLongRow {
        TooLongRow {
            row: RowNumber(row),
            line: LineNumber(row + 1),
            length: 1 << 30,
        }
    }

    const GOLDEN: &str = concat!(
        r#"{"format":"batchinference.dev/dataset-index","formatVersion":3,"rows":5,"bytes":300,"textBytes":700,"#,
        r#""version":"size=700 etag=\"1\"","#,
        r#""sha256":"3b9c358f36f0a31b6ad3e14f309c7cf198ac9246e8316f9ce543d5b19ac02b80","#,
        r#""modelNames":["org/model","gpt-4o-mini"],"unknownFields":[{"name":"tag","rows":4}],"#,
        r#""skipped":{"rows":"AQAAAAAAAAAAAAAAOjAAAAEAAAAAAAEAEAAAAAEABAA=","#,
        r#""repeated":"AQAAAAAAAAAAAAAAOjAAAAEAAAAAAAAAEAAAAAEA","tooLong":[],"first":[{"line":7,"reason":"not JSON"}]},"#,
        r#""blocks":[[0,2,3,400,3,"99aa06d3014798d86001c324468d497f"],"#,
        r#"[3,6,410,290,2,"99aa06d3014798d86001c324468d497f"]]}"#,
    );

    #[test]
    fn the_written_form_stays_the_same() {
        assert_eq!(String::from_utf8(index().encode()).unwrap(), GOLDEN);
        assert_eq!(Index::decode(GOLDEN.as_bytes()).unwrap(), index());
    }

    #[test]
    fn adapters_are_written_where_rows_name_any() {
        let with = Index {
            adapters: vec![AdapterRows {
                name: "org/sql".to_owned(),
                rows: 3,
            }],
            ..index()
        };
        let written = String::from_utf8(with.encode()).unwrap();
        assert!(
            written.contains(r#""adapters":[{"name":"org/sql","rows":3}],"skipped""#),
            "{written}"
        );
        assert_eq!(Index::decode(written.as_bytes()).unwrap(), with);
    }

    #[test]
    fn another_format_or_version_is_named() {
        let other = Index::decode(GOLDEN.replace(":3,\"rows", ":1,\"rows").as_bytes()).unwrap_err();
        assert!(other.to_string().contains("version 1, not"), "{other}");
        let other = Index::decode(br#"{"format":"x","formatVersion":3}"#).unwrap_err();
        assert!(other.to_string().contains("`x`"), "{other}");
        assert!(matches!(Index::decode(b"{}"), Err(IndexError::Malformed(_))));
        assert!(matches!(
            Index::decode(&GOLDEN.as_bytes()[..300]),
            Err(IndexError::Malformed(_))
        ));
    }

    #[test]
    fn an_index_with_a_gap_an_overlap_or_a_wrong_count_is_refused() {
        let refused: [fn(&mut Index); 17] = [
            |index| (index.rows, index.blocks[1].rows) = (294, 291),
            |index| index.rows = 6,
            |index| index.text_bytes = 699,
            |index| _ = index.blocks.pop(),
            |index| index.blocks.clear(),
            |index| index.blocks[1].first_row.0 = 4,
            |index| index.blocks[1].offset = 402,
            |index| index.blocks[1].first_line.0 = 4,
            |index| index.blocks[1].first_line.0 = u64::MAX,
            |index| (index.blocks[1].offset, index.text_bytes) = (u64::MAX, u64::MAX),
            |index| (index.blocks[1].length, index.text_bytes) = (1 << 30, 2 << 30),
            |index| _ = index.skipped.rows.insert(RowNumber(5)),
            |index| index.skipped.rows = (0..5).map(RowNumber).collect(),
            |index| _ = index.skipped.repeated.insert(RowNumber(0)),
            |index| index.skipped.too_long.push(too_long(4)),
            |index| (index.rows, index.skipped.too_long) = (7, vec![too_long(5), too_long(6)]),
            |index| index.skipped.first = vec![index.skipped.first[0].clone(); 11],
        ];
        for (case, change) in refused.iter().enumerate() {
            let mut index = index();
            change(&mut index);
            let decoded = Index::decode(&index.encode());
            assert!(
                matches!(decoded, Err(IndexError::Inconsistent { .. })),
                "case {case}: {decoded:?}"
            );
        }
    }

    #[test]
    fn a_row_is_found_in_its_block() {
        let index = index();
        let first_rows = [0, 2, 3, 4, 5].map(|row| index.block_of(RowNumber(row)).map(|block| block.first_row.0));
        assert_eq!(first_rows, [Some(0), Some(0), Some(3), Some(3), None]);
    }

    #[test]
    fn a_hundred_gigabytes_need_only_a_few_mebibytes() {
        let limit = crate::dataset::BlockLimits::default().bytes;
        let blocks: Vec<_> = (0..100_000_000_000 / limit)
            .map(|at| block(at * 100, at * 100 + 1, at * limit, limit, 100))
            .collect();
        let index = Index {
            rows: blocks.len() as u64 * 100,
            bytes: 100_000_000_000,
            text_bytes: 100_000_000_000,
            blocks,
            ..index()
        };
        assert!(index.encode().len() < 4 << 20);
    }
}
