//! The proof of a job's results, recomputed: from the data set's rows and the lines of the output, not from what a feeder counted.
//!
//! Tests include this folder with `#[path = "proof/mod.rs"] mod proof;`. Where to read on: `docs/reference/output.md`.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Whether each row of `input` is exactly once in `results` or `errors`, both in input order, and `manifest` says of the three
/// what is true of them. The error says what is not, for people.
pub fn check(input: &str, results: &str, errors: &str, manifest: &Value) -> Result<(), String> {
    let rows = custom_ids("the data set", input)?;
    let mut numbers = HashMap::new();
    for (number, id) in rows.iter().enumerate() {
        if numbers.insert(id.as_str(), number).is_some() {
            return Err(format!("custom_id `{id}` is twice in the data set"));
        }
    }
    let mut times = vec![0_u32; rows.len()];
    for (name, file) in [("results.jsonl", results), ("errors.jsonl", errors)] {
        for number in in_input_order(name, file, &numbers)? {
            times[number] += 1;
        }
    }
    if let Some((number, times)) = times.iter().enumerate().find(|(_, times)| **times != 1) {
        return Err(format!("row `{}` is {times} times in the output", rows[number]));
    }
    each_file_holds_its_kind(results, errors)?;
    manifest_is_true(input, results, errors, manifest)
}

/// The rows' numbers, in the file's order, which must be that of the input.
fn in_input_order(name: &str, file: &str, numbers: &HashMap<&str, usize>) -> Result<Vec<usize>, String> {
    if !file.is_empty() && !file.ends_with('\n') {
        return Err(format!("the last line of {name} has no end"));
    }
    let mut found: Vec<usize> = Vec::new();
    for id in custom_ids(name, file)? {
        let number = *numbers
            .get(id.as_str())
            .ok_or_else(|| format!("`{id}` in {name} is no row of the data set"))?;
        if found.last().is_some_and(|last| *last >= number) {
            return Err(format!("`{id}` in {name} is not in input order"));
        }
        found.push(number);
    }
    Ok(found)
}

fn custom_ids(name: &str, file: &str) -> Result<Vec<String>, String> {
    let ids = rows(file).map(|line| {
        let id = parse(line).and_then(|row| Ok(row["custom_id"].as_str().ok_or("no custom_id")?.to_owned()));
        id.map_err(|error| format!("{name}: {error}: {line}"))
    });
    ids.collect()
}

/// An answer is in the results exactly when it is one of success.
fn each_file_holds_its_kind(results: &str, errors: &str) -> Result<(), String> {
    let succeeded = |line: &str| -> Result<bool, String> {
        let row = parse(line)?;
        let status = row["response"]["status_code"].as_u64();
        Ok(row["error"].is_null() && status.is_some_and(|status| (200..300).contains(&status)))
    };
    for (name, file, expected) in [("results.jsonl", results, true), ("errors.jsonl", errors, false)] {
        for line in rows(file) {
            if succeeded(line)? != expected {
                return Err(format!("this does not belong in {name}: {line}"));
            }
        }
    }
    Ok(())
}

fn manifest_is_true(input: &str, results: &str, errors: &str, manifest: &Value) -> Result<(), String> {
    let (rows_in, result_rows, error_rows) = (rows(input).count(), rows(results).count(), rows(errors).count());
    // The rows do not tell a decision to stop, but the manifest says why there was one.
    let stopped = manifest.get("stopped").and_then(|_| manifest["outcome"].as_str());
    let outcome = match (result_rows, error_rows) {
        _ if stopped.is_some() => stopped.unwrap_or_default(),
        (_, 0) => "AllRowsSucceeded",
        (0, _) => "AllRowsFailed",
        _ => "SomeRowsFailed",
    };
    let facts = [
        ("/outcome", json!(outcome)),
        ("/proof/rowsIn", json!(rows_in)),
        ("/proof/results", json!(result_rows)),
        ("/proof/errors", json!(error_rows)),
    ];
    let facts = facts.map(|(pointer, value)| (pointer.to_owned(), value)).into_iter();
    let files = [("dataset", input), ("results", results), ("errors", errors)];
    let of_files = files.into_iter().flat_map(|(name, file)| {
        [
            (format!("/{name}/rows"), json!(rows(file).count())),
            (format!("/{name}/bytes"), json!(file.len())),
            (format!("/{name}/sha256"), json!(sha256(file))),
        ]
    });
    for (pointer, expected) in facts.chain(of_files) {
        let said = manifest.pointer(&pointer).unwrap_or(&Value::Null);
        if *said != expected {
            return Err(format!("the manifest's {pointer} is {said}, and should be {expected}"));
        }
    }
    Ok(())
}

/// Lines but for blank ones, which are no rows.
fn rows(file: &str) -> impl Iterator<Item = &str> {
    file.split('\n').filter(|line| !line.trim().is_empty())
}

fn parse(line: &str) -> Result<Value, String> {
    serde_json::from_str(line).map_err(|error| error.to_string())
}

fn sha256(text: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
