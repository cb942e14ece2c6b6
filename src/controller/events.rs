//! Events: one for each change of phase, and for each new reason to wait, for `kubectl describe`.

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::core::DeserializeGuard;
use kube::{Client, Resource, ResourceExt};

use crate::api::BatchInferenceJob;
use crate::api::condition::{ConditionType, find};
use crate::api::names::{MANAGED_BY, label_value};
use crate::api::phase::Phase;
use crate::api::reason::Reason;
use crate::api::status::ControllerStatus;
use crate::api::wait::Wait;

/// The longest note that the API server takes, in bytes (events.k8s.io/v1, `note`).
const NOTE_LIMIT: usize = 1024;
/// HTTP status of an event whose name exists.
const CONFLICT: u16 = 409;

/// The event for a change of status, if it is one that a person should hear of.
#[must_use]
pub fn event_for(
    job: &BatchInferenceJob,
    before: &ControllerStatus,
    after: &ControllerStatus,
    reporter: &str,
    now: Timestamp,
) -> Option<Event> {
    let phase = after.phase?;
    let headline = headline(phase, after)?;
    let same = before.phase == after.phase
        && self::headline(phase, before)
            .is_some_and(|old| (&old.type_, &old.reason) == (&headline.type_, &headline.reason));
    if same {
        return None;
    }
    let warns = phase == Phase::Failed || !Reason::parse(&headline.reason)?.advice().starts_with("Nothing");
    // A job's name may fill all that a name may have, so the event's begins with what fits.
    let name = format!("{}.{:x}", label_value(&job.name_any()), now.as_nanosecond());
    Some(Event {
        action: Some(phase.to_string()),
        reason: Some(headline.reason.clone()),
        note: Some(note(&headline.message)),
        type_: Some(if warns { "Warning" } else { "Normal" }.into()),
        ..event(job, name, reporter, now)
    })
}

/// The event for a job that cannot be read, and so has no status. Its name is the same until the spec changes: however often the
/// job is looked at, it is told once.
#[must_use]
pub fn event_for_unreadable(
    job: &DeserializeGuard<BatchInferenceJob>,
    problem: &str,
    reporter: &str,
    now: Timestamp,
) -> Event {
    let generation = job.meta().generation.unwrap_or_default();
    let name = format!("{}.unreadable-{generation}", job.uid().unwrap_or_default());
    let wait = Wait::new(
        Reason::SpecInvalid,
        format!("this operator cannot read the job: {problem}"),
    );
    Event {
        action: Some("Reading".into()),
        reason: Some(wait.reason.to_string()),
        note: Some(note(&wait.explain())),
        type_: Some("Warning".into()),
        ..event(job, name, reporter, now)
    }
}

/// What all events have in common.
fn event<K: Resource<DynamicType = ()>>(job: &K, name: String, reporter: &str, now: Timestamp) -> Event {
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: job.namespace(),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        regarding: Some(job.object_ref(&())),
        reporting_controller: Some(MANAGED_BY.into()),
        reporting_instance: Some(reporter.into()),
        ..Event::default()
    }
}

fn note(message: &str) -> String {
    message[..message.floor_char_boundary(NOTE_LIMIT)].to_owned()
}

/// The condition that explains a phase.
fn headline(
    phase: Phase,
    status: &ControllerStatus,
) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    let kind = match phase {
        Phase::Pending => ConditionType::Reconciling,
        Phase::Validating => ConditionType::Validated,
        Phase::Provisioning | Phase::Running | Phase::Finalizing if feeder_waits(status) => {
            ConditionType::ResultsAvailable
        }
        Phase::Provisioning | Phase::Running | Phase::Finalizing => ConditionType::ServersReady,
        Phase::Suspended => ConditionType::Suspended,
        Phase::Completed => ConditionType::Complete,
        Phase::Cancelled | Phase::Failed => ConditionType::Failed,
    };
    find(&status.conditions, kind)
}

/// Whether the feeder's pod waits in the middle of the work: nothing goes on without it, whatever the servers do.
fn feeder_waits(status: &ControllerStatus) -> bool {
    find(&status.conditions, ConditionType::ResultsAvailable)
        .is_some_and(|results| results.status == "False" && results.reason != Reason::ResultsPending.as_str())
}

/// Sends an event. One that cannot be sent is logged: it must never hide what a reconcile did.
pub async fn publish(client: &Client, event: &Event) {
    let api: Api<Event> = Api::namespaced(client.clone(), &event.namespace().unwrap_or_default());
    match api.create(&PostParams::default(), event).await {
        Ok(_) => {}
        // It was told before.
        Err(kube::Error::Api(status)) if status.code == CONFLICT => {}
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "event not sent"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn running(results: &str) -> ControllerStatus {
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({"type": kind, "status": status, "reason": reason, "message": "",
                   "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        serde_json::from_value(json!({"phase": "Running", "conditions": [
            condition("ServersReady", "True", "ServersReady"),
            condition("ResultsAvailable", "False", results),
        ]}))
        .expect("a status")
    }

    #[test]
    fn a_feeder_that_waits_in_the_middle_is_an_event_once() {
        let job: BatchInferenceJob = serde_json::from_value(json!({
            "apiVersion": "batchinference.dev/v1alpha1",
            "kind": "BatchInferenceJob",
            "metadata": {"name": "triangles", "namespace": "geometry"},
            "spec": {"dataset": {"inline": ""}, "server": {"baseModel": "m"}, "output": {"uri": "s3://b/o/"}},
        }))
        .expect("a job");
        let event =
            |before: &str, after: &str| event_for(&job, &running(before), &running(after), "r", Timestamp::UNIX_EPOCH);
        let crash_loop = event("ResultsPending", "FeederCrashLooping").expect("an event");
        assert_eq!(crash_loop.reason.as_deref(), Some("FeederCrashLooping"));
        assert_eq!(crash_loop.type_.as_deref(), Some("Warning"));
        assert_eq!(event("FeederCrashLooping", "FeederCrashLooping"), None);
        assert_eq!(event("ResultsPending", "ResultsPending"), None);
    }

    #[test]
    fn a_job_that_cannot_be_read_is_told_once_for_each_spec() {
        let told = |generation: i64, at| {
            let job: DeserializeGuard<BatchInferenceJob> = serde_json::from_value(json!({
                "apiVersion": "batchinference.dev/v1alpha1",
                "kind": "BatchInferenceJob",
                "metadata": {"name": "triangles", "namespace": "geometry", "uid": "u-1", "generation": generation},
                "spec": {"server": {"baseModel": "m"}},
            }))
            .expect("a guard");
            let problem = job.0.as_ref().expect_err("no data set").error.clone();
            event_for_unreadable(&job, &problem, "r", Timestamp::from_second(at).expect("in range"))
        };
        let event = told(3, 1);
        assert_eq!(event.reason.as_deref(), Some("SpecInvalid"));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert!(
            event.note.as_ref().is_some_and(|note| note.contains("field dataset")),
            "{event:?}"
        );
        let regarding = event.regarding.clone().expect("an object");
        assert_eq!(
            (
                regarding.kind.as_deref(),
                regarding.name.as_deref(),
                regarding.uid.as_deref()
            ),
            (Some("BatchInferenceJob"), Some("triangles"), Some("u-1"))
        );
        assert_eq!(event.metadata, told(3, 2).metadata);
        assert_ne!(event.metadata, told(4, 2).metadata);
    }
}
