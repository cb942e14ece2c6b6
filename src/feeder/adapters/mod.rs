//! The adapters that rows name: asked of the hub before any server is there (`check`), loaded by each server before its first row
//! (`equip`, by `load`; `left` has when they are given up), and in the request of each row (`table`).
//!
//! Starts with [`known`], which takes them from what inspection found; `told` is what the status says of them.

mod check;
mod equip;
mod left;
mod load;
mod table;
mod told;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::api::Engine;
use crate::api::adapters::{AdapterSource, OnAdapterError};
use crate::api::names::ADAPTER_API_TOKEN_ENV;
use crate::api::reason::Reason;
use crate::api::status::{AdapterStatus, AdaptersStatus};
use crate::dataset::Index;
use crate::engine::adapters::{MOST_AT_START, are_fetched, below_fetched, place, refuse_path};

use super::job::Job;
use super::report::End;

pub use check::AdapterCheck;
pub use equip::{ASK_AGAIN, Ending, Equipment, Equipped, Equipping, equip};
pub use table::{AdapterTable, Asking, OfRow, RowAdapters};
pub use told::{LISTED, count, told};

/// Adapters that a message names.
const NAMED: usize = 3;

/// An adapter that rows name, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// As rows name it.
    pub name: Arc<str>,
    /// Where it is.
    pub path: String,
    /// How many rows name it.
    pub rows: u64,
    /// Its commit.
    pub revision: Option<String>,
    /// Its rank.
    pub rank: Option<u32>,
    /// Why it cannot be used.
    pub bad: Option<Bad>,
}

/// Why an adapter cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// The `error.code` of its rows.
    pub code: &'static str,
    /// In words.
    pub message: String,
}

/// The code of rows whose adapter is not there.
const NOT_FOUND: &str = "adapter_not_found";
/// The code of rows whose adapter cannot be loaded.
const NOT_LOADED: &str = "adapter_not_loaded";

impl Bad {
    /// It is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self {
            code: NOT_FOUND,
            message: message.into(),
        }
    }

    /// No server has it.
    pub fn not_loaded(message: impl Into<String>) -> Self {
        Self {
            code: NOT_LOADED,
            message: message.into(),
        }
    }

    /// As an earlier start of the job has found out.
    fn told(adapter: &AdapterStatus) -> Option<Self> {
        let message = adapter.error.clone()?;
        let is_missing = adapter.reason.as_deref() == Some(Reason::AdapterNotFound.as_str());
        Some(if is_missing {
            Self::not_found(message)
        } else {
            Self::not_loaded(message)
        })
    }

    fn reason(&self) -> Reason {
        match self.code {
            NOT_FOUND => Reason::AdapterNotFound,
            _ => Reason::AdapterNotLoaded,
        }
    }
}

/// The token that requests for adapters carry. `Debug` does not show it.
#[derive(Clone)]
pub struct ApiToken(String);

impl ApiToken {
    /// From the environment of the feeder.
    pub fn find(environment: impl IntoIterator<Item = (String, String)>) -> Option<Self> {
        let mut variables = environment.into_iter();
        let (_, token) = variables.find(|(name, _)| name == ADAPTER_API_TOKEN_ENV)?;
        // A Secret that was made from a file often ends with a line break.
        let token = token.trim();
        (!token.is_empty()).then(|| Self(token.to_owned()))
    }

    /// As requests carry it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiToken")
    }
}

/// The adapters that rows of a job name, by name. `told` is what an earlier start of the job has found out about them.
#[must_use]
pub fn known(job: &Job, index: &Index, told: Option<&AdaptersStatus>) -> Vec<Known> {
    let Some(adapters) = &job.adapters else {
        return Vec::new();
    };
    let known = index.adapters.iter().filter_map(|found| {
        let path = adapters.names.path(&found.name)?;
        let told = told.and_then(|told| told.most_used.iter().find(|told| told.name == found.name));
        let path = place(job.engine, adapters.names.source(), &path);
        let refused = refuse_path(job.engine, &path).err();
        let refused = refused.map(|error| Bad::not_loaded(error.to_string()));
        Some(Known {
            name: found.name.as_str().into(),
            path,
            rows: found.rows,
            revision: told.and_then(|told| told.revision.clone()),
            rank: None,
            bad: refused.or_else(|| told.and_then(Bad::told)),
        })
    });
    let mut known: Vec<_> = known.collect();
    if job.engine == Engine::LoRAX && adapters.names.source() == AdapterSource::S3 {
        refuse_taken_places(&mut known);
    }
    known
}

/// LoRAX keeps what it fetches from a store by its key, whatever its bucket (predibase/lorax, `server/lorax_server/utils/sources/s3.py`,
/// `get_s3_model_local_dir`): of two with the same key, both would be answered by the one that was fetched first.
fn refuse_taken_places(adapters: &mut [Known]) {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for adapter in adapters {
        let key = below_fetched(&adapter.path).split_once('/').map_or("", |(_, key)| key);
        let first = taken
            .entry(key.replace('/', "--"))
            .or_insert_with(|| adapter.path.clone());
        if *first != adapter.path && adapter.bad.is_none() {
            adapter.bad = Some(Bad::not_loaded(format!(
                "engine LoRAX would take {first} for it, as it keeps adapters by their path and not by their bucket: copy it to another path"
            )));
        }
    }
}

/// The end of a job with more adapters than its engine can have.
#[must_use]
pub fn too_many(engine: Engine, source: AdapterSource, adapters: &[Known]) -> Option<End> {
    let count = adapters.len();
    let are_at_start = engine == Engine::LlamaCpp || are_fetched(engine, source);
    if !are_at_start || count <= MOST_AT_START {
        return None;
    }
    let message = format!(
        "the rows name {count} adapters, and engine {engine} with source {source} has all of them from its start on, at most \
         {MOST_AT_START}: split the data set, or choose engine LoRAX, or VLLM or SGLang with another source"
    );
    Some(End::new(Reason::AdaptersUnsupported, message))
}

/// What those that cannot be used come to, in words; none where all can.
#[must_use]
pub fn in_words(adapters: &[Known]) -> Option<String> {
    let mut bad: Vec<_> = adapters
        .iter()
        .filter_map(|adapter| Some((adapter, adapter.bad.as_ref()?)))
        .collect();
    bad.sort_by_key(|(adapter, _)| std::cmp::Reverse(adapter.rows));
    let rows: u64 = bad.iter().map(|(adapter, _)| adapter.rows).sum();
    let named = bad.iter().take(NAMED).map(|(adapter, bad)| {
        let Known { name, rows, .. } = adapter;
        format!("`{name}` ({}): {}", rows_in_words(*rows), bad.message)
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() {
        return None;
    }
    let more = match bad.len() - named.len() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Some(format!(
        "{} of {} adapters cannot be used, in {}: {}{more}",
        bad.len(),
        adapters.len(),
        rows_in_words(rows),
        named.join("; ")
    ))
}

fn rows_in_words(rows: u64) -> String {
    match rows {
        1 => "1 row".to_owned(),
        rows => format!("{rows} rows"),
    }
}

/// The end of a job whose adapters cannot be used, if it is to end by them: because its spec says so, or as no other of its good `rows` is left.
#[must_use]
pub fn end(adapters: &[Known], on_error: OnAdapterError, rows: u64) -> Option<End> {
    let first = adapters.iter().find_map(|adapter| adapter.bad.as_ref())?;
    let are_all = refused_rows(adapters) >= rows;
    if on_error == OnAdapterError::FailRows && !are_all {
        return None;
    }
    let reason = first.reason();
    let message = format!("{}. {}", in_words(adapters)?, reason.advice());
    Some(End::new(reason, message))
}

/// Rows whose adapter cannot be used.
#[must_use]
pub fn refused_rows(adapters: &[Known]) -> u64 {
    let bad = adapters.iter().filter(|adapter| adapter.bad.is_some());
    bad.map(|adapter| adapter.rows).sum()
}

#[cfg(test)]
mod tests;
