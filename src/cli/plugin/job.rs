//! A job as the API server has it: whatever its version of the definition knows, also what this one does not. Pure.

use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::api::BatchInferenceJob;
use crate::api::condition::ConditionType;
use crate::api::output::OutputSpec;

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job(Value);

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// With results to be used, or not.
    pub is_success: bool,
    /// The reason of its condition.
    pub reason: String,
    /// The reason in words.
    pub message: String,
}

/// What a condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// True, False or Unknown.
    pub status: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Why, in words.
    pub message: &'a str,
}

impl Job {
    /// A job from its JSON.
    #[must_use]
    pub fn new(mut object: Value) -> Self {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            // Nobody reads it, and kubectl does not show it either.
            metadata.remove("managedFields");
        }
        if object.is_object() {
            // Items of a list may come without.
            object["apiVersion"] = json!(BatchInferenceJob::api_version(&()));
            object["kind"] = json!(BatchInferenceJob::kind(&()));
        }
        Self(object)
    }

    /// The whole object.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.0
    }

    /// What is at a JSON pointer.
    #[must_use]
    pub fn value(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }

    /// A text at a JSON pointer.
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.value(pointer)?.as_str()
    }

    /// A whole number at a JSON pointer.
    #[must_use]
    pub fn number(&self, pointer: &str) -> Option<i64> {
        self.value(pointer)?.as_i64()
    }

    /// A time at a JSON pointer.
    #[must_use]
    pub fn time(&self, pointer: &str) -> Option<Timestamp> {
        self.text(pointer)?.parse().ok()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("/metadata/name").unwrap_or_default()
    }

    /// Kind and name, as `kubectl -o name` has them.
    #[must_use]
    pub fn full_name(&self) -> String {
        let kind = BatchInferenceJob::kind(&()).to_lowercase();
        format!("{kind}.{}/{}", BatchInferenceJob::group(&()), self.name())
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace").unwrap_or_default()
    }

    /// Its uid.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.text("/metadata/uid").unwrap_or_default()
    }

    /// Where it says that its results go.
    ///
    /// # Errors
    ///
    /// Its version of the definition has an output of another shape.
    pub fn output(&self) -> serde_json::Result<OutputSpec> {
        let output = self.value("/spec/output");
        output.map_or_else(
            || Ok(OutputSpec::default()),
            |output| serde_json::from_value(output.clone()),
        )
    }

    /// Its phase; Pending until the operator has seen it.
    #[must_use]
    pub fn phase(&self) -> &str {
        self.text("/status/phase").unwrap_or("Pending")
    }

    /// What a condition says.
    #[must_use]
    pub fn condition(&self, kind: ConditionType) -> Option<Said<'_>> {
        let conditions = self.value("/status/conditions")?.as_array()?;
        let condition = conditions.iter().find(|condition| condition["type"] == kind.as_str())?;
        let text = |field: &str| condition[field].as_str().unwrap_or_default();
        Some(Said {
            status: text("status"),
            reason: text("reason"),
            message: text("message"),
        })
    }

    /// What a condition that is true says.
    #[must_use]
    pub fn holds(&self, kind: ConditionType) -> Option<Said<'_>> {
        self.condition(kind).filter(|said| said.status == "True")
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        let of = |kind, is_success| {
            self.holds(kind).map(|said| End {
                is_success,
                reason: said.reason.to_owned(),
                message: said.message.to_owned(),
            })
        };
        of(ConditionType::Failed, false).or_else(|| of(ConditionType::Complete, true))
    }
}

impl TryFrom<DynamicObject> for Job {
    type Error = serde_json::Error;

    fn try_from(object: DynamicObject) -> Result<Self, Self::Error> {
        serde_json::to_value(object).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_conditions(conditions: Value) -> Job {
        Job::new(json!({"metadata": {"name": "x", "managedFields": []}, "status": {"conditions": conditions}}))
    }

    #[test]
    fn a_job_has_ended_when_complete_or_failed_is_true() {
        let condition =
            |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "R", "message": "m"});
        let end = |is_success| {
            Some(End {
                is_success,
                reason: "R".into(),
                message: "m".into(),
            })
        };
        for (conditions, expected) in [
            (json!([]), None),
            (
                json!([condition("Complete", "False"), condition("Failed", "False")]),
                None,
            ),
            (
                json!([condition("Complete", "True"), condition("Failed", "False")]),
                end(true),
            ),
            (
                json!([condition("Complete", "False"), condition("Failed", "True")]),
                end(false),
            ),
        ] {
            assert_eq!(with_conditions(conditions.clone()).end(), expected, "{conditions}");
        }
        assert_eq!(Job::new(json!({})).end(), None);
    }

    #[test]
    fn what_nobody_reads_is_left_out_and_the_kind_is_always_there() {
        let job = with_conditions(json!([]));
        assert_eq!(job.value("/metadata/managedFields"), None);
        assert_eq!(job.text("/kind"), Some("BatchInferenceJob"));
        assert_eq!(job.phase(), "Pending");
    }
}
