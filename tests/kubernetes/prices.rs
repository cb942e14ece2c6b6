//! What jobs cost, and jobs that are ended as they cost too much. `install` has the prices: those of the chart, and for an hour of a GPU
//! that of a second 1.00.

use batch_inference_operator::api::BatchInferenceJob;
use batch_inference_operator::api::condition::ConditionType;
use batch_inference_operator::api::prices::Prices;
use batch_inference_operator::api::status::CostStatus;
use serde_json::json;

use super::job::Job;
use super::rows::{chat, chats};
use super::stages::{count_codes, in_flight, stopping, until_stopping};
use super::tenant::{Tenant, condition, end_of};

fn cost(job: &BatchInferenceJob) -> CostStatus {
    let status = job.status.as_ref().expect("a status");
    status.controller.cost.clone().expect("a cost")
}

fn prices(job: &BatchInferenceJob) -> Prices {
    let resolved = job
        .status
        .as_ref()
        .and_then(|status| status.controller.resolved.as_ref());
    resolved.and_then(|resolved| resolved.prices.clone()).expect("prices")
}

fn tokens(job: &BatchInferenceJob) -> u64 {
    let usage = job
        .status
        .as_ref()
        .and_then(|status| status.reported.usage)
        .expect("a usage");
    u64::try_from(usage.total_tokens).expect("no less than nothing")
}

/// With its GPUs released, so that all is counted.
async fn released(tenant: &Tenant, name: &str) -> BatchInferenceJob {
    tenant
        .until_reason(name, ConditionType::GPUsReleased, "ServersGone")
        .await;
    tenant.job(name).await
}

#[tokio::test]
async fn a_job_says_what_it_has_cost_in_its_status_in_kubectl_get_and_in_its_manifest() {
    let tenant = Tenant::start("cost").await;
    let rows = chats(50, &json!({}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "job").on_vllm()).await;
    let output = tenant.complete("job", &rows).await;

    let job = released(&tenant, "job").await;
    let (cost, prices) = (cost(&job), prices(&job));
    assert_eq!(prices.currency, "USD");
    assert_eq!(cost.token_cost, prices.of_tokens(tokens(&job)));
    let seconds = &job
        .status
        .as_ref()
        .and_then(|status| status.controller.servers.as_ref())
        .expect("servers")
        .device_seconds;
    assert!(seconds["nvidia.com/gpu"] > 0, "{seconds:?}");
    assert_eq!(cost.gpu_cost, prices.of_devices(seconds));
    let table = tenant
        .kubectl(&["get", "bij", "job", "--output", "wide"])
        .await
        .expect("a table");
    for shown in ["COST", &cost.token_cost.to_string(), "GPU COST"] {
        assert!(table.contains(shown), "{shown:?} is not in {table}");
    }
    assert_eq!(
        output.manifest["cost"],
        json!({"tokenCost": cost.token_cost, "prices": prices})
    );
}

#[tokio::test]
async fn a_job_whose_tokens_cost_too_much_ends_with_what_is_there() {
    let tenant = Tenant::start("token-cost").await;
    let rows = chats(20, &json!({"hold": "first"})) + &chat("held", "", &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    // As much as 80 tokens cost, which is less than the first rows use.
    let job = Job::new(&tenant, "job").set("/budget", json!({"maxTokenCost": "0.00004"}));
    tenant.submit(&job).await;
    tenant.until_received(21).await;
    tenant.release("job", "first").await;

    let job = tenant.end("job").await;
    assert_eq!(end_of(&job), "Failed: BudgetExceeded");
    let failed = condition(&job, ConditionType::Failed).expect("it failed");
    assert!(
        failed.message.contains("spec.budget.maxTokenCost is 0.00004 USD"),
        "{}",
        failed.message
    );
    let cost = cost(&job);
    assert!(cost.token_cost > "0.00004".parse().expect("an amount"), "{cost:?}");
    assert_eq!(
        (cost.token_cost, cost.gpu_cost.map(|cost| cost.to_string())),
        (prices(&job).of_tokens(tokens(&job)), Some("0.00".into()))
    );
    let output = tenant.output("job").await;
    output.prove(&rows);
    let answered = output.results.lines().count();
    assert!((1..=20).contains(&answered), "{answered}");
    assert_eq!(count_codes(&output.errors, "batch_failed"), 21 - answered);
}

#[tokio::test]
async fn a_job_whose_gpus_cost_too_much_gives_them_back_and_ends_with_what_is_there() {
    let tenant = Tenant::start("gpu-cost").await;
    // Enough for the first rows on a busy machine.
    let job = Job::new(&tenant, "job")
        .on_vllm()
        .set("/budget", json!({"maxGPUCost": "60"}));
    let rows = in_flight(&tenant, job, "job").await;
    let decision = stopping(&until_stopping(&tenant, "job").await).expect("a decision");
    assert!(
        decision.message.starts_with("spec.budget.maxGPUCost is 60.00 USD"),
        "{decision:?}"
    );

    let job = tenant.end("job").await;
    assert_eq!(end_of(&job), "Failed: BudgetExceeded");
    let output = tenant.output("job").await;
    output.prove(&rows);
    assert_eq!(output.results.lines().count(), 20);
    assert_eq!(count_codes(&output.errors, "batch_failed"), 1);
    let cost = cost(&released(&tenant, "job").await).gpu_cost.expect("a cost of GPUs");
    assert!(cost > "60".parse().expect("an amount"), "{cost}");
}

#[tokio::test]
async fn budgets_that_cannot_be_counted_are_refused_by_name_and_take_nothing() {
    let tenant = Tenant::without_keys("no-price").await;
    let unpriced = json!({"memory": "256Mi", "amd.com/gpu": 1});
    let job = Job::new(&tenant, "unpriced").set("/server/resources/limits", unpriced);
    tenant.submit(&job.set("/budget", json!({"maxGPUCost": "1"}))).await;
    let ended = tenant.end("unpriced").await;
    assert_eq!(end_of(&ended), "Failed: SpecInvalid");
    let failed = condition(&ended, ConditionType::Failed).expect("it failed");
    let names = "spec.budget.maxGPUCost: amd.com/gpu has no price";
    assert!(failed.message.starts_with(names), "{}", failed.message);
    let children = tenant
        .kubectl(&["get", "jobs,deployments,pods", "--output", "name"])
        .await;
    assert_eq!(children.expect("a listing"), "");

    let wrong = Job::new(&tenant, "wrong").set("/budget", json!({"maxTokenCost": "five"}));
    let refusal = tenant.try_apply(&wrong.0).await.expect_err("a refusal");
    assert!(refusal.contains("spec.budget.maxTokenCost"), "{refusal}");
}
