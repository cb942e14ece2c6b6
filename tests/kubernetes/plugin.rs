//! `kubectl bij` of who may not read the store's Secret: data sets and rows go through a pod, in a namespace that admits restricted pods
//! only, with the rights of `docs/plugin.md` and no others.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::commands::{Printed, run};
use super::job::Job;
use super::rows::chats;
use super::tenant::{Tenant, end_of};

/// A person with some rights in the tenant's namespace, and a folder with a kubeconfig.
struct Person {
    folder: TempDir,
}

impl Person {
    /// One whose rights these are.
    async fn with(tenant: &Tenant, name: &str, rules: &Value) -> Self {
        let metadata = json!({"name": name});
        let subject = json!({"kind": "ServiceAccount", "name": name, "namespace": tenant.namespace});
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name});
        for object in [
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules}),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
                "roleRef": role, "subjects": [subject],
            }),
        ] {
            tenant.apply(&object).await;
        }
        let token = tenant.kubectl(&["create", "token", name]).await.expect("a token");
        let mut kubeconfig = tenant.kubeconfig().await;
        kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string()).expect("a file");
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the plugin with these words, in the folder.
    async fn bij(&self, words: &str) -> Printed {
        let folder = self.path().to_string_lossy().into_owned();
        let (chdir, kubeconfig) = (format!("--chdir={folder}"), format!("KUBECONFIG={folder}/kubeconfig"));
        let mut arguments = vec![chdir.as_str(), kubeconfig.as_str(), env!("CARGO_BIN_EXE_kubectl-bij")];
        arguments.extend(words.split(' '));
        run("env", &arguments, "").await
    }
}

/// The rights of the page, for jobs and for the way through the cluster.
fn rules(pods: &[&str]) -> Value {
    json!([
        {"apiGroups": ["batchinference.dev"], "resources": ["batchinferencejobs"], "verbs": ["get", "create"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": pods},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
    ])
}

async fn pods_left(tenant: &Tenant) -> String {
    let selector = "app.kubernetes.io/name=kubectl-bij";
    let pods = tenant
        .kubectl(&["get", "pods", "--selector", selector, "--output", "name"])
        .await;
    pods.expect("a listing")
}

#[tokio::test]
async fn who_may_not_read_the_secret_uploads_and_fetches_through_the_cluster() {
    let tenant = Tenant::without_keys("plugin").await;
    tenant.create_default_store().await;
    let rights = rules(&["create", "get", "list", "watch", "delete"]);
    let person = Person::with(&tenant, "person", &rights).await;
    // Several parts.
    let rows = chats(5, &json!({"filling": "x".repeat(4 << 20)}));
    std::fs::write(person.path().join("rows.jsonl"), &rows).expect("a file");

    let created = person
        .bij("create uploaded --dataset rows.jsonl --model qwen3-8b --suspend")
        .await;
    created.expect("a job");
    assert!(tenant.get("datasets/rows.jsonl").await == rows, "other rows");
    let uploaded = tenant.job("uploaded").await;
    assert_eq!(uploaded.spec.dataset.name.as_deref(), Some("rows"));
    assert_eq!(pods_left(&tenant).await, "");

    let job = Job::new(&tenant, "fetched")
        .set("/dataset", Value::Null)
        .set("/output", Value::Null);
    std::fs::write(person.path().join("job.json"), job.0.to_string()).expect("a file");
    std::fs::write(person.path().join("few.jsonl"), chats(5, &json!({}))).expect("a file");
    let created = person.bij("create -f job.json --dataset few.jsonl").await;
    created.expect("a job");
    assert_eq!(end_of(&tenant.end("fetched").await), "Complete: AllRowsSucceeded");
    person.bij("results fetched -o out.jsonl").await.expect("rows");
    let fetched = std::fs::read_to_string(person.path().join("out.jsonl")).expect("a file");
    assert_eq!(fetched, tenant.get("jobs/fetched/results.jsonl").await);
    assert_eq!(pods_left(&tenant).await, "");
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    let tenant = Tenant::without_keys("plugin-rights").await;
    tenant.create_default_store().await;
    let person = Person::with(&tenant, "person", &rules(&["get"])).await;
    std::fs::write(person.path().join("rows.jsonl"), chats(2, &json!({}))).expect("a file");
    let refused = person
        .bij("create uploaded --dataset rows.jsonl --model qwen3-8b")
        .await;
    let refused = refused.expect_err("a refusal");
    let expected = format!("you may not create pods in namespace `{}`", tenant.namespace);
    assert!(refused.contains(&expected), "{refused}");
    let jobs = tenant.kubectl(&["get", "bij", "--output", "name"]).await;
    assert_eq!(jobs.expect("a listing"), "");
}
