//! Resource profiles of the chart's values: a job that names one gets its resources, nodes and image, and another name is refused.

use serde_json::json;

use super::{CHART, Upgraded};
use crate::job::{FAKE_VLLM, Job};
use crate::rows::chats;
use crate::tenant::{Tenant, end_of};

#[tokio::test]
async fn a_job_gets_what_its_resource_profile_says() {
    let tenant = Tenant::start("profiles").await;
    let rows = chats(3, &json!({"hold": "held"}));
    tenant.put("rows.jsonl", &rows).await;
    let values = format!(
        r"resourceProfiles.gpus.resources.limits.nvidia\.com/gpu=1,resourceProfiles.gpus.nodeSelector.kubernetes\.io/os=linux,resourceProfiles.gpus.image.VLLM={FAKE_VLLM}"
    );
    let upgraded = Upgraded::to(&tenant.client, CHART, &values).await;
    let job = |name: &str, profile: &str| {
        Job::new(&tenant, name)
            .on_vllm()
            .set("/server/resources/limits", json!({"memory": "256Mi"}))
            .set("/server/image", json!(null))
            .set("/server/resourceProfile", json!(profile))
    };
    tenant.submit(&job("other", "tpus")).await;
    tenant.submit(&job("job", "gpus:2")).await;
    tenant.until_received(3).await;

    assert_eq!(end_of(&tenant.end("other").await), "Failed: ResourceProfileUnknown");
    let pod = tenant.server_pods(&tenant.job("job").await).await.remove(0);
    let pod = serde_json::to_value(pod.spec).expect("serialises");
    assert_eq!(pod["nodeSelector"], json!({"kubernetes.io/os": "linux"}));
    let server = &pod["containers"][0];
    assert_eq!(server["resources"]["limits"]["nvidia.com/gpu"], "2");
    let args = server["args"].as_array().expect("arguments");
    let spread = [json!("--tensor-parallel-size"), json!("2")];
    assert!(args.windows(2).any(|pair| pair == spread), "{args:?}");

    tenant.release("job", "held").await;
    tenant.complete("job", &rows).await;
    drop(upgraded);
}
