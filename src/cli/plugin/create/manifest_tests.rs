use clap::Parser;

use super::super::super::arguments::{Arguments, Command};
use super::*;

fn flags(words: &str) -> JobFlags {
    let line = format!("kubectl-bij create x --model qwen3-8b --output-uri s3://b/out/ {words}");
    let arguments = Arguments::try_parse_from(line.split_whitespace()).unwrap();
    let Command::Create(create) = arguments.command else {
        panic!("another command");
    };
    create.job
}

fn made(words: &str) -> Value {
    let flags = flags(words);
    let dataset = Dataset::of(&flags).unwrap();
    manifest(Some("x"), &flags, dataset.uri())
}

#[test]
fn the_smallest_job_has_what_it_needs() {
    assert_eq!(
        made("--dataset s3://b/rows.jsonl"),
        json!({
            "apiVersion": "batchinference.dev/v1alpha1",
            "kind": "BatchInferenceJob",
            "metadata": {"name": "x"},
            "spec": {
                "dataset": {"uri": "s3://b/rows.jsonl"},
                "server": {"baseModel": "qwen3-8b"},
                "output": {"uri": "s3://b/out/"},
            },
        })
    );
    let unnamed = manifest(None, &flags("--dataset s3://b/rows.jsonl"), "s3://b/rows.jsonl");
    assert_eq!(unnamed["metadata"], json!({"generateName": "batch-"}));
}

/// Every flag at once: the job must be one that the definition knows, with nothing lost on the way.
#[test]
fn every_flag_becomes_its_field() {
    let job = made(
        "--dataset s3://b/rows.jsonl --secret keys --engine sglang --served-model-name gpt-4o-mini --image-tag v1 \
         --hf-token-secret hf:token --quantization fp8 --adapters local --adapters-location /adapters --replicas 2 --arg --max-model-len=8192 --invalid-rows Skip \
         --max-failed-rows 10% --max-total-tokens 5000 --active-deadline-seconds 60 --ttl-seconds-after-finished 0 --suspend",
    );
    let expected = json!({
        "dataset": {"uri": "s3://b/rows.jsonl", "credentialsSecretRef": {"name": "keys"}, "invalidRows": "Skip"},
        "server": {
            "baseModel": "qwen3-8b",
            "engine": "SGLang",
            "servedModelNames": ["gpt-4o-mini"],
            "imageTag": "v1",
            "hfTokenSecretRef": {"name": "hf", "key": "token"},
            "quantization": "fp8",
            "adapters": {"source": "Local", "location": "/adapters"},
            "replicas": 2,
            "args": ["--max-model-len=8192"],
        },
        "output": {"uri": "s3://b/out/", "credentialsSecretRef": {"name": "keys"}},
        "rowPolicy": {"maxFailedRows": "10%"},
        "budget": {"maxTotalTokens": 5000},
        "activeDeadlineSeconds": 60,
        "ttlSecondsAfterFinished": 0,
        "suspend": true,
    });
    assert_eq!(job["spec"], expected);
    let read: BatchInferenceJob = serde_json::from_value(job.clone()).unwrap();
    // The rule of maxFailedRows asks for a type, which is not known here.
    let mut checked = read.clone();
    checked.spec.row_policy = None;
    checked.validate_cel().unwrap();
    let written = serde_json::to_value(&read).unwrap();
    for (section, fields) in expected.as_object().unwrap() {
        for field in fields.as_object().into_iter().flat_map(|fields| fields.keys()) {
            assert_eq!(written["spec"][section][field], fields[field], "{section}.{field}");
        }
    }
}

#[test]
fn failed_rows_are_a_number_or_a_share() {
    assert_eq!((number_or_share("7"), number_or_share("7%")), (json!(7), json!("7%")));
}

#[test]
fn a_claim_has_no_keys() {
    let job = made("--dataset pvc://claim/rows.jsonl --secret keys");
    assert_eq!(job["spec"]["dataset"], json!({"uri": "pvc://claim/rows.jsonl"}));
}

#[test]
fn a_file_needs_a_place_and_a_uri_is_one() {
    let of = |words: &str| Dataset::of(&flags(words));
    assert_eq!(
        of("--dataset rows.jsonl --dataset-uri s3://b/rows.jsonl"),
        Ok(Dataset::Local {
            file: "rows.jsonl".into(),
            uri: "s3://b/rows.jsonl".into()
        })
    );
    let error = of("--dataset rows.jsonl").unwrap_err().to_string();
    assert!(error.contains("--dataset-uri s3://BUCKET/KEY"), "{error}");
    let error = of("--dataset s3://b/rows.jsonl --dataset-uri s3://b/rows.jsonl").unwrap_err();
    assert_eq!(
        error,
        FlagError::TwoUris {
            uri: "s3://b/rows.jsonl".into()
        }
    );
}
