//! How rows of each adapter are sent, or why they are not.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::api::Engine;
use crate::engine::adapters::{AdapterCall, AdapterNames, Asked, call, choosing_members, has_adapters_at};
use crate::openai::RequestRow;

use super::{ApiToken, Bad, Known};

/// Every adapter of a job. `Debug` shows no token.
#[derive(Clone, Debug, Default)]
pub struct AdapterTable {
    entries: HashMap<Arc<str>, Entry>,
    /// None where the job has no adapters.
    engine: Option<Engine>,
}

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
    /// Whether their hub or store was asked of them before: those that it does not have are known as bad.
    pub is_checked: bool,
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
        Self {
            entries: entries.collect(),
            engine: Some(asking.engine),
        }
    }

    /// What becomes of a row with this `model`, which inspection knows.
    #[must_use]
    pub fn of_row(&self, model: Option<&str>) -> OfRow<'_> {
        let found = model.and_then(|name| self.entries.get_key_value(name));
        match found {
            None => OfRow::Base,
            Some((name, Entry::Good(call))) => OfRow::Sent(name, call),
            Some((name, Entry::Bad(bad))) => OfRow::Refused(name, bad),
        }
    }

    /// Why a row would be answered by something else than what it names, if it would.
    #[must_use]
    pub fn misses(&self, row: &RequestRow) -> Option<String> {
        let engine = self.engine?;
        if let Some(member) = row.body.first_of(choosing_members(engine)) {
            return Some(format!(
                "the body has `{member}`, by which engine {engine} is told of an adapter besides: remove it, and name the adapter in \
                 body.model alone"
            ));
        }
        let is_of_base = matches!(self.of_row(row.body.model()), OfRow::Base);
        if is_of_base || has_adapters_at(engine, row.endpoint) {
            return None;
        }
        Some(format!(
            "engine {engine} answers {} from the base model whatever adapter a row names: choose engine VLLM or SGLang for it",
            row.endpoint.path()
        ))
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::api::adapters::AdaptersSpec;

    fn table(engine: Engine) -> AdapterTable {
        let asking = Asking {
            engine,
            served_name: "base".to_owned(),
            names: AdapterNames::new(AdaptersSpec::default()),
            token: None,
            is_checked: false,
        };
        let sql = Known {
            name: "org/sql".into(),
            path: "org/sql".to_owned(),
            rows: 1,
            revision: None,
            rank: None,
            bad: None,
        };
        AdapterTable::new(&asking, &[sql], &HashMap::new())
    }

    fn row(url: &str, body: &str) -> RequestRow {
        let line = format!(r#"{{"custom_id":"a","method":"POST","url":"{url}","body":{body}}}"#);
        RequestRow::parse(&Bytes::from(line)).expect("a row")
    }

    #[test]
    fn a_row_that_something_else_would_answer_is_not_sent() {
        let chat = "/v1/chat/completions";
        let embeddings = "/v1/embeddings";
        let of_adapter = r#"{"model":"org/sql"}"#;
        for (engine, url, body, words) in [
            (
                Engine::LoRAX,
                embeddings,
                of_adapter,
                Some("answers /v1/embeddings from the base"),
            ),
            (
                Engine::LlamaCpp,
                embeddings,
                of_adapter,
                Some("answers /v1/embeddings from the base"),
            ),
            (Engine::LlamaCpp, embeddings, r#"{"model":"base"}"#, None),
            (Engine::VLLM, embeddings, of_adapter, None),
            (Engine::LoRAX, chat, of_adapter, None),
            (
                Engine::LlamaCpp,
                chat,
                r#"{"model":"org/sql","lora":[]}"#,
                Some("the body has `lora`"),
            ),
            (
                Engine::SGLang,
                chat,
                r#"{"lora_path":"org/sql"}"#,
                Some("the body has `lora_path`"),
            ),
            (
                Engine::LoRAX,
                chat,
                r#"{"api_token":null}"#,
                Some("the body has `api_token`"),
            ),
            (Engine::VLLM, chat, r#"{"lora":[],"api_token":""}"#, None),
        ] {
            let missed = table(engine).misses(&row(url, body));
            let is_as_expected = match (&missed, words) {
                (Some(missed), Some(words)) => missed.contains(words),
                (None, None) => true,
                _ => false,
            };
            assert!(is_as_expected, "{engine} {url} {body}: {missed:?}");
        }
        assert_eq!(AdapterTable::default().misses(&row(chat, r#"{"lora":[]}"#)), None);
    }
}
