use serde_json::{Value, json};

use super::{check, rows, sha256};

/// Four rows of which the third failed.
fn good() -> (String, String, String) {
    let row = |id: &str| format!("{{\"custom_id\":\"{id}\",\"body\":{{}}}}\n");
    let result = |id: &str, status: u32| {
        format!("{{\"custom_id\":\"{id}\",\"response\":{{\"status_code\":{status}}},\"error\":null}}\n")
    };
    (
        row("d") + &row("a") + "\n" + &row("c") + &row("b"),
        result("d", 200) + &result("a", 200) + &result("b", 200),
        result("c", 400),
    )
}

fn manifest(input: &str, results: &str, errors: &str) -> Value {
    let file = |text: &str| json!({"rows": rows(text).count(), "bytes": text.len(), "sha256": sha256(text)});
    json!({
        "outcome": "SomeRowsFailed",
        "dataset": file(input), "results": file(results), "errors": file(errors),
        "proof": {"rowsIn": rows(input).count(), "results": rows(results).count(), "errors": rows(errors).count()},
    })
}

/// What is said of changed results, under a manifest that tells the truth of them.
fn after(change: impl FnOnce(&mut Vec<&str>)) -> String {
    let (input, results, errors) = good();
    let mut lines: Vec<&str> = results.split_inclusive('\n').collect();
    change(&mut lines);
    let changed = lines.concat();
    check(&input, &changed, &errors, &manifest(&input, &changed, &errors)).unwrap_err()
}

#[test]
fn a_whole_output_is_proven() {
    let (input, results, errors) = good();
    assert_eq!(
        check(&input, &results, &errors, &manifest(&input, &results, &errors)),
        Ok(())
    );
}

#[test]
fn a_line_that_is_missing_fails_the_proof() {
    for line in 0..3 {
        let error = after(|lines| _ = lines.remove(line));
        assert!(error.contains("is 0 times in the output"), "{error}");
    }
}

#[test]
fn a_line_that_is_doubled_fails_the_proof() {
    for line in 0..3 {
        let error = after(|lines| lines.insert(line, lines[line]));
        assert!(error.contains("not in input order"), "{error}");
    }
}

#[test]
fn a_row_in_both_files_fails_the_proof() {
    let (input, results, _) = good();
    let errors = "{\"custom_id\":\"a\"}\n{\"custom_id\":\"c\"}\n";
    let error = check(&input, &results, errors, &manifest(&input, &results, errors)).unwrap_err();
    assert_eq!(error, "row `a` is 2 times in the output");
}

#[test]
fn another_order_or_a_strange_row_fails_the_proof() {
    assert_eq!(
        after(|lines| lines.swap(0, 1)),
        "`d` in results.jsonl is not in input order"
    );
    let error = after(|lines| lines.push("{\"custom_id\":\"x\"}\n"));
    assert_eq!(error, "`x` in results.jsonl is no row of the data set");
}

#[test]
fn a_failed_row_among_the_results_fails_the_proof() {
    let (input, results, errors) = good();
    let results = results.replacen("200", "503", 1);
    let error = check(&input, &results, &errors, &manifest(&input, &results, &errors)).unwrap_err();
    assert!(error.contains("does not belong in results.jsonl"), "{error}");
}

#[test]
fn each_number_of_the_manifest_is_compared() {
    let (input, results, errors) = good();
    let manifest = manifest(&input, &results, &errors);
    for field in [
        "/outcome",
        "/proof/rowsIn",
        "/proof/results",
        "/proof/errors",
        "/dataset/sha256",
        "/results/rows",
        "/results/bytes",
        "/results/sha256",
        "/errors/rows",
        "/errors/bytes",
        "/errors/sha256",
    ] {
        let mut wrong = manifest.clone();
        *wrong.pointer_mut(field).unwrap() = json!("wrong");
        let error = check(&input, &results, &errors, &wrong).unwrap_err();
        assert!(
            error.starts_with(&format!("the manifest's {field} is \"wrong\"")),
            "{error}"
        );
    }
}
