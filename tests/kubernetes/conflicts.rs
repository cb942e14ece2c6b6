//! Somebody who writes to a job all the time: whoever works on it decides again from what is there, and nothing is lost.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::audit::requests;
use super::job::Job;
use super::rows::chats;
use super::tenant::Tenant;

/// Between two notes.
const PAUSE: Duration = Duration::from_millis(5);

/// Notes something on the job, again and again.
async fn write_all_the_time(tenant: &Tenant, name: &str) {
    let jobs = tenant.jobs();
    for number in 0_u64.. {
        let note = json!({"metadata": {"annotations": {"example.com/note": number.to_string()}}});
        // The job may be busy; the next note comes at once.
        let _ = jobs.patch(name, &PatchParams::default(), &Patch::Merge(note)).await;
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test]
async fn writes_that_conflict_all_the_time_are_decided_again_and_change_no_end() {
    let tenant = Tenant::start("conflicts").await;
    let rows = chats(300, &json!({"latency_ms": "2000"}));
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    tokio::select! {
        () = write_all_the_time(&tenant, "job") => {}
        job = tenant.end("job") => assert_eq!(job.name_any(), "job"),
    }
    let output = tenant.complete("job", &rows).await;
    assert_eq!(output.errors, "");
    assert!(tenant.received().values().all(|received| *received == 1));

    let refused = requests(|user| user.starts_with("system:serviceaccount:")).into_iter();
    let refused: Vec<_> = refused
        .filter(|request| {
            let object = request.object_ref.clone().unwrap_or_default();
            object.namespace == tenant.namespace && object.resource == "batchinferencejobs" && request.code() == 409
        })
        .map(|request| request.user.username)
        .collect();
    let of = |account: &str| refused.iter().filter(|user| user.ends_with(account)).count();
    assert!(
        of(":batch-inference-operator") > 0,
        "the controller met no conflict: {refused:?}"
    );
    assert!(of("-feeder") > 0, "the feeder met no conflict: {refused:?}");
}
