//! Keys of the store that expire in mid-run: the wait has a name and no server, and the Secret may be changed at any time.

use batch_inference_operator::api::condition::ConditionType;

use super::commands::{Printed, run};
use super::job::Job;
use super::rows::twenty_and_one_held;
use super::tenant::{PATIENCE, Tenant};
use super::until::until;

/// A user of the store, who can be sent away. The store hears of both a moment later.
struct StoreUser {
    name: String,
    secret: String,
}

impl StoreUser {
    /// Gives the tenant's Secret the keys of a new user.
    async fn with_secret(tenant: &Tenant, name: &str) -> Self {
        let name = format!("{name}-{}", tenant.namespace);
        let secret = format!("{name}-secret");
        let user = Self { name, secret };
        let keys = format!("-access_key={} -secret_key={}", user.name, user.secret);
        let rights = "-buckets=tests -actions=Read,Write,List,Tagging";
        user.configure(&format!("{keys} {rights}")).await.expect("a new user");
        user.until_known(tenant, true).await;
        tenant.create_keys_of("store-keys", &user.name, &user.secret).await;
        user
    }

    async fn send_away(self, tenant: &Tenant) {
        self.configure("-delete").await.expect("a user who goes");
        self.until_known(tenant, false).await;
    }

    async fn until_known(&self, tenant: &Tenant, is_known: bool) {
        until("the store has heard of it", PATIENCE, async || {
            (tenant.knows(&self.name, &self.secret).await == is_known).then_some(())
        })
        .await;
    }

    async fn configure(&self, what: &str) -> Printed {
        let command = format!("s3.configure -apply -user={} {what}\n", self.name);
        let weed = ["deployment/object-store", "--", "/usr/bin/weed", "shell"];
        let mut arguments = vec!["exec", "--namespace", "test-store", "--stdin"];
        arguments.extend(weed);
        run("kubectl", &arguments, &command).await
    }
}

#[tokio::test]
async fn keys_that_expire_in_mid_run_are_waited_for_without_servers_until_the_secret_has_others() {
    let tenant = Tenant::without_keys("rotated").await;
    let first = StoreUser::with_secret(&tenant, "first").await;
    let rows = twenty_and_one_held();
    tenant.put("rows.jsonl", &rows).await;
    tenant.submit(&Job::new(&tenant, "job")).await;
    let job = tenant.until_completed("job", 20).await;
    first.send_away(&tenant).await;
    tenant.release("job", "held").await;
    let told = tenant
        .until_reason("job", ConditionType::ServersReady, "OutputNotWritable")
        .await;
    assert!(told.message.contains("spec.output.credentialsSecretRef"), "{told:?}");
    until("servers are given back", PATIENCE, async || {
        tenant.server_pods(&job).await.is_empty().then_some(())
    })
    .await;
    let second = StoreUser::with_secret(&tenant, "second").await;
    // The answer that came when the store refused it was lost with that start of the feeder.
    tenant.until_received(22).await;
    tenant.release("job", "held").await;
    let output = tenant.complete("job", &rows).await;
    assert_eq!(output.errors, "");
    second.send_away(&tenant).await;
}
