//! Events: one for each change of phase, for each new reason to wait, and when GPUs are on a node that was lost, for `kubectl describe`.

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::core::DeserializeGuard;
use kube::{Client, Resource, ResourceExt};

use crate::api::BatchInferenceJob;
use crate::api::condition::{ConditionType, find, reason_of};
use crate::api::names::{MANAGED_BY, label_value};
use crate::api::phase::Phase;
use crate::api::reason::Reason;
use crate::api::status::ControllerStatus;
use crate::api::wait::Wait;

/// The longest note that the API server takes, in bytes (events.k8s.io/v1, `note`).
const NOTE_LIMIT: usize = 1024;
/// HTTP status of an event whose name exists.
const CONFLICT: u16 = 409;

/// What a person should hear of in a change of status.
#[must_use]
pub fn events_for(
    job: &BatchInferenceJob,
    before: &ControllerStatus,
    after: &ControllerStatus,
    reporter: &str,
    now: Timestamp,
) -> Vec<Event> {
    let Some(phase) = after.phase else { return Vec::new() };
    let told = [new_headline(phase, before, after), newly_lost(before, after)];
    // A job's name may fill all that a name may have, so the event's begins with what fits.
    let name = job.name_any();
    let begin = label_value(&name);
    let event_of = |(number, condition): (usize, &Condition)| Event {
        action: Some(phase.to_string()),
        reason: Some(condition.reason.clone()),
        note: Some(note(&condition.message)),
        type_: Some(if warns(phase, condition) { "Warning" } else { "Normal" }.into()),
        ..event(
            job,
            format!("{begin}.{:x}-{number}", now.as_nanosecond()),
            reporter,
            now,
        )
    };
    told.into_iter().flatten().enumerate().map(event_of).collect()
}

/// The condition that explains the phase, where it says something new.
fn new_headline<'a>(phase: Phase, before: &ControllerStatus, after: &'a ControllerStatus) -> Option<&'a Condition> {
    let headline = headline(phase, after)?;
    let is_same = before.phase == after.phase
        && self::headline(phase, before)
            .is_some_and(|old| (&old.type_, &old.reason) == (&headline.type_, &headline.reason));
    (!is_same).then_some(headline)
}

/// That GPUs are on a node that does not answer. No phase tells of it: the job may have ended, or be suspended, and somebody has to look
/// at the node.
fn newly_lost<'a>(before: &ControllerStatus, after: &'a ControllerStatus) -> Option<&'a Condition> {
    let lost = Reason::NodeLost.as_str();
    let released = find(&after.conditions, ConditionType::GPUsReleased).filter(|released| released.reason == lost)?;
    let was_told = reason_of(&before.conditions, ConditionType::GPUsReleased) == Some(lost);
    (!was_told).then_some(released)
}

fn warns(phase: Phase, told: &Condition) -> bool {
    let can_be_left = Reason::parse(&told.reason).is_some_and(|reason| reason.advice().starts_with("Nothing"));
    phase == Phase::Failed || !can_be_left
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
fn headline(phase: Phase, status: &ControllerStatus) -> Option<&Condition> {
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
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    /// A status with these conditions: type, status and reason.
    fn status(phase: &str, conditions: &[(&str, &str, &str)]) -> ControllerStatus {
        let condition = |(kind, status, reason): &(&str, &str, &str)| {
            json!({"type": kind, "status": status, "reason": reason, "message": "",
                   "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let conditions: Vec<_> = conditions.iter().map(condition).collect();
        serde_json::from_value(json!({"phase": phase, "conditions": conditions})).expect("a status")
    }

    /// Reasons and types of the events between two statuses.
    fn told(before: &ControllerStatus, after: &ControllerStatus) -> Vec<(String, String)> {
        let job: BatchInferenceJob = serde_json::from_value(json!({
            "apiVersion": "batchinference.dev/v1alpha1",
            "kind": "BatchInferenceJob",
            "metadata": {"name": "triangles", "namespace": "geometry"},
            "spec": {"dataset": {"inline": ""}, "server": {"baseModel": "m"}, "output": {"uri": "s3://b/o/"}},
        }))
        .expect("a job");
        let events = events_for(&job, before, after, "r", Timestamp::UNIX_EPOCH);
        let names: BTreeSet<_> = events.iter().map(|event| event.metadata.name.clone()).collect();
        assert_eq!(names.len(), events.len(), "each has a name of its own");
        let words = |event: Event| (event.reason.unwrap_or_default(), event.type_.unwrap_or_default());
        events.into_iter().map(words).collect()
    }

    fn warning(reason: &str) -> (String, String) {
        (reason.into(), "Warning".into())
    }

    #[test]
    fn a_feeder_that_waits_in_the_middle_is_an_event_once() {
        let running = |results: &str| {
            let ready = ("ServersReady", "True", "ServersReady");
            status("Running", &[ready, ("ResultsAvailable", "False", results)])
        };
        let told = |before: &str, after: &str| told(&running(before), &running(after));
        assert_eq!(
            told("ResultsPending", "FeederCrashLooping"),
            [warning("FeederCrashLooping")]
        );
        assert_eq!(told("FeederCrashLooping", "FeederCrashLooping"), []);
        assert_eq!(told("ResultsPending", "ResultsPending"), []);
    }

    #[test]
    fn gpus_on_a_lost_node_are_an_event_once_also_of_a_job_that_has_ended_or_is_suspended() {
        let ending = ("False", "ServersTerminating");
        let lost = ("Unknown", "NodeLost");
        for (phase, kind, reason) in [
            ("Completed", "Complete", "AllRowsSucceeded"),
            ("Suspended", "Suspended", "Suspended"),
        ] {
            let at =
                |(known, why): (&str, &str)| status(phase, &[(kind, "True", reason), ("GPUsReleased", known, why)]);
            assert_eq!(told(&at(ending), &at(lost)), [warning("NodeLost")], "{phase}");
            assert_eq!(told(&at(lost), &at(lost)), [], "{phase}");
            assert_eq!(told(&at(lost), &at(("True", "ServersGone"))), [], "{phase}");
            let finalizing = status("Finalizing", &[]);
            let both = [(reason.to_owned(), "Normal".to_owned()), warning("NodeLost")];
            assert_eq!(told(&finalizing, &at(lost)), both, "{phase}");
        }
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
