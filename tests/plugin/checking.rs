//! `validate`: offline, and with an exit code.

use std::fmt::Write;

use crate::plugin::Machine;

fn row(id: usize) -> String {
    format!(
        r#"{{"custom_id": "{id}", "method": "POST", "url": "/v1/chat/completions", "body": {{"model": "x", "messages": []}}}}"#
    )
}

/// A machine that knows no cluster.
fn machine(rows: &str) -> Machine {
    let machine = Machine::new("");
    machine.write("rows.jsonl", rows);
    machine
}

#[tokio::test]
async fn a_good_file_ends_with_zero() {
    let machine = machine(&format!("{}\n{}\n", row(1), row(2)));
    let ended = machine
        .run("validate rows.jsonl --model qwen3-8b --served-model-name x")
        .await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(ended.stdout, "rows.jsonl: good: 2 rows\n");
}

#[tokio::test]
async fn a_bad_file_ends_with_one_and_every_line_of_it() {
    let mut rows = String::new();
    for id in 0..20 {
        writeln!(rows, "{}", row(id)).unwrap();
        writeln!(rows, "{{}}").unwrap();
    }
    let machine = machine(&rows);
    let ended = machine.run("validate rows.jsonl").await;
    assert_eq!((ended.code, ended.stderr.as_str()), (1, ""));
    for line in (2..=40).step_by(2) {
        let expected = format!("rows.jsonl:{line}: custom_id is missing");
        assert!(ended.stdout.contains(&expected), "{expected}: {}", ended.stdout);
    }
    assert!(
        ended.stdout.ends_with("rows.jsonl: bad: 20 of 40 rows cannot be run\n"),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn a_model_that_nothing_serves_ends_with_one() {
    let machine = machine(&row(1));
    let ended = machine.run("validate rows.jsonl --model Qwen/Qwen3-8B").await;
    assert_eq!(ended.code, 1);
    assert!(
        ended.stdout.contains("nothing serves the model `x` of 1 row"),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn a_short_name_is_for_the_operator_s_catalog_to_decide() {
    let machine = machine(&row(1));
    for (model, told) in [
        ("qwen3-8b", ""),
        ("of-our-own", "warning: the catalog of this program has no"),
    ] {
        let ended = machine.run(&format!("validate rows.jsonl --model {model}")).await;
        assert_eq!(ended.code, 0, "{model}: {}", ended.stderr);
        assert!(ended.stderr.starts_with(told), "{model}: {}", ended.stderr);
        assert!(ended.stdout.ends_with("good: 1 row\n"), "{model}: {}", ended.stdout);
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_bad_but_missing() {
    let ended = machine("").run("validate other.jsonl").await;
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("other.jsonl"), "{}", ended.stderr);
}
