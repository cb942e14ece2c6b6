//! What a job does or waits for, in one line: its phase, and the condition that says why. Pure.

use super::job::{Job, Said};
use crate::api::condition::ConditionType::{Complete, Failed, Reconciling, ServersReady, Suspended, Validated};

/// The line.
#[must_use]
pub fn narration(job: &Job) -> String {
    let phase = job.phase();
    match why(job) {
        None => phase.to_owned(),
        Some(said) if said.message.is_empty() => format!("{phase}: {}", said.reason),
        Some(said) => format!("{phase}: {}: {}", said.reason, one_line(said.message)),
    }
}

/// An end, else a suspension, else the first thing in the order of a job's life that is not as it should be.
fn why(job: &Job) -> Option<Said<'_>> {
    let end = job.holds(Failed).or_else(|| job.holds(Complete));
    if let Some(said) = end.or_else(|| job.holds(Suspended)) {
        return Some(said);
    }
    let steps = [Validated, ServersReady].into_iter();
    let mut unmet = steps.filter_map(|kind| job.condition(kind).filter(|said| said.status != "True"));
    unmet
        .next()
        .or_else(|| job.holds(Reconciling))
        .or_else(|| feeder_waits(job))
}

/// What the feeder waits for while servers are ready: a store that is away, for one.
fn feeder_waits(job: &Job) -> Option<Said<'_>> {
    Some(Said {
        status: "True",
        reason: job.text("/status/feeder/reason")?,
        message: job.text("/status/feeder/message").unwrap_or_default(),
    })
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn condition(kind: &str, status: &str, reason: &str) -> Value {
        json!({"type": kind, "status": status, "reason": reason, "message": format!("{reason} in\nwords")})
    }

    fn said(phase: &str, conditions: &[Value], feeder: Value) -> String {
        narration(&Job::new(
            json!({"status": {"phase": phase, "conditions": conditions, "feeder": feeder}}),
        ))
    }

    #[test]
    fn the_first_unmet_step_says_what_is_waited_for() {
        let [validated, ready] = ["Validated", "ServersReady"].map(|kind| condition(kind, "True", "Fine"));
        let unready = condition("ServersReady", "False", "Unschedulable");
        for (phase, conditions, expected) in [
            (
                "Pending",
                vec![condition("Reconciling", "True", "SecretMissing")],
                "Pending: SecretMissing",
            ),
            (
                "Validating",
                vec![condition("Validated", "False", "Inspecting"), unready.clone()],
                "Validating: Inspecting",
            ),
            (
                "Provisioning",
                vec![validated.clone(), unready],
                "Provisioning: Unschedulable",
            ),
            (
                "Completed",
                vec![validated.clone(), condition("Complete", "True", "AllRowsSucceeded")],
                "Completed: AllRowsSucceeded",
            ),
            (
                "Failed",
                vec![
                    condition("Validated", "False", "DatasetInvalid"),
                    condition("Failed", "True", "DatasetInvalid"),
                ],
                "Failed: DatasetInvalid",
            ),
            (
                "Suspended",
                vec![condition("Suspended", "True", "Suspended")],
                "Suspended: Suspended",
            ),
        ] {
            let line = said(phase, &conditions, Value::Null);
            let reason = expected.rsplit(' ').next().unwrap();
            assert_eq!(line, format!("{expected}: {reason} in words"));
        }
        assert_eq!(said("Running", &[validated, ready], Value::Null), "Running");
    }

    #[test]
    fn a_running_job_says_what_its_feeder_waits_for() {
        let feeder = json!({"reason": "OutputUnavailable", "message": "the store is away"});
        assert_eq!(
            said("Running", &[], feeder),
            "Running: OutputUnavailable: the store is away"
        );
        assert_eq!(narration(&Job::new(json!({}))), "Pending");
    }
}
