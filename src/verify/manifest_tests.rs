//! What the manifest says, and outputs without one.

use serde_json::{Value, json};

use super::testing::{DATASET, Job, fields, seven};
use super::*;
use crate::openai::{LineNumber, RowNumber, RowSet};
use crate::results::{Kind, MANIFEST, RESULTS, STOPPED, StopReason, Stopped, stop};

#[tokio::test]
async fn a_right_output_is_proven_with_its_counts() {
    let Verdict::Proven(proven) = seven().await.verify().await else {
        panic!("not proven");
    };
    assert_eq!((proven.rows, proven.results, proven.errors), (7, 5, 2));
    assert_eq!((proven.usage.prompt_tokens, proven.usage.completion_tokens), (41, 10));
    for errors in [&[][..], &[0], &[0, 1, 2]] {
        Job::of(3, errors).await;
    }
}

#[tokio::test]
async fn every_wrong_field_of_the_manifest_is_told_by_its_name() {
    let seven_errors: RowSet = [1, 5].into_iter().map(RowNumber).collect();
    for (pointer, value, named) in [
        ("/outcome", json!("AllRowsSucceeded"), "outcome"),
        ("/identity", json!("0".repeat(64)), "identity"),
        ("/dataset/rows", json!(8), "dataset.rows"),
        ("/dataset/bytes", json!(8), "dataset.bytes"),
        ("/dataset/sha256", json!("0".repeat(64)), "dataset.sha256"),
        ("/results/key", json!("other.jsonl"), "results.key"),
        ("/results/rows", json!(6), "results.rows"),
        ("/results/bytes", json!(6), "results.bytes"),
        ("/results/sha256", json!("0".repeat(64)), "results.sha256"),
        ("/errors/rows", json!(6), "errors.rows"),
        ("/errors/bytes", json!(6), "errors.bytes"),
        ("/errors/sha256", json!("0".repeat(64)), "errors.sha256"),
        ("/usage/promptTokens", json!(6), "usage.promptTokens"),
        ("/usage/completionTokens", json!(6), "usage.completionTokens"),
        ("/usage/totalTokens", json!(6), "usage.totalTokens"),
        ("/cost/tokenCost", json!("0.03"), "cost.tokenCost"),
        ("/models/0/rows", json!(6), "models[base].rows"),
        (
            "/models/0/usage/promptTokens",
            json!(6),
            "models[base].usage.promptTokens",
        ),
        (
            "/models/0/usage/totalTokens",
            json!(6),
            "models[base].usage.totalTokens",
        ),
        ("/models", json!([]), "models[*] in sum.rows"),
        ("/proof/rowsIn", json!(6), "proof.rowsIn"),
        ("/proof/results", json!(6), "proof.results"),
        ("/proof/errors", json!(6), "proof.errors"),
        ("/proof/errorRows", json!(seven_errors), ""),
    ] {
        let job = seven().await;
        job.set(pointer, value).await;
        let told = job.told().await;
        if named.is_empty() {
            let moved = "which is due in";
            assert!(
                told.iter().any(|text| text.contains(moved) || text.contains("is due")),
                "{told:?}"
            );
        } else {
            assert!(fields(&told).contains(&named), "{pointer}: {told:?}");
        }
    }
}

#[tokio::test]
async fn error_rows_beyond_the_data_set_are_told() {
    let job = seven().await;
    let rows: RowSet = [1, 4, 99].into_iter().map(RowNumber).collect();
    job.set("/proof/errorRows", json!(rows)).await;
    assert_eq!(
        job.told().await,
        [
            "manifest.json, field proof.errorRows: 3 rows, but the files say 2 rows",
            "manifest.json, field proof.errorRows: row 99 is in it, but the files say 7 rows, counted from 0",
        ]
    );
}

#[tokio::test]
async fn a_job_that_was_stopped_is_proven_and_what_is_wrong_with_the_decision_is_told() {
    let why = |code| json!({"code": code, "message": "why", "at": "2026-11-24T08:04:00Z"});
    let with = async |errors: &[u64], outcome: &str, code| {
        let job = Job::of(3, errors).await;
        let mut manifest: Value = serde_json::from_str(&job.read(MANIFEST).await).unwrap();
        manifest["outcome"] = json!(outcome);
        manifest["stopped"] = why(code);
        job.write(MANIFEST, &manifest.to_string()).await;
        job
    };
    for (errors, outcome, code) in [
        (&[][..], "Cancelled", "batch_cancelled"),
        (&[0, 2], "DeadlineExceeded", "batch_expired"),
        (&[0, 1, 2], "TooManyFailedRows", "batch_failed"),
    ] {
        let job = with(errors, outcome, code).await;
        assert!(matches!(job.verify().await, Verdict::Proven(_)), "{outcome}");
    }
    let told = with(&[], "RowsFailAlike", "batch_failed").await.told().await;
    let expected = "manifest.json, field outcome: RowsFailAlike, but the files say AllRowsSucceeded";
    assert_eq!(told, [expected]);

    let job = with(&[0], "Cancelled", "batch_cancelled").await;
    let decided = Stopped {
        reason: StopReason::Cancelled,
        message: "why".into(),
        at: "2026-11-24T08:04:00Z".into(),
    };
    stop(&job.store, &decided).await.unwrap();
    assert!(matches!(job.verify().await, Verdict::Proven(_)));
    let other = job.read(STOPPED).await.replace("why", "another reason");
    job.write(STOPPED, &other).await;
    assert_eq!(fields(&job.told().await), ["stopped (by stopped.json)"]);
}

#[tokio::test]
async fn a_job_file_that_is_damaged_or_of_other_work_is_told() {
    let job = seven().await;
    let claim = job.read("job.json").await;
    job.write("job.json", &claim.replace("\"base\"", "\"other\"")).await;
    assert_eq!(fields(&job.told().await), ["identity"]);
    job.write("job.json", &claim[..claim.len() / 2]).await;
    let told = job.told().await;
    assert_eq!(fields(&told), ["identity"]);
    assert!(
        told[0].contains("nothing, as job.json is not what this version writes"),
        "{told:?}"
    );
}

#[tokio::test]
async fn of_many_differences_ten_are_described_and_all_are_counted() {
    let job = Job::of(40, &[]).await;
    job.edit(RESULTS, |lines| lines.truncate(10)).await;
    let Verdict::Differs(differences) = job.verify().await else {
        panic!("proven");
    };
    assert_eq!(differences.more(), 20);
    assert_eq!(differences.described().count() as u64 + 20, differences.total());
    let first = differences.described().next();
    let Some(Difference::Missing {
        row,
        file: Kind::Result,
    }) = first
    else {
        panic!("{first:?}");
    };
    assert_eq!((row.number.0, row.line), (10, LineNumber(14)));
}

#[tokio::test]
async fn an_output_without_a_manifest_says_what_is_there() {
    let finished = seven().await;
    let job = Job::copy_of(&finished, &[DATASET]).await;
    let text = async || match job.verify().await {
        Verdict::Unfinished(unfinished) => (unfinished.to_string(), unfinished.is_nothing()),
        other => panic!("{other:?}"),
    };
    let (nothing, is_nothing) = text().await;
    assert!(
        nothing.ends_with("nothing else of a job is there: correct --output") && is_nothing,
        "{nothing}"
    );
    for key in ["job.json", "segments/a000001-00000000.seg"] {
        job.write(key, &finished.read(key).await).await;
    }
    let expected = "`s3://memory/manifest.json` does not exist: the job has not ended\n  \
                    job.json: job default/triangles, 7 rows\n  \
                    1 segments with 7 rows: 5 results, 2 errors\n  \
                    no stopped.json: unless a job still works on it, create the job again with the same output and without \
                    spec.shutdown, and it goes on where it was";
    assert_eq!(text().await, (expected.into(), false));
    job.write(RESULTS, "").await;
    let told = text().await.0;
    assert!(
        told.contains("\n  results.jsonl, which does not count before there is a manifest\n"),
        "{told}"
    );
}

#[tokio::test]
async fn an_output_of_a_job_that_was_decided_to_end_does_not_say_that_its_rows_would_be_run() {
    let finished = seven().await;
    let job = Job::copy_of(&finished, &[DATASET, "job.json", "segments/a000001-00000000.seg"]).await;
    let decided = Stopped {
        reason: StopReason::Cancelled,
        message: "spec.shutdown is Stop".into(),
        at: "2026-11-24T08:04:00Z".into(),
    };
    stop(&job.store, &decided).await.unwrap();
    let Verdict::Unfinished(unfinished) = job.verify().await else {
        panic!("there is no manifest");
    };
    let told = unfinished.to_string();
    let ends = "\n  stopped.json: the job was decided to end as Cancelled at 2026-11-24T08:04:00Z; a job with the same output writes \
                what is there as its results, and to run the other rows choose another output";
    assert!(told.ends_with(ends), "{told}");
}
