//! Namespaces with rules of their own: users by number, quotas, limits.

use serde_json::json;

use super::job::Job;
use super::rows::chats;
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
