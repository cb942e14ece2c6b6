//! Every field of the resource is honoured or refused: each is set to a value that is not its default, and something must come of it.
//!
//! `cases.yaml` is the table and the place to start; a new field needs a line there. `schema` lists the fields of the definition, `job` has
//! what comes of a job: its refusal, its children, what its feeder runs by, how it ends. What only a running feeder shows, a test shows that
//! the table names.

mod job;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{attributes, file_with_test, sources};
use job::Outcome;

const TABLE: &str = "tests/fields/cases.yaml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Specs by name.
    jobs: BTreeMap<String, Value>,
    /// Fields whose own fields are somebody else's, each with why that is so.
    whole: BTreeMap<String, String>,
    cases: Vec<Case>,
}

/// A field, and what comes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    field: String,
    /// The job that it is set in.
    job: String,
    value: Value,
    /// What becomes another, and nothing else does.
    #[serde(default)]
    changes: BTreeSet<String>,
    /// What the job comes to in place of running.
    becomes: Option<String>,
    /// Words of the refusal.
    refused: Option<String>,
    /// The test that shows what comes of it.
    test: Option<String>,
}

fn table() -> Table {
    serde_yaml::from_str(include_str!("cases.yaml")).expect(TABLE)
}

#[test]
fn every_field_has_a_case() {
    let table = table();
    let fields = schema::fields(&schema::spec(), &table.whole);
    let cases: BTreeSet<_> = table.cases.iter().map(|case| case.field.clone()).collect();
    let without: Vec<_> = fields.difference(&cases).collect();
    assert!(without.is_empty(), "write into {TABLE} what comes of {without:?}");
    let unknown: Vec<_> = cases.difference(&fields).collect();
    assert!(
        unknown.is_empty(),
        "{TABLE} has cases of {unknown:?}, which are no fields"
    );
    for (field, reason) in &table.whole {
        assert!(fields.contains(field) && !reason.is_empty(), "{field} is no field");
    }
}

#[test]
fn every_field_is_honoured_or_refused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = [sources(&root.join("src")), sources(&root.join("tests"))].concat();
    let (table, schema) = (table(), schema::spec());
    for case in &table.cases {
        let before = &table.jobs[&case.job];
        case.assert_sets_something(before, schema::default_of(&schema, &case.field));
        case.assert_holds(before);
        case.assert_is_shown(&sources);
    }
}

#[test]
fn every_value_of_a_list_of_values_has_a_case() {
    let (table, schema) = (table(), schema::spec());
    for field in schema::fields(&schema, &table.whole) {
        let default = schema::default_of(&schema, &field);
        for value in schema::values_of(&schema, &field) {
            let mut cases = table.cases.iter().filter(|case| case.field == field);
            let has_case = cases.any(|case| &case.value == value) || default == Some(value);
            assert!(has_case, "write into {TABLE} what comes of {field}: {value}");
        }
    }
}

impl Case {
    /// A value that the field has anyway would show nothing.
    fn assert_sets_something(&self, before: &Value, default: Option<&Value>) {
        let Self { field, value, .. } = self;
        let said = said(before, field);
        assert_ne!(said.or(default), Some(value), "{field} is that already");
    }

    fn assert_holds(&self, before: &Value) {
        let Self { field, job, .. } = self;
        let without = Outcome::of(before).unwrap_or_else(|refusal| panic!("job {job} is refused: {refusal}"));
        let outcome = Outcome::of(&with(before.clone(), field, &self.value));
        match (outcome, &self.refused) {
            (Err(refusal), Some(words)) => assert!(refusal.contains(words), "{field}: {refusal}"),
            (Err(refusal), None) => panic!("{field} is refused: {refusal}"),
            (Ok(_), Some(_)) => panic!("{field} is not refused"),
            (Ok(outcome), None) => self.assert_honoured(&without, &outcome),
        }
    }

    fn assert_honoured(&self, without: &Outcome, outcome: &Outcome) {
        let Self { field, becomes, .. } = self;
        assert_eq!(&outcome.becomes, becomes, "{field}");
        // A job that is ended or held up has other children in any case.
        if becomes.is_none() {
            assert_eq!(outcome.changes_since(without), self.changes, "{field}");
            // `rows` is what the feeder has read; that it goes by it is shown by a test.
            let is_seen = self.changes.iter().any(|name| name != "rows");
            assert!(
                is_seen || self.test.is_some(),
                "{field}: name the test that shows what comes of it"
            );
        }
    }

    /// The test that is named is there and is run, and it is about the field: it has the name, and its file that of what the field is in.
    fn assert_is_shown(&self, sources: &[String]) {
        let Self { field, test, .. } = self;
        let Some(test) = test else { return };
        let file = file_with_test(sources, test).unwrap_or_else(|| panic!("{field}: there is no test {test}"));
        let found = attributes(file, test).unwrap_or_default();
        let is_run = !found.iter().any(|attribute| attribute.starts_with("#[ignore"));
        assert!(is_run, "{field}: {test} is not run");
        let body = body(file, test).unwrap_or_else(|| panic!("{field}: {test} has no end"));
        for (name, text) in field.rsplit('.').zip([body, file]) {
            let is_named = has_word(text, name) || has_word(text, &in_rust(name));
            assert!(is_named, "{field}: {test}, or its file, does not have {name}");
        }
    }
}

/// What stands in a function: to the brace that is indented as its beginning.
fn body<'a>(source: &'a str, name: &str) -> Option<&'a str> {
    let (before, after) = source.split_once(&format!("fn {name}("))?;
    let line = before.rsplit('\n').next()?;
    let indent = &line[..line.len() - line.trim_start().len()];
    let (body, _) = after.split_once(&format!("\n{indent}}}\n"))?;
    Some(body)
}

fn has_word(text: &str, word: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|found| found == word)
}

/// A field's name as its Rust type has it: `configMap` is `config_map`.
fn in_rust(name: &str) -> String {
    let letters = name.chars().map(|c| match c {
        c if c.is_ascii_uppercase() => format!("_{}", c.to_ascii_lowercase()),
        c => c.to_string(),
    });
    letters.collect()
}

/// What a spec says of a field, in a list of its first item.
fn said<'a>(spec: &'a Value, field: &str) -> Option<&'a Value> {
    let mut names = field.split('.');
    names.try_fold(spec, |at, name| at.get(0).unwrap_or(at).get(name))
}

/// The spec with this field, in a list of its first item.
fn with(mut spec: Value, field: &str, value: &Value) -> Value {
    let mut at = &mut spec;
    for name in field.split('.') {
        // What is not there yet is made.
        at = if at.is_array() { &mut at[0][name] } else { &mut at[name] };
    }
    *at = value.clone();
    spec
}

#[test]
fn a_function_ends_with_its_own_brace() {
    let source = "mod tests {\n    #[test]\n    fn first() {\n        if a {\n        }\n        b\n    }\n\n    async fn second() {\n        c\n    }\n}\n";
    assert_eq!(body(source, "first"), Some(") {\n        if a {\n        }\n        b"));
    assert_eq!(body(source, "second"), Some(") {\n        c"));
    assert_eq!(body(source, "third"), None);
}

#[test]
fn a_field_is_set_where_it_is() {
    let spec = json!({"a": {"b": 1}, "list": [{"c": 1}, {"c": 2}]});
    for (field, before, after) in [
        ("a.b", Some(1), json!({"a": {"b": 3}, "list": [{"c": 1}, {"c": 2}]})),
        ("list.c", Some(1), json!({"a": {"b": 1}, "list": [{"c": 3}, {"c": 2}]})),
        (
            "d.e",
            None,
            json!({"a": {"b": 1}, "list": [{"c": 1}, {"c": 2}], "d": {"e": 3}}),
        ),
    ] {
        assert_eq!(said(&spec, field).and_then(Value::as_i64), before, "{field}");
        assert_eq!(with(spec.clone(), field, &json!(3)), after, "{field}");
    }
}
