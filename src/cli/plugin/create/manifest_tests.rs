use clap::Parser;

use super::super::super::arguments::{Arguments, Command};
use super::super::CreateArguments;
use super::super::dataset::Dataset;
use super::*;

fn flags(words: &str) -> CreateArguments {
    let line = format!("kubectl-bij create x {words}");
    let arguments = Arguments::try_parse_from(line.split_whitespace()).unwrap();
    let Command::Create(create) = arguments.command else {
        panic!("another command");
    };
    *create
}

fn try_made(words: &str) -> Result<Value, FlagError> {
    let flags = flags(words);
    let dataset = Dataset::of(&flags.rows)?;
    manifest(Some("x"), &flags.job, dataset.rows())
}

fn made(words: &str) -> Value {
    try_made(words).unwrap()
}

#[test]
fn the_smallest_jobs_have_what_they_need() {
    assert_eq!(
        made("--model qwen3-8b --dataset s3://b/rows.jsonl --output-uri s3://b/out/"),
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
    let unnamed = manifest(None, &JobFlags::default(), None).unwrap();
    assert_eq!(unnamed["metadata"], json!({"generateName": "batch-"}));
}

#[test]
fn a_job_of_the_default_store_names_neither_uri_nor_secret() {
    for words in ["--dataset a/my_rows.jsonl", "--dataset-name my_rows"] {
        let job = made(&format!("{words} --model qwen3-8b"));
        let expected = json!({"dataset": {"name": "my_rows"}, "server": {"baseModel": "qwen3-8b"}});
        assert_eq!(job["spec"], expected);
        let read: BatchInferenceJob = serde_json::from_value(job).unwrap();
        read.validate_cel().unwrap();
    }
}

#[test]
fn adapters_of_predibase_have_their_secret() {
    let job =
        made("--dataset-name rows --model llama-3-1-8b --engine lorax --adapters pbase --adapters-secret predibase");
    let adapters = json!({"source": "PBase", "credentialsSecretRef": {"name": "predibase"}});
    assert_eq!(job["spec"]["server"]["adapters"], adapters);
    let read: BatchInferenceJob = serde_json::from_value(job).unwrap();
    read.validate_cel().unwrap();
}

#[test]
fn a_server_may_be_as_a_deployment_has_it_and_results_in_a_config_map() {
    let job = made("--dataset-name rows --from-deployment mistral-7b --output-config-map results");
    let expected = json!({
        "dataset": {"name": "rows"},
        "server": {"from": {"deployment": {"name": "mistral-7b"}}},
        "output": {"configMap": {"name": "results"}},
    });
    assert_eq!(job["spec"], expected);
    let read: BatchInferenceJob = serde_json::from_value(job).unwrap();
    read.validate_cel().unwrap();
}

/// Every flag at once: the job must be one that the definition knows, with nothing lost on the way.
#[test]
fn every_flag_becomes_its_field() {
    let job = made(
        "--model qwen3-8b --output-uri s3://b/out/ --dataset s3://b/rows.jsonl --secret keys --engine sglang \
         --served-model-name gpt-4o-mini --image-tag v1 --hf-token-secret hf:token --revision main \
         --resource-profile l4:2 --service-account mine --max-token-cost 2.50 --max-gpu-cost 30.00 --quantization fp8 \
         --adapters local --adapters-location /adapters --replicas 2 --arg --max-model-len=8192 --invalid-rows Skip \
         --max-failed-rows 10% --max-total-tokens 5000 --active-deadline-seconds 60 --ttl-seconds-after-finished 0 --suspend",
    );
    let expected = json!({
        "dataset": {"uri": "s3://b/rows.jsonl", "credentialsSecretRef": {"name": "keys"}, "invalidRows": "Skip"},
        "server": {
            "baseModel": "qwen3-8b",
            "revision": "main",
            "resourceProfile": "l4:2",
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
        "feeder": {"serviceAccountName": "mine"},
        "rowPolicy": {"maxFailedRows": "10%"},
        "budget": {"maxTotalTokens": 5000, "maxTokenCost": "2.50", "maxGPUCost": "30.00"},
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
    assert!(has_all_of(&written["spec"], &expected), "{written}");
}

/// Whether one has every field of the other; it may have defaults besides.
fn has_all_of(written: &Value, expected: &Value) -> bool {
    match expected.as_object() {
        Some(fields) => fields.iter().all(|(name, value)| has_all_of(&written[name], value)),
        None => written == expected,
    }
}

#[test]
fn failed_rows_are_a_number_or_a_share() {
    assert_eq!((number_or_share("7"), number_or_share("7%")), (json!(7), json!("7%")));
}

#[test]
fn a_claim_has_no_keys() {
    let job = made("--model qwen3-8b --dataset pvc://claim/rows.jsonl --output-uri s3://b/out/ --secret keys");
    assert_eq!(job["spec"]["dataset"], json!({"uri": "pvc://claim/rows.jsonl"}));
    let output = json!({"uri": "s3://b/out/", "credentialsSecretRef": {"name": "keys"}});
    assert_eq!(job["spec"]["output"], output);
}

#[test]
fn a_secret_that_opens_nothing_is_refused() {
    for words in [
        "--dataset-name rows",
        "--dataset a/rows.jsonl --output-config-map results",
        "--dataset pvc://claim/rows.jsonl --output-uri pvc://claim/out/",
    ] {
        let refused = try_made(&format!("{words} --model qwen3-8b --secret keys"));
        let secret = "keys".to_owned();
        assert_eq!(refused, Err(FlagError::UnusedSecret { secret }), "{words}");
    }
}
