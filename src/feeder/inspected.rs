//! What inspection found, as the job's status says it. Pure.

use crate::api::status::{DatasetStatus, InvalidRow, UnknownField};
use crate::dataset::{Index, Refusal};

use super::report::number;

/// Of a good data set.
pub fn status(index: &Index) -> DatasetStatus {
    let unknown_fields = index.unknown_fields.iter().map(|field| UnknownField {
        name: field.name.clone(),
        rows: number(field.rows),
    });
    let skipped = index.skipped.first.iter().map(|row| InvalidRow {
        line: number(row.line.0),
        reason: row.reason.clone(),
    });
    DatasetStatus {
        rows: number(index.rows),
        bytes: number(index.bytes),
        version: index.version.clone(),
        sha256: index.sha256.to_string(),
        skipped_rows: Some(number(index.skipped.rows.len())).filter(|rows| *rows > 0),
        invalid_rows: skipped.collect(),
        unknown_fields: unknown_fields.collect(),
    }
}

/// Of a refused one.
pub fn refused_status(refusal: &Refusal) -> DatasetStatus {
    let invalid_rows = refusal.first_invalid_rows.iter().map(|row| InvalidRow {
        line: number(row.line.0),
        reason: row.reason.to_string(),
    });
    let unknown_models = refusal.unknown_models.iter().map(|model| InvalidRow {
        line: number(model.first_line.0),
        reason: format!(
            "nothing serves the model `{}`; rows with it: {}",
            model.name, model.rows
        ),
    });
    // Names that nothing serves first: no job goes on without those rows.
    let invalid_rows = unknown_models.take(5).chain(invalid_rows).take(10).collect();
    DatasetStatus {
        rows: number(refusal.rows),
        bytes: number(refusal.bytes),
        version: refusal.version.clone(),
        sha256: refusal.sha256.to_string(),
        skipped_rows: None,
        invalid_rows,
        unknown_fields: Vec::new(),
    }
}
