//! The operator may do what it does, and nothing else. Runs last: it reads what all other tests made the operator do.

use serde_json::Value;

use super::audit::{Permissions, permissions, requests};
use super::commands::must;

const OPERATOR: &str = "system:serviceaccount:batch-inference-system:batch-inference-operator";

#[tokio::test]
async fn the_cluster_roles_hold_exactly_what_operator_and_feeders_use() {
    let by_operator = requests(|user| user == OPERATOR);
    let by_feeders = requests(|user| user.starts_with("system:serviceaccount:test-") && user.ends_with("-feeder"));
    let refused: Vec<_> = by_operator
        .iter()
        .chain(&by_feeders)
        .filter(|request| request.is_forbidden())
        .collect();
    assert!(refused.is_empty(), "refused: {refused:#?}");

    assert_eq!(
        role("batch-inference-operator").await,
        permissions(&by_operator),
        "the operator: role, then use"
    );
    assert_eq!(
        role("batch-inference-operator-feeders").await,
        permissions(&by_feeders),
        "feeders: role, then use"
    );
}

#[tokio::test]
async fn nothing_is_written_twice_that_has_not_changed() {
    let names = [
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
        // Tests that edit children, or create a job anew, have each child written again.
        if object.namespace.starts_with("test-edited") || object.namespace.starts_with("test-deletion") {
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

/// What a ClusterRole allows.
async fn role(name: &str) -> Permissions {
    let role = must("kubectl", &["get", "clusterrole", name, "--output", "json"]).await;
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
