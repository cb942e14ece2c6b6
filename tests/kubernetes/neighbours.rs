//! Namespaces with rules of their own: users by number, quotas, limits.

use kube::ResourceExt;
use serde_json::json;

use super::job::Job;
use super::rows::{chats, twenty_and_one_held};
use super::tenant::Tenant;

#[tokio::test]
async fn a_job_runs_as_whatever_user_its_templates_give_it() {
    let tenant = Tenant::start("any-user").await;
    let rows = chats(5, &json!({}));
    tenant.put("rows.jsonl", &rows).await;
    // As OpenShift gives them: a user that no image knows, and group 0.
    let user = json!({"runAsUser": 1_000_770_000, "runAsGroup": 0});
    let template = |container: &str| json!({"spec": {"securityContext": user, "containers": [{"name": container, "securityContext": user}]}});
    let job = Job::new(&tenant, "job")
        .set("/feeder/podTemplate", template("feeder"))
        .set("/server/podTemplate", template("server"));
    tenant.submit(&job).await;
    tenant.until_received(1).await;
    let object = tenant.job("job").await;
    let mut pods = tenant.feeder_pods(&object).await;
    pods.extend(tenant.server_pods(&object).await);
    for pod in &pods {
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let users = containers.map(|container| {
            container
                .security_context
                .as_ref()
                .and_then(|context| context.run_as_user)
        });
        assert_eq!(users.collect::<Vec<_>>(), [Some(1_000_770_000)]);
    }
    tenant.complete("job", &rows).await;
}

#[tokio::test]
async fn servers_run_with_a_read_only_root_as_a_user_that_no_image_knows() {
    let tenant = Tenant::start("read-only").await;
    let rows = twenty_and_one_held();
    tenant.put("rows.jsonl", &rows).await;
    let user = json!({"runAsUser": 1_000_770_000, "runAsGroup": 0});
    let container = json!({"runAsUser": 1_000_770_000, "runAsGroup": 0, "readOnlyRootFilesystem": true});
    let template =
        json!({"spec": {"securityContext": user, "containers": [{"name": "server", "securityContext": container}]}});
    tenant
        .submit(&Job::new(&tenant, "job").set("/server/podTemplate", template))
        .await;
    tenant.until_received(21).await;
    let server = tenant.server_pods(&tenant.job("job").await).await.remove(0).name_any();
    let shell = async |script: &str| tenant.kubectl(&["exec", &server, "--", "sh", "-c", script]).await;
    assert_eq!(shell("id -u").await.expect("a number").trim(), "1000770000");
    let refused = shell("touch /file").await.expect_err("a refusal");
    assert!(refused.contains("Read-only file system"), "{refused}");
    // What engines write to is theirs all the same: weights, and what is temporary.
    shell("touch /cache/file /tmp/file").await.expect("places to write to");
    tenant.release("job", "held").await;
    tenant.complete("job", &rows).await;
}

#[tokio::test]
async fn a_job_runs_where_a_quota_asks_for_limits_and_a_limit_range_gives_them() {
    let tenant = Tenant::start("limits").await;
    let rows = chats(5, &json!({}));
    tenant.put("rows.jsonl", &rows).await;
    let hard = json!({"requests.cpu": "2", "limits.cpu": "4", "requests.memory": "2Gi", "limits.memory": "4Gi", "count/pods": "4"});
    let quota =
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "all"}, "spec": {"hard": hard}});
    let limits = json!([{"type": "Container", "default": {"cpu": "1", "memory": "512Mi"}, "defaultRequest": {"cpu": "50m", "memory": "64Mi"},
                         "max": {"cpu": "2", "memory": "1Gi"}}]);
    let range =
        json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "all"}, "spec": {"limits": limits}});
    tenant.apply(&quota).await;
    tenant.apply(&range).await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    tenant.complete("job", &rows).await;
}
