//! How rows of each adapter are sent, or why they are not.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::api::Engine;
use crate::engine::adapters::{AdapterCall, AdapterNames, Asked, call};

use super::{ApiToken, Bad, Known};

/// Every adapter of a job. `Debug` shows no token.
#[derive(Clone, Debug, Default)]
pub struct AdapterTable(HashMap<Arc<str>, Entry>);

#[derive(Clone, Debug)]
enum Entry {
    Good(AdapterCall),
    Bad(Bad),
}

/// What becomes of a row.
#[derive(Debug)]
pub enum OfRow<'a> {
    /// It is for the base.
    Base,
    /// It is sent so.
    Sent(&'a Arc<str>, &'a AdapterCall),
    /// It is not sent.
    Refused(&'a Arc<str>, &'a Bad),
}

/// Who asks for adapters.
#[derive(Clone, Debug)]
pub struct Asking {
    /// By what requests are made.
    pub engine: Engine,
    /// The `model` that rows of the base are sent with.
    pub served_name: String,
    /// Where adapters are.
    pub names: AdapterNames,
    /// What requests for them carry.
    pub token: Option<ApiToken>,
}

impl Asking {
    /// How rows ask for an adapter, which llama-server knows by a number.
    #[must_use]
    pub fn asked<'a>(&'a self, adapter: &'a Known, id: Option<u64>) -> Asked<'a> {
        Asked {
            engine: self.engine,
            served_name: &self.served_name,
            source: self.names.source(),
            name: &adapter.name,
            path: &adapter.path,
            id,
        }
    }

    /// How rows ask for it.
    #[must_use]
    pub fn call(&self, asked: &Asked<'_>) -> AdapterCall {
        call(asked, self.token.as_ref().map(ApiToken::as_str))
    }
}

impl AdapterTable {
    /// All of them; `ids` are the numbers that llama-server has for paths.
    #[must_use]
    pub fn new(asking: &Asking, adapters: &[Known], ids: &HashMap<String, u64>) -> Self {
        let entries = adapters.iter().map(|adapter| {
            let entry = match &adapter.bad {
                Some(bad) => Entry::Bad(bad.clone()),
                None => Entry::Good(asking.call(&asking.asked(adapter, ids.get(&adapter.path).copied()))),
            };
            (Arc::clone(&adapter.name), entry)
        });
        Self(entries.collect())
    }

    /// What becomes of a row with this `model`, which inspection knows.
    #[must_use]
    pub fn of_row(&self, model: Option<&str>) -> OfRow<'_> {
        let found = model.and_then(|name| self.0.get_key_value(name));
        match found {
            None => OfRow::Base,
            Some((name, Entry::Good(call))) => OfRow::Sent(name, call),
            Some((name, Entry::Bad(bad))) => OfRow::Refused(name, bad),
        }
    }
}

/// What whoever reads rows knows of adapters.
#[derive(Clone, Debug)]
pub enum RowAdapters {
    /// All that there is to know.
    Known(Arc<AdapterTable>),
    /// It will be known when a server has loaded them.
    WhenLoaded(watch::Receiver<Option<Arc<AdapterTable>>>),
}

impl RowAdapters {
    /// Waits until it is known.
    pub async fn known(&self) -> Arc<AdapterTable> {
        match self {
            Self::Known(table) => Arc::clone(table),
            Self::WhenLoaded(tables) => {
                let mut tables = tables.clone();
                // What `wait_for` gives is a lock, and must be gone before anything else is waited for.
                let known = tables
                    .wait_for(Option::is_some)
                    .await
                    .ok()
                    .and_then(|known| (*known).clone());
                match known {
                    Some(table) => table,
                    // Whoever loads has ended, and with it the work on rows.
                    None => std::future::pending().await,
                }
            }
        }
    }
}
