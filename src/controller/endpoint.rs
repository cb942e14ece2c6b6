//! Jobs whose rows go to `spec.endpoint`: nothing is started for them, so nothing has to become ready, and no GPU is held. Pure.

use super::decide::{End, Plan, View};
use super::settings::Settings;
use crate::api::Engine;
use crate::api::condition::{ConditionType, ConditionUpdate};
use crate::api::endpoint::EndpointSpec;
use crate::api::reason::Reason;
use crate::api::status::Resolved;
use crate::api::wait::Wait;
use crate::engine::EndpointUrl;
use crate::storage::is_inside_cluster;

/// What the job runs with. Its answers are read as those of any server of the `OpenAI` API, which is what engine Custom stands for.
///
/// # Errors
/// When rows, or the key with them, cannot be sent there.
pub(super) fn resolve(
    endpoint: &EndpointSpec,
    decided: Option<Resolved>,
    settings: &Settings,
) -> Result<Resolved, Wait> {
    let refuse = |problem: String| Wait::new(Reason::SpecInvalid, format!("spec.endpoint.url {problem}"));
    let url: EndpointUrl = endpoint.url.parse().map_err(|error| refuse(format!("{error}")))?;
    if url.is_plain() && endpoint.api_key_secret_ref.is_some() && !is_inside_cluster(url.as_str()) {
        return Err(refuse(
            "is plain http:// outside the cluster, where the key could be read on the way: write https://".into(),
        ));
    }
    Ok(decided.unwrap_or_else(|| Resolved {
        engine: Engine::Custom,
        model: endpoint.model.clone(),
        served_model_name: endpoint.model.clone(),
        prices: Some(settings.prices.clone()),
        ..Resolved::default()
    }))
}

/// No GPU was held, and none is.
pub(super) fn no_servers() -> ConditionUpdate {
    let message = "the job starts no server, as its rows go to spec.endpoint: it holds no GPU";
    ConditionUpdate::new(ConditionType::GPUsReleased, true, Reason::NoServers, message)
}

impl View<'_> {
    /// In place of whether servers are ready: whether rows are sent to the endpoint.
    pub(super) fn endpoint_used(&self, endpoint: &EndpointSpec, plan: &Plan, end: Option<&End>) -> ConditionUpdate {
        let url = &endpoint.url;
        let update = |status: bool, reason, message: String| {
            ConditionUpdate::new(ConditionType::ServersReady, status, reason, message)
        };
        if plan.is_suspended {
            return update(false, Reason::Suspended, "the job is suspended".into());
        }
        if end.is_some() || !self.servers_needed() {
            return update(
                false,
                Reason::ServersNotNeeded,
                format!("no row is left to be sent to {url}"),
            );
        }
        match self.why_the_endpoint_waits(url, plan) {
            Some(wait) => update(false, wait.reason, wait.explain()),
            None => update(true, Reason::EndpointUsed, format!("rows are sent to {url}")),
        }
    }

    fn why_the_endpoint_waits(&self, url: &str, plan: &Plan) -> Option<Wait> {
        if plan.is_feeder_lost {
            return Some(Wait::new(Reason::FeederLost, "no feeder runs, so no row is sent"));
        }
        let unreachable = self
            .reported_wait()
            .filter(|wait| wait.reason == Reason::EndpointUnreachable);
        let is_hung = self.feeder().is_some_and(|feeder| !feeder.hung_servers.is_empty());
        unreachable
            .or_else(|| is_hung.then(|| Wait::new(Reason::EndpointHung, format!("{url} takes rows and answers none"))))
    }
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
