//! The operator may do what it does, and nothing else. Runs last: it reads what all other tests made the operator do.

mod quiet_job;

use serde_json::{Value, json};

use super::audit::{OPERATOR, Permissions, permissions, requests};
use super::commands::must;
use super::job::Job;
use super::tenant::Tenant;

/// Namespaces of tests that edit children, scale or suspend a job or create it anew, so that children are written again.
const REWRITTEN: [&str; 14] = [
    "test-edited",
    "test-deletion",
    "test-spec-changes",
    "test-upgrade",
    "test-suspended",
    "test-made-suspended",
    "test-tail",
    "test-dead-device",
    "test-server-deleted",
    "test-node-lost",
    "test-spot",
    "test-rotated",
    "test-resumed",
    "test-feeder-lost",
];

#[tokio::test]
async fn the_cluster_roles_hold_exactly_what_the_operator_uses_and_gives_to_feeders() {
    let given = given_to_a_feeder().await;
    let by_operator = requests(|user| user == OPERATOR);
    let by_feeders = requests(|user| user.starts_with("system:serviceaccount:test-") && user.ends_with("-feeder"));
    let refused: Vec<_> = by_operator
        .iter()
        .chain(&by_feeders)
        .filter(|request| request.is_forbidden())
        // An operator that is removed may outlive its role by a moment; without the Lease it would do nothing at all.
        .filter(|request| {
            request
                .object_ref
                .as_ref()
                .is_none_or(|object| object.resource != "leases")
        })
        // A feeder may outlive its role by a moment when its job is deleted.
        .filter(|request| {
            let deleted = ["deletion", "installation"].map(|test| format!("system:serviceaccount:test-{test}-"));
            !deleted.iter().any(|feeders| request.user.username.starts_with(feeders))
        })
        .collect();
    assert!(refused.is_empty(), "refused: {refused:#?}");

    let mut role_of_operator = allowed(&["clusterrole", "batch-inference-operator"]).await;
    // The Lease is in its own namespace.
    role_of_operator.extend(
        allowed(&[
            "--namespace",
            "batch-inference-system",
            "role",
            "batch-inference-operator",
        ])
        .await,
    );
    assert_eq!(
        role_of_operator,
        permissions(&by_operator),
        "the operator: role, then use"
    );
    let role_of_feeders = allowed(&["clusterrole", "batch-inference-operator-feeders"]).await;
    assert_eq!(
        role_of_feeders, given,
        "feeders: what the operator may give, then what it gives"
    );
    for (kind, verbs) in permissions(&by_feeders) {
        assert!(given[&kind].is_superset(&verbs), "feeders use {verbs:?} on {kind}");
    }
}

/// What the role of a job's feeder allows, of one that needs all that there is to give.
async fn given_to_a_feeder() -> Permissions {
    let tenant = Tenant::without_keys("permissions").await;
    let output = json!({"configMap": {"name": "results"}});
    tenant.submit(&Job::new(&tenant, "job").set("/output", output)).await;
    let job = tenant.job("job").await;
    tenant.feeder_pod(&job).await;
    allowed(&["--namespace", &tenant.namespace, "role", "job-feeder"]).await
}

#[tokio::test]
async fn nothing_is_written_twice_that_has_not_changed() {
    let names = [
        "deployments",
        "serviceaccounts",
        "roles",
        "rolebindings",
        "networkpolicies",
        "services",
        "jobs",
    ];
    let writes = requests(|user| user == OPERATOR);
    let mut seen = std::collections::BTreeMap::new();
    for request in writes
        .iter()
        .filter(|request| request.verb == "patch" && request.code() < 300 && !request.uri.contains("dryRun"))
    {
        let Some(object) = request
            .object_ref
            .as_ref()
            .filter(|object| names.contains(&object.resource.as_str()))
        else {
            continue;
        };
        if REWRITTEN.iter().any(|test| object.namespace.starts_with(test)) {
            continue;
        }
        *seen
            .entry((&object.namespace, &object.resource, &object.name))
            .or_insert(0) += 1;
    }
    assert!(seen.len() > 50, "only {} children were written", seen.len());
    let again: Vec<_> = seen.iter().filter(|(_, writes)| **writes > 1).collect();
    assert!(again.is_empty(), "written more than once: {again:#?}");
}

/// Half of all servers' deletions are later than this after the last word of their feeder: jobs that are ended by others than their
/// feeder are among them, and whatever else the machine did meanwhile.
const DELETED_WITHIN_MS: i64 = 1000;

#[tokio::test]
async fn servers_are_deleted_within_a_second_of_the_feeders_word() {
    let feeders = requests(|user| user.starts_with("system:serviceaccount:test-") && user.ends_with("-feeder"));
    let deleted = requests(|user| user == OPERATOR).into_iter();
    let deleted = deleted.filter(|request| request.has_done("delete", "deployments"));
    let mut after: Vec<_> = deleted
        .filter_map(|delete| {
            let servers = delete.object_ref?;
            let job = servers.name.strip_suffix("-server")?;
            let feeder = format!("system:serviceaccount:{}:{job}-feeder", servers.namespace);
            let words = feeders
                .iter()
                .filter(|patch| patch.user.username == feeder && patch.has_done("patch", "batchinferencejobs"));
            let last = words
                .map(|patch| patch.received)
                .filter(|at| *at <= delete.received)
                .max()?;
            Some(delete.received.as_millisecond() - last.as_millisecond())
        })
        .collect();
    after.sort_unstable();
    assert!(after.len() > 20, "only {} servers were deleted", after.len());
    let (median, worst) = (after[after.len() / 2], after[after.len() - 1]);
    eprintln!(
        "from the feeder's last word to the deletion, in milliseconds: median {median}, worst {worst}, all {after:?}"
    );
    assert!(median <= DELETED_WITHIN_MS, "{after:?}");
}

/// What a role allows.
async fn allowed(role: &[&str]) -> Permissions {
    let role = must("kubectl", &[&["get", "--output", "json"], role].concat()).await;
    let role: Value = serde_json::from_str(&role).expect("an object");
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().expect("a list").iter();
        items.map(|item| item.as_str().expect("a text").to_owned()).collect()
    };
    let mut allowed = Permissions::new();
    for rule in role["rules"].as_array().expect("rules") {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                allowed
                    .entry(format!("{group}/{resource}"))
                    .or_default()
                    .extend(texts(&rule["verbs"]));
            }
        }
    }
    allowed
}
