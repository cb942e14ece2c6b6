//! What the feeder has to say, and how it becomes the job's status. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::api::reason::Reason;
use crate::api::status::{
    AdaptersStatus, DatasetStatus, FeederStage, FeederState, FeederStatus, ModelStatus, Progress, ResultsStatus,
    UsageStatus,
};
use crate::api::wait::Wait;
use crate::results::{LedgerStatus, ModelRows};

use super::adapters;

/// As many hung servers are named, by the schema.
const MOST_HUNG_SERVERS: usize = 100;
/// As many idle servers are named, by the schema.
const MOST_IDLE_SERVERS: usize = 1000;
/// As many warnings are said, by the schema.
const MOST_WARNINGS: usize = 10;

/// Something that the feeder waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Where the data set is.
    Dataset,
    /// Where the results go.
    Output,
    /// The one place for a job that works in an output.
    Turn,
    /// Where the rows go, when somebody else runs it.
    Endpoint,
    /// The servers, which have to have adapters first.
    Adapters,
    /// The hub, which is asked about the model.
    Hub,
}

/// How fast rows are finished; nothing while that is not known, or none are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Rows per second of late, as a decimal number.
    pub rows_per_second: Option<String>,
    /// When the last row will be finished.
    pub ends_at: Option<Timestamp>,
}

/// How the job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// One of the conditions' reasons.
    pub reason: Reason,
    /// The reason in words, with what to do.
    pub message: String,
    /// Where the results are, when there are any.
    pub results: Option<ResultsStatus>,
}

impl End {
    /// An end without results.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            results: None,
        }
    }
}

/// Everything that the feeder has to say at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Which start of the feeder this is, counted from 1.
    pub attempt: u32,
    /// What it does.
    pub stage: FeederStage,
    /// Whether rows are left that need a model server.
    pub servers_needed: bool,
    /// How many servers the last rows need, when that is known.
    pub servers_wanted: Option<i32>,
    /// Pods of servers that they do not need.
    pub idle_servers: Vec<String>,
    /// What it waits for.
    pub waits: BTreeMap<Place, Wait>,
    /// What is not as it should be, though the work goes on.
    pub warnings: Vec<String>,
    /// How the job ended.
    pub end: Option<End>,
    /// What the hub said of the base model.
    pub model: Option<ModelStatus>,
    /// What inspection found.
    pub dataset: Option<DatasetStatus>,
    /// The adapters that rows name.
    pub adapters: Option<AdaptersStatus>,
    /// Rows finished.
    pub progress: Option<Progress>,
    /// Tokens of the finished rows.
    pub usage: Option<UsageStatus>,
    /// When a result last became durable.
    pub last_durable_at: Option<Timestamp>,
    /// Pods of servers that hang.
    pub hung_servers: Vec<String>,
}

impl Report {
    /// Whether an earlier start came as far as to rows: keys and places were good then.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        matches!(self.stage, FeederStage::Feeding | FeederStage::Finalizing)
    }

    /// What a feeder says first. It goes on from what an earlier start said: servers that were needed then stay until it
    /// is known that they are not.
    #[must_use]
    pub fn first(previous: Option<&FeederStatus>) -> Self {
        let previous = previous.cloned().unwrap_or_default();
        let feeder = previous.feeder.as_ref();
        let attempt = feeder.map_or(0, |feeder| u32::try_from(feeder.attempt).unwrap_or(0));
        Self {
            attempt: attempt.saturating_add(1),
            stage: feeder.map_or(FeederStage::Inspecting, |feeder| feeder.state),
            servers_needed: feeder.is_some_and(|feeder| feeder.servers_needed),
            servers_wanted: feeder.and_then(|feeder| feeder.servers_wanted),
            idle_servers: Vec::new(),
            waits: BTreeMap::new(),
            warnings: Vec::new(),
            end: None,
            last_durable_at: feeder.and_then(|feeder| feeder.last_durable_at.as_ref().map(|time| time.0)),
            hung_servers: Vec::new(),
            model: previous.model,
            dataset: previous.dataset,
            adapters: previous.adapters,
            progress: previous.progress,
            usage: previous.usage,
        }
    }

    /// Takes what the store has acknowledged of `total` rows.
    pub fn set_progress(&mut self, total: u64, ledger: &LedgerStatus, pace: Pace) {
        self.progress = Some(progress(total, ledger.results, ledger.errors, pace));
        self.usage = Some(usage(ledger.usage.prompt_tokens, ledger.usage.completion_tokens));
        self.count_adapters(&ledger.models);
    }

    /// Takes what the rows of each model have come to.
    pub fn count_adapters(&mut self, models: &BTreeMap<String, ModelRows>) {
        if let Some(adapters) = &mut self.adapters {
            adapters::count(adapters, models);
        }
    }

    /// Takes something that is not as it should be, though the work goes on.
    pub fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) && self.warnings.len() < MOST_WARNINGS {
            self.warnings.push(warning);
        }
    }

    /// The end: nothing is needed any more.
    pub fn set_end(&mut self, end: End) {
        self.stage = FeederStage::Ended;
        self.servers_needed = false;
        self.servers_wanted = None;
        self.idle_servers.clear();
        self.hung_servers.clear();
        self.waits.clear();
        if let Some(progress) = &mut self.progress {
            progress.rows_per_second = None;
            progress.estimated_completion_time = None;
        }
        self.end = Some(end);
    }

    /// As the status says it.
    #[must_use]
    pub fn status(&self) -> FeederStatus {
        let wait = self.waits.values().next();
        let waits: Vec<_> = self.waits.values().map(|wait| wait.message.as_str()).collect();
        let end = self.end.as_ref();
        FeederStatus {
            feeder: Some(FeederState {
                attempt: self.attempt.into(),
                state: self.stage,
                servers_needed: self.servers_needed,
                servers_wanted: self.servers_wanted.filter(|_| self.servers_needed),
                idle_servers: self.idle_servers.iter().take(MOST_IDLE_SERVERS).cloned().collect(),
                reason: end
                    .map(|end| end.reason)
                    .or(wait.map(|wait| wait.reason))
                    .map(|reason| reason.to_string()),
                message: end.map(|end| end.message.clone()).or(wait.map(|_| waits.join("; "))),
                warnings: self.warnings.clone(),
                last_durable_at: self.last_durable_at.map(Time),
                hung_servers: self.hung_servers.iter().take(MOST_HUNG_SERVERS).cloned().collect(),
            }),
            model: self.model.clone(),
            dataset: self.dataset.clone(),
            adapters: self.adapters.clone(),
            progress: self.progress.clone(),
            usage: self.usage,
            results: end.and_then(|end| end.results.clone()),
        }
    }
}

/// Whether the second status says more than progress, so that it should not wait.
#[must_use]
pub fn is_change_of_state(before: &FeederStatus, after: &FeederStatus) -> bool {
    without_progress(before) != without_progress(after)
}

fn without_progress(status: &FeederStatus) -> FeederStatus {
    let feeder = status.feeder.clone().map(|feeder| FeederState {
        last_durable_at: None,
        ..feeder
    });
    FeederStatus {
        feeder,
        progress: None,
        usage: None,
        model: status.model.clone(),
        dataset: status.dataset.clone(),
        adapters: status.adapters.clone().map(AdaptersStatus::without_progress),
        results: status.results.clone(),
    }
}

/// The progress of so many finished rows of `total`.
#[must_use]
pub fn progress(total: u64, results: u64, errors: u64, pace: Pace) -> Progress {
    let finished = u128::from(results) + u128::from(errors);
    let percent = (finished * 100).checked_div(total.into()).unwrap_or(100);
    Progress {
        total: number(total),
        completed: number(results),
        failed: number(errors),
        percent: i64::try_from(percent).unwrap_or(100),
        rows_per_second: pace.rows_per_second,
        estimated_completion_time: pace.ends_at.map(Time),
    }
}

/// The sums of tokens as the status has them.
#[must_use]
pub fn usage(prompt_tokens: u64, completion_tokens: u64) -> UsageStatus {
    UsageStatus {
        prompt_tokens: number(prompt_tokens),
        completion_tokens: number(completion_tokens),
        total_tokens: number(prompt_tokens.saturating_add(completion_tokens)),
    }
}

/// Kubernetes knows signed integers only.
pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Tokens;

    fn ledger(results: u64, errors: u64) -> LedgerStatus {
        LedgerStatus {
            results,
            errors,
            usage: Tokens {
                prompt_tokens: 70,
                completion_tokens: 7,
            },
            ..LedgerStatus::default()
        }
    }

    fn feeding() -> Report {
        let mut report = Report::first(None);
        report.stage = FeederStage::Feeding;
        report.servers_needed = true;
        let pace = Pace {
            rows_per_second: Some("2.5".into()),
            ends_at: None,
        };
        report.set_progress(300, &ledger(298, 1), pace);
        report.last_durable_at = Some(Timestamp::UNIX_EPOCH);
        report
    }

    fn json(report: &Report) -> serde_json::Value {
        serde_json::to_value(report.status()).unwrap()
    }

    #[test]
    fn the_first_feeder_of_a_job_inspects_and_needs_no_server() {
        let expected = serde_json::json!({"feeder": {"attempt": 1, "state": "Inspecting", "serversNeeded": false}});
        assert_eq!(json(&Report::first(None)), expected);
    }

    #[test]
    fn progress_is_of_durable_rows_and_rounded_down() {
        assert_eq!(
            json(&feeding()),
            serde_json::json!({
                "feeder": {
                    "attempt": 1, "state": "Feeding", "serversNeeded": true, "lastDurableAt": "1970-01-01T00:00:00Z",
                },
                "progress": {"total": 300, "completed": 298, "failed": 1, "percent": 99, "rowsPerSecond": "2.5"},
                "usage": {"promptTokens": 70, "completionTokens": 7, "totalTokens": 77},
            })
        );
        assert_eq!(progress(u64::MAX, u64::MAX, 0, Pace::default()).percent, 100);
    }

    #[test]
    fn a_restart_goes_on_from_what_was_said_and_frees_no_server() {
        let restarted = Report::first(Some(&feeding().status()));
        assert_eq!(
            restarted,
            Report {
                attempt: 2,
                ..feeding()
            }
        );
    }

    #[test]
    fn waits_are_said_and_forgotten_at_the_end() {
        let mut report = feeding();
        let away = |what: &str| Wait::new(Reason::StoreUnavailable, format!("the {what}'s store is away"));
        report.waits.insert(Place::Output, away("output"));
        assert_eq!(json(&report)["feeder"]["reason"], "StoreUnavailable");
        report.waits.insert(Place::Dataset, away("data set"));
        assert_eq!(
            json(&report)["feeder"]["message"],
            "the data set's store is away; the output's store is away"
        );
        report.set_end(End::new(Reason::ServerRefusesRequests, "401"));
        let feeder = json(&report)["feeder"].clone();
        assert_eq!(
            (&feeder["state"], &feeder["serversNeeded"]),
            (&"Ended".into(), &false.into())
        );
        assert_eq!(
            (&feeder["reason"], &feeder["message"]),
            (&"ServerRefusesRequests".into(), &"401".into())
        );
        assert_eq!(json(&report)["progress"].get("rowsPerSecond"), None);
    }

    type Change = fn(&mut Report);

    #[test]
    fn progress_alone_may_wait_and_nothing_else() {
        let before = feeding();
        let changes: [(Change, bool); 5] = [
            (
                |report| report.set_progress(300, &ledger(299, 1), Pace::default()),
                false,
            ),
            (|report| report.last_durable_at = None, false),
            (|report| report.servers_needed = false, true),
            (|report| report.stage = FeederStage::Finalizing, true),
            (
                |report| {
                    _ = report
                        .waits
                        .insert(Place::Dataset, Wait::new(Reason::StoreUnavailable, "away"));
                },
                true,
            ),
        ];
        for (number, (change, expected)) in changes.into_iter().enumerate() {
            let mut after = before.clone();
            change(&mut after);
            assert_eq!(
                is_change_of_state(&before.status(), &after.status()),
                expected,
                "change {number}"
            );
        }
    }
}
