//! What a job left in its output.

use serde_json::Value;

use super::proof;

/// The three files.
#[derive(Clone, Debug)]
pub struct Output {
    pub results: String,
    pub errors: String,
    pub manifest: Value,
}

impl Output {
    /// Proves from the files and the data set alone that each row is there exactly once and in order.
    ///
    /// # Panics
    /// With what is wrong.
    pub fn prove(&self, dataset: &str) {
        let checked = proof::check(dataset, &self.results, &self.errors, &self.manifest);
        checked.unwrap_or_else(|problem| panic!("the output is not proven: {problem}"));
    }

    /// The results' lines.
    pub fn rows(&self) -> Vec<Value> {
        let lines = self.results.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("a row of JSON"))
            .collect()
    }
}
