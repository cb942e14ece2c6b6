//! What the manifest must say of the three files.

use std::fmt::Display;

use crate::openai::RowSet;
use crate::results::{Cost, ERRORS, Ended, Manifest, ModelUsage, OutputFile, Proof, RESULTS, Tokens, Usage};

use super::differences::Differences;
use super::walk::{Counted, FileCount};

/// Compares every field that the files can prove.
pub fn check(manifest: &Manifest, counted: &Counted, differences: &mut Differences) {
    let mut fields = Fields(differences);
    fields.outcome(manifest, counted);
    fields.dataset(manifest, &counted.dataset);
    fields.file("results", RESULTS, &manifest.results, &counted.results);
    fields.file("errors", ERRORS, &manifest.errors, &counted.errors);
    fields.usage("usage", manifest.usage, all_tokens(counted));
    fields.cost(manifest, all_tokens(counted));
    fields.models(&manifest.models, &counted.results);
    fields.failed_rows_of_models(&manifest.models, &counted.errors);
    fields.proof(manifest, counted);
}

/// The tokens of all rows: a server may charge for an answer that is an error.
fn all_tokens(counted: &Counted) -> Usage {
    sum([counted.results.usage, counted.errors.usage].map(Usage::from))
}

fn sum(usages: impl IntoIterator<Item = Usage>) -> Usage {
    let mut tokens = Tokens::default();
    for usage in usages {
        tokens.add(crate::openai::Usage {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
        });
    }
    tokens.into()
}

struct Fields<'a>(&'a mut Differences);

impl Fields<'_> {
    fn compare(&mut self, name: impl Into<String>, said: impl Display, counted: impl Display) {
        let (said, counted) = (said.to_string(), counted.to_string());
        if said != counted {
            self.0.field(name, said, counted);
        }
    }

    fn outcome(&mut self, manifest: &Manifest, counted: &Counted) {
        let (results, errors) = (counted.results.rows, counted.errors.rows);
        // That a job was stopped is a decision, which files of rows do not tell; but some need a row that was sent and failed.
        let has_failed_rows = errors > counted.invalid_rows;
        let decided = manifest.ended.stopped().cloned();
        let decided = decided.filter(|stopped| has_failed_rows || !stopped.reason.needs_errors());
        let ended = Ended::of(decided, results, errors);
        self.compare("outcome", manifest.ended.outcome(), ended.outcome());
    }

    fn dataset(&mut self, manifest: &Manifest, counted: &FileCount) {
        let said = &manifest.dataset;
        self.compare("dataset.rows", said.rows, counted.rows);
        self.compare("dataset.bytes", said.bytes, counted.sum.bytes);
        self.compare("dataset.sha256", said.sha256, counted.sum.sha256);
    }

    fn file(&mut self, name: &str, key: &str, said: &OutputFile, counted: &FileCount) {
        self.compare(format!("{name}.key"), &said.key, key);
        self.compare(format!("{name}.rows"), said.rows, counted.rows);
        self.compare(format!("{name}.bytes"), said.bytes, counted.sum.bytes);
        self.compare(format!("{name}.sha256"), said.sha256, counted.sum.sha256);
    }

    fn usage(&mut self, name: &str, said: Usage, counted: Usage) {
        self.compare(
            format!("{name}.promptTokens"),
            said.prompt_tokens,
            counted.prompt_tokens,
        );
        let completion = (said.completion_tokens, counted.completion_tokens);
        self.compare(format!("{name}.completionTokens"), completion.0, completion.1);
        self.compare(format!("{name}.totalTokens"), said.total_tokens, counted.total_tokens);
    }

    /// What the tokens cost at the prices that the manifest names: those themselves are in no other file.
    fn cost(&mut self, manifest: &Manifest, counted: Usage) {
        let Some(said) = &manifest.cost else { return };
        let counted = Cost::new(counted, said.prices.clone());
        self.compare("cost.tokenCost", said.token_cost, counted.token_cost);
    }

    /// A row does not name the model as the manifest does, since its server may call it otherwise. Every result has one, so
    /// their sums are what the results say; with one model, as jobs without adapters have, that is all there is to prove.
    fn models(&mut self, said: &[ModelUsage], results: &FileCount) {
        let name = match said {
            [only] => format!("models[{}]", only.name),
            _ => "models[*] in sum".to_owned(),
        };
        let rows = said.iter().fold(0_u64, |rows, model| rows.saturating_add(model.rows));
        self.compare(format!("{name}.rows"), rows, results.rows);
        self.usage(
            &format!("{name}.usage"),
            sum(said.iter().map(|model| model.usage)),
            results.usage.into(),
        );
        for model in said {
            let total = sum([model.usage]).total_tokens;
            self.compare(
                format!("models[{}].usage.totalTokens", model.name),
                model.usage.total_tokens,
                total,
            );
        }
    }

    /// Of the rows that failed, those of adapters are some.
    fn failed_rows_of_models(&mut self, said: &[ModelUsage], errors: &FileCount) {
        let failed = said
            .iter()
            .fold(0_u64, |failed, model| failed.saturating_add(model.failed));
        if failed > errors.rows {
            self.compare("models[*].failed in sum", failed, errors.rows);
        }
    }

    fn proof(&mut self, manifest: &Manifest, counted: &Counted) {
        let said = &manifest.proof;
        self.compare("proof.rowsIn", said.rows_in, counted.dataset.rows);
        self.compare("proof.results", said.results, counted.results.rows);
        self.compare("proof.errors", said.errors, counted.errors.rows);
        self.error_rows(&said.error_rows, counted);
        self.invalid_rows(said, counted);
    }

    fn invalid_rows(&mut self, said: &Proof, counted: &Counted) {
        let rows = |rows: u64| format!("{rows} rows");
        self.compare(
            "proof.invalidRows",
            rows(said.invalid_rows.len()),
            rows(counted.invalid_rows),
        );
        let elsewhere = said.invalid_rows.iter().find(|row| !said.error_rows.contains(*row));
        if let Some(row) = elsewhere {
            let counted = "it is no row of errors.jsonl".to_owned();
            self.0
                .field("proof.invalidRows", format!("row {row} is in it"), counted);
        }
    }

    fn error_rows(&mut self, said: &RowSet, counted: &Counted) {
        let rows = |rows: u64| format!("{rows} rows");
        self.compare("proof.errorRows", rows(said.len()), rows(counted.errors.rows));
        let beyond = said.last().filter(|last| last.0 >= counted.dataset.rows);
        if let Some(last) = beyond {
            let counted = format!("{} rows, counted from 0", counted.dataset.rows);
            self.0.field("proof.errorRows", format!("row {last} is in it"), counted);
        }
    }
}
