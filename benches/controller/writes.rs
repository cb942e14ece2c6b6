//! Writes to the API server, by its audit log.

use std::io::{BufRead, BufReader, Seek, SeekFrom};

use batch_inference_operator::api::status::FEEDER_FIELD_MANAGER;

use super::cluster::state;
use super::operator::USER;

/// A place in the log.
pub struct Mark(u64);

/// What was written since a place.
#[derive(Debug, Default)]
pub struct Writes {
    pub controller: usize,
    pub feeders: usize,
}

pub fn mark() -> Mark {
    Mark(std::fs::metadata(state().join("audit.log")).unwrap().len())
}

/// Leases are left out.
pub fn since(mark: &Mark) -> Writes {
    let mut log = std::fs::File::open(state().join("audit.log")).unwrap();
    log.seek(SeekFrom::Start(mark.0)).unwrap();
    let mut writes = Writes::default();
    for line in BufReader::new(log).lines() {
        // The last line may not be whole yet.
        let Ok(event) = serde_json::from_str::<serde_json::Value>(&line.unwrap()) else {
            continue;
        };
        let text = |pointer: &str| {
            event
                .pointer(pointer)
                .and_then(|value| value.as_str())
                .unwrap_or_default()
        };
        let is_write = matches!(
            text("/verb"),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        );
        if !is_write || text("/objectRef/resource") == "leases" {
            continue;
        }
        if text("/impersonatedUser/username") == USER {
            writes.controller += 1;
        } else if text("/requestURI").contains(&format!("fieldManager={FEEDER_FIELD_MANAGER}")) {
            writes.feeders += 1;
        }
    }
    writes
}
