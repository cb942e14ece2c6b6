//! Objects by the job that they belong to, as the events of one watch tell of them.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use tokio::sync::watch;

use super::JobRef;
use crate::api::BatchInferenceJob;
use crate::api::names::{ANNOTATION_JOB, LABEL_JOB_UID};

/// The objects of one kind.
pub(super) struct ByJob<V> {
    known: RwLock<Known<V>>,
    is_synced: watch::Sender<bool>,
}

struct Known<V> {
    jobs: Jobs<V>,
    /// What a list that has begun has brought so far: it takes the place of the others when it has ended.
    listed: Jobs<V>,
}

/// By the job's uid.
type Jobs<V> = HashMap<String, Children<V>>;

struct Children<V> {
    /// Namespace and name of the job.
    job: Option<(String, String)>,
    /// By name; a job has few.
    objects: Vec<(String, V)>,
}

impl<V> Default for ByJob<V> {
    fn default() -> Self {
        Self {
            known: RwLock::new(Known {
                jobs: HashMap::new(),
                listed: HashMap::new(),
            }),
            is_synced: watch::Sender::new(false),
        }
    }
}

impl<V: Clone> ByJob<V> {
    /// Those of the job with this uid.
    pub(super) fn of(&self, job: &str) -> Vec<V> {
        let known = self.read();
        let children = known.jobs.get(job).into_iter().flat_map(|children| &children.objects);
        children.map(|(_, object)| object.clone()).collect()
    }

    /// Waits until the first list has ended.
    pub(super) async fn synced(&self) {
        // The sender is `self`, so there is no other end than being synced.
        let _ = self.is_synced.subscribe().wait_for(|is_synced| *is_synced).await;
    }

    /// Takes an event; of an object, what `keep` leaves. The jobs that are to be looked at now: none for what was there at the start.
    pub(super) fn take<K: Resource>(&self, event: Event<K>, keep: impl Fn(K) -> Option<V>) -> Vec<JobRef> {
        let mut known = self.write();
        match event {
            Event::Init => known.listed = HashMap::new(),
            Event::InitApply(object) => {
                put(&mut known.listed, object, keep);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut known.listed);
                let before = std::mem::replace(&mut known.jobs, listed);
                if self.is_synced.send_replace(true) {
                    return before.values().chain(known.jobs.values()).filter_map(job_ref).collect();
                }
            }
            Event::Apply(object) => return change(&mut known.jobs, object, keep),
            Event::Delete(object) => return change(&mut known.jobs, object, |_| None),
        }
        Vec::new()
    }

    fn read(&self) -> RwLockReadGuard<'_, Known<V>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known<V>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a change of an object, and says whose it was and is.
fn change<K: Resource, V>(jobs: &mut Jobs<V>, object: K, keep: impl Fn(K) -> Option<V>) -> Vec<JobRef> {
    let was = take_from_another(jobs, &object);
    was.into_iter().chain(put(jobs, object, keep)).collect()
}

/// Takes an object from the job whose label it had, when somebody has removed or changed that label: it would be held for ever, as its
/// deletion does not tell of that job either.
fn take_from_another<K: Resource, V>(jobs: &mut Jobs<V>, object: &K) -> Option<JobRef> {
    let (namespace, name) = (object.namespace(), object.name_any());
    let holds = |children: &Children<V>| {
        let is_near = children.job.as_ref().map(|(namespace, _)| namespace) == namespace.as_ref();
        is_near && children.objects.iter().any(|(other, _)| *other == name)
    };
    let label = object.labels().get(LABEL_JOB_UID);
    if label.and_then(|uid| jobs.get(uid)).is_some_and(holds) {
        return None;
    }
    // All are looked through, but only for what is new or is nobody's any more.
    let uid = jobs.iter().find(|(_, children)| holds(children))?.0.clone();
    let children = jobs.get_mut(&uid)?;
    children.objects.retain(|(other, _)| *other != name);
    let job = job_ref(children);
    if children.objects.is_empty() {
        jobs.remove(&uid);
    }
    job
}

/// Puts an object in the place of what was known of it, and says whose it is.
fn put<K: Resource, V>(jobs: &mut Jobs<V>, object: K, keep: impl Fn(K) -> Option<V>) -> Option<JobRef> {
    let uid = object.labels().get(LABEL_JOB_UID)?.clone();
    let name = object.name_any();
    let job = job_of(&object);
    let children = jobs.entry(uid.clone()).or_insert_with(|| Children {
        job: None,
        objects: Vec::new(),
    });
    children.job = job.or(children.job.take());
    children.objects.retain(|(other, _)| *other != name);
    children.objects.extend(keep(object).map(|kept| (name, kept)));
    let job = job_ref(children);
    if children.objects.is_empty() {
        jobs.remove(&uid);
    }
    job
}

/// Namespace and name of the job that an object belongs to: pods are owned by a Job or ReplicaSet, so they say it in an annotation.
fn job_of<K: Resource>(object: &K) -> Option<(String, String)> {
    let is_job = |kind: &str| kind == BatchInferenceJob::kind(&());
    let owners = object.owner_references().iter();
    let owner = owners
        .filter(|owner| owner.controller == Some(true) && is_job(&owner.kind))
        .map(|owner| &owner.name)
        .next();
    let name = owner.or_else(|| object.annotations().get(ANNOTATION_JOB))?;
    Some((object.namespace()?, name.clone()))
}

fn job_ref<V>(children: &Children<V>) -> Option<JobRef> {
    let (namespace, name) = children.job.as_ref()?;
    Some(JobRef::new(name).within(namespace))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    fn pod(name: &str, job: &str) -> Pod {
        let metadata = json!({"name": name, "namespace": "n", "resourceVersion": "1",
                              "labels": {LABEL_JOB_UID: format!("u-{job}")}, "annotations": {ANNOTATION_JOB: job}});
        serde_json::from_value(json!({"metadata": metadata})).expect("a pod")
    }

    /// Names of pods, by the events that are taken.
    struct Pods(ByJob<String>);

    impl Pods {
        fn take(&self, event: Event<Pod>) -> Vec<String> {
            let keep = |pod: Pod| pod.metadata.name.filter(|name| name != "not-kept");
            let mut jobs: Vec<_> = self.0.take(event, keep).into_iter().map(|job| job.name).collect();
            jobs.sort();
            jobs
        }
    }

    #[tokio::test]
    async fn objects_come_and_go_with_their_events_and_each_tells_its_job() {
        let pods = Pods(ByJob::default());
        assert_eq!(pods.take(Event::Init), [""; 0]);
        assert_eq!(pods.take(Event::InitApply(pod("a-1", "a"))), [""; 0]);
        assert_eq!(pods.0.of("u-a"), [""; 0], "a list counts when it has ended");
        assert_eq!(
            pods.take(Event::InitDone),
            [""; 0],
            "every job is looked at in the beginning"
        );
        pods.0.synced().await;
        assert_eq!(pods.0.of("u-a"), ["a-1"]);
        assert_eq!(pods.take(Event::Apply(pod("a-2", "a"))), ["a"]);
        assert_eq!(pods.take(Event::Apply(pod("a-2", "a"))), ["a"]);
        assert_eq!(pods.0.of("u-a"), ["a-1", "a-2"]);
        assert_eq!(pods.take(Event::Delete(pod("a-1", "a"))), ["a"]);
        assert_eq!(pods.take(Event::Apply(pod("not-kept", "a"))), ["a"]);
        assert_eq!(pods.0.of("u-a"), ["a-2"]);
        assert_eq!(pods.take(Event::Delete(pod("a-2", "a"))), ["a"]);
        assert!(pods.0.read().jobs.is_empty(), "nothing stays of a job that is gone");
    }

    #[test]
    fn a_new_list_tells_of_what_went_and_came_while_nobody_watched() {
        let pods = Pods(ByJob::default());
        for event in [
            Event::Init,
            Event::InitApply(pod("a-1", "a")),
            Event::InitDone,
            Event::Init,
        ] {
            pods.take(event);
        }
        assert_eq!(pods.take(Event::InitApply(pod("b-1", "b"))), [""; 0]);
        assert_eq!(
            pods.0.of("u-a"),
            ["a-1"],
            "what was known stands until the list has ended"
        );
        assert_eq!(pods.take(Event::InitDone), ["a", "b"]);
        assert_eq!((pods.0.of("u-a"), pods.0.of("u-b")), (vec![], vec!["b-1".to_owned()]));
    }

    #[test]
    fn an_object_whose_label_is_removed_or_changed_stays_with_no_job_that_it_had() {
        let unlabelled = |name: &str| {
            let mut pod = pod(name, "a");
            pod.metadata.labels = None;
            pod
        };
        let pods = Pods(ByJob::default());
        for event in [pod("a-1", "a"), pod("a-2", "a")].map(Event::Apply) {
            pods.take(event);
        }
        let mut elsewhere = unlabelled("a-1");
        elsewhere.metadata.namespace = Some("another".to_owned());
        assert_eq!(pods.take(Event::Apply(elsewhere)), [""; 0]);
        assert_eq!(pods.0.of("u-a"), ["a-1", "a-2"]);
        assert_eq!(pods.take(Event::Apply(unlabelled("a-1"))), ["a"]);
        assert_eq!(pods.0.of("u-a"), ["a-2"]);
        assert_eq!(pods.take(Event::Apply(pod("a-2", "b"))), ["a", "b"]);
        assert_eq!((pods.0.of("u-a"), pods.0.of("u-b")), (vec![], vec!["a-2".to_owned()]));
        assert_eq!(pods.take(Event::Delete(unlabelled("a-2"))), ["b"]);
        assert!(pods.0.read().jobs.is_empty());
    }

    #[test]
    fn what_is_not_labelled_with_a_job_is_left_out() {
        let pods = Pods(ByJob::default());
        let mut other = pod("x", "x");
        other.metadata.labels = None;
        assert_eq!(pods.take(Event::Apply(other)), [""; 0]);
        assert!(pods.0.read().jobs.is_empty());
    }
}
