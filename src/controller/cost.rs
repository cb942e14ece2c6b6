//! What a job has cost, and what its GPUs may: pure, a part of [`super::decide`] and of the status.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::server_resources::is_device;
use super::timeline::{device_seconds, devices_held, to_the_second};
use crate::api::BatchInferenceJob;
use crate::api::amount::Amount;
use crate::api::prices::Prices;
use crate::api::reason::Reason;
use crate::api::status::{CostStatus, Resolved, ServersStatus, UsageStatus};
use crate::api::wait::Wait;

/// The cost is counted anew this often while nothing else changes, in seconds: each time is a write.
const COUNTED_EVERY: i64 = 60;

/// What tokens and devices cost; `None` before there are any.
#[must_use]
pub fn cost(
    prices: &Prices,
    usage: Option<UsageStatus>,
    servers: &ServersStatus,
    now: Timestamp,
) -> Option<CostStatus> {
    if usage.is_none() && servers.device_seconds.is_empty() {
        return None;
    }
    let tokens = usage.map_or(0, |usage| usage.total_tokens);
    Some(CostStatus {
        token_cost: prices.of_tokens(u64::try_from(tokens).unwrap_or(0)),
        gpu_cost: prices.of_devices(&servers.device_seconds),
        currency: prices.currency.clone(),
        counted_at: Time(to_the_second(now)),
    })
}

/// Whether what was counted is new enough: nothing was added, or less than a minute ago. A clock that is set back keeps nothing waiting.
#[must_use]
pub fn is_recent(counted: Option<&CostStatus>, new: Option<&CostStatus>) -> bool {
    let (Some(counted), Some(new)) = (counted, new) else {
        return false;
    };
    let is_same = (counted.token_cost, counted.gpu_cost) == (new.token_cost, new.gpu_cost);
    let age = new.counted_at.0.as_second() - counted.counted_at.0.as_second();
    is_same || (0..COUNTED_EVERY).contains(&age)
}

/// `spec.budget.maxGPUCost`, and how much of it is used up.
#[derive(Debug)]
pub(super) struct GpuBudget {
    most: Amount,
    cost: Amount,
    currency: String,
    lasts_until: Option<Timestamp>,
}

impl GpuBudget {
    /// Of a job with these servers; `None` without a budget, or where no device has a price.
    pub(super) fn of(job: &BatchInferenceJob, servers: &ServersStatus, now: Timestamp) -> Option<Self> {
        let most = job.spec.budget.as_ref()?.max_gpu_cost?;
        let resolved = job.status.as_ref()?.controller.resolved.as_ref()?;
        let prices = resolved.prices.as_ref()?;
        let cost = prices.of_devices(&device_seconds(servers, now))?;
        let seconds = prices.seconds_of(&devices_held(servers), most.less(cost));
        let lasts_until = seconds.and_then(|seconds| {
            let seconds = i64::try_from(seconds).ok()?;
            now.checked_add(SignedDuration::from_secs(seconds)).ok()
        });
        Some(Self {
            most,
            cost,
            currency: prices.currency.clone(),
            lasts_until,
        })
    }

    /// Until when it lasts with the devices of this moment; `None` while they cost nothing.
    pub(super) fn lasts_until(&self) -> Option<Timestamp> {
        self.lasts_until
    }

    /// That more is used up than may be, in words.
    pub(super) fn exceeded(&self) -> Option<String> {
        let Self {
            most, cost, currency, ..
        } = self;
        (cost > most).then(|| {
            format!("spec.budget.maxGPUCost is {most} {currency}, and the servers' devices cost {cost} {currency}")
        })
    }
}

/// Refuses a budget for devices without a price: it would never be used up.
///
/// # Errors
/// The refusal, which names one of them.
pub fn refuse_unpriced(
    job: &BatchInferenceJob,
    resolved: &Resolved,
    template: Option<&PodTemplateSpec>,
) -> Result<(), Wait> {
    let most = job.spec.budget.as_ref().and_then(|budget| budget.max_gpu_cost);
    let Some(device) = most.and_then(|_| unpriced_device(resolved, template)) else {
        return Ok(());
    };
    let message = format!(
        "spec.budget.maxGPUCost: {device} has no price: have one set in the operator's pricing.perGpuHour (\"0\" for what costs nothing), or \
         leave maxGPUCost out"
    );
    Err(Wait::new(Reason::SpecInvalid, message))
}

/// A device of a server that no price is known of, by name: a budget would not count it.
fn unpriced_device(resolved: &Resolved, template: Option<&PodTemplateSpec>) -> Option<String> {
    let pod = template.and_then(|template| template.spec.as_ref());
    let claims = pod.and_then(|pod| pod.resource_claims.as_ref());
    if let Some(claim) = claims.and_then(|claims| claims.first()) {
        return Some(format!("resource claim {}", claim.name));
    }
    let containers = pod.map_or(&[][..], |pod| &pod.containers);
    let of_template = containers
        .iter()
        .filter_map(|container| container.resources.as_ref()?.limits.as_ref());
    let limits = [&resolved.resources.limits].into_iter().chain(of_template);
    let mut names = limits
        .flat_map(|limits| limits.keys())
        .chain(resolved.resources.requests.keys());
    let is_priced = |name: &str| {
        let prices = resolved.prices.as_ref();
        prices.is_some_and(|prices| prices.per_gpu_hour.contains_key(name))
    };
    names.find(|name| is_device(name) && !is_priced(name)).cloned()
}

#[cfg(test)]
#[path = "cost_tests.rs"]
mod tests;
