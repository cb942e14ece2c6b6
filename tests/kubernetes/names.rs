//! Every name that Kubernetes takes for a job works.

use serde_json::json;

use super::job::Job;
use super::rows::chats;
use super::tenant::Tenant;

#[tokio::test]
async fn jobs_with_long_dotted_and_numeric_names_run() {
    let tenant = Tenant::start("names").await;
    let rows = chats(3, &json!({}));
    tenant.put("rows.jsonl", &rows).await;
    let long = "n".repeat(253);
    let names = [long.as_str(), "with.dots.in-it", "7-days"];
    for (number, name) in (0..).zip(names) {
        let output = tenant.uri(&format!("output-{number}/"));
        tenant
            .submit(&Job::new(&tenant, name).set("/output/uri", json!(output)))
            .await;
    }
    for name in names {
        tenant.end(name).await;
    }
    for (number, name) in (0..).zip(names) {
        let output = tenant.output(&format!("output-{number}")).await;
        output.prove(&rows);
        assert_eq!(output.manifest["job"]["name"], name);
    }
}
