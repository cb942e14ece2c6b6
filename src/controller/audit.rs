//! Servers without a living job: looked for at the start and every ten minutes, told, and removed.
//!
//! Owner references remove what belongs to a job that is deleted. This is for what they cannot: children that were orphaned by hand
//! (`kubectl delete --cascade=orphan`), and whatever was written in the last moment of another controller. What does not carry our
//! labels and marks is never touched.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams};
use kube::core::{DeserializeGuard, ObjectList, PartialObjectMeta};
use kube::{Client, Resource, ResourceExt};
use tokio::time::sleep;

use super::children::Kind;
use super::exactly::{delete_exactly, of_uid};
use super::reconcile::is_finished;
use super::serve::Metrics;
use crate::api::BatchInferenceJob;
use crate::api::names::{
    ANNOTATION_JOB, ANNOTATION_POD_TEMPLATE, Component, LABEL_COMPONENT, LABEL_JOB_UID, LABEL_MANAGED_BY, MANAGED_BY,
};

const PERIOD: Duration = Duration::from_mins(10);
/// After a look that failed.
const RETRY: Duration = Duration::from_secs(10);
/// Objects of one answer of the API server.
const PAGE: u32 = 500;

/// Looks now and then, for ever.
pub async fn audit(client: Client, metrics: Metrics) {
    loop {
        match look(&client, &metrics).await {
            Ok(()) => sleep(PERIOD).await,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "servers could not be audited");
                sleep(RETRY).await;
            }
        }
    }
}

/// Servers are listed before jobs: one that is made meanwhile is not taken for a stray.
async fn look(client: &Client, metrics: &Metrics) -> kube::Result<()> {
    let deployments = list::<Deployment>(client).await?;
    let replica_sets = list::<ReplicaSet>(client).await?;
    let pods = list::<Pod>(client).await?;
    let living = living_jobs(client).await?;
    remove_strays(client, metrics, deployments, &living).await?;
    remove_strays(client, metrics, replica_sets, &living).await?;
    remove_strays(client, metrics, pods, &living).await
}

/// The uids of jobs that may have servers.
async fn living_jobs(client: &Client) -> kube::Result<BTreeSet<String>> {
    let jobs: Api<DeserializeGuard<BatchInferenceJob>> = Api::all(client.clone());
    let mut living = BTreeSet::new();
    // A job that cannot be read may live.
    let may_live = |job: &&DeserializeGuard<BatchInferenceJob>| job.0.as_ref().map_or(true, |job| !is_finished(job));
    let take = |page: Vec<_>| living.extend(page.iter().filter(may_live).filter_map(ResourceExt::uid));
    each_page(ListParams::default(), async |params| jobs.list(params).await, take).await?;
    Ok(living)
}

async fn list<K: Kind>(client: &Client) -> kube::Result<Vec<PartialObjectMeta<K>>> {
    let api: Api<K> = Api::all(client.clone());
    let labels = format!(
        "{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_COMPONENT}={},{LABEL_JOB_UID}",
        Component::Server.as_str()
    );
    let mut all = Vec::new();
    let labelled = ListParams::default().labels(&labels);
    each_page(
        labelled,
        async |params| api.list_metadata(params).await,
        |page| all.extend(page),
    )
    .await?;
    Ok(all)
}

/// Takes what is listed, page by page.
async fn each_page<T: Clone>(
    selection: ListParams,
    list: impl AsyncFn(&ListParams) -> kube::Result<ObjectList<T>>,
    mut take: impl FnMut(Vec<T>),
) -> kube::Result<()> {
    let mut page = selection.limit(PAGE);
    loop {
        let listed = list(&page).await?;
        take(listed.items);
        let Some(next) = listed.metadata.continue_.filter(|token| !token.is_empty()) else {
            return Ok(());
        };
        page = page.continue_token(&next);
    }
}

async fn remove_strays<K: Kind>(
    client: &Client,
    metrics: &Metrics,
    found: Vec<PartialObjectMeta<K>>,
    living: &BTreeSet<String>,
) -> kube::Result<()> {
    let mut refused = Ok(());
    for stray in found.iter().filter(|object| is_stray(*object, living)) {
        let (kind, namespace, name) = (K::kind(&()), stray.namespace().unwrap_or_default(), stray.name_any());
        tracing::warn!(%kind, %namespace, %name, "a server has no living job, and is removed");
        let api: Api<K> = Api::namespaced(client.clone(), &namespace);
        match delete_exactly(&api, &name, DeleteParams::foreground(), of_uid(stray.uid())).await {
            Ok(()) => metrics.stray_removed(&kind, &namespace, &name),
            // One that may not be removed must not keep the others.
            Err(error) => refused = Err(error),
        }
    }
    refused
}

/// Whether an object is a server of ours, and of no job that may have one.
fn is_stray<K: Resource>(object: &K, living: &BTreeSet<String>) -> bool {
    let marks = [ANNOTATION_POD_TEMPLATE, ANNOTATION_JOB];
    let is_ours = marks.iter().any(|mark| object.annotations().contains_key(*mark));
    let is_going = object.meta().deletion_timestamp.is_some();
    let uid = object.labels().get(LABEL_JOB_UID);
    is_ours && !is_going && uid.is_some_and(|uid| !living.contains(uid))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_servers_of_ours_without_a_living_job_are_strays() {
        let living = BTreeSet::from(["u-living".to_owned()]);
        let is_stray = |metadata: Value| {
            let pod: Pod = serde_json::from_value(json!({"metadata": metadata})).expect("a pod");
            super::is_stray(&pod, &living)
        };
        let labels = |uid: &str| json!({LABEL_JOB_UID: uid});
        let mark = json!({ANNOTATION_JOB: "job"});
        assert!(is_stray(json!({"labels": labels("u-gone"), "annotations": mark})));
        assert!(!is_stray(json!({"labels": labels("u-living"), "annotations": mark})));
        assert!(!is_stray(json!({"labels": labels("u-gone")})), "not one of ours");
        assert!(!is_stray(json!({"annotations": mark})), "whose it is, is not known");
        let going =
            json!({"labels": labels("u-gone"), "annotations": mark, "deletionTimestamp": "2026-11-24T10:00:00Z"});
        assert!(!is_stray(going));
    }
}
