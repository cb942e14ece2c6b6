//! One controller works at a time: whoever holds the Lease. The others stand by and take over when it is not renewed.
//!
//! As in client-go (`tools/leaderelection` of Kubernetes 1.34): no clock of another machine is trusted. A term is over when it has
//! not changed for its whole length by our own clock, and a holder gives up well before that.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use tokio::time::{Instant, sleep, timeout};

use super::exactly::is_outdated;
use crate::api::names::MANAGED_BY;

/// A term that is not renewed for so long is over.
const TERM: Duration = Duration::from_secs(15);
/// A holder that could not renew for so long gives up.
const RENEW_WITHIN: Duration = Duration::from_secs(10);
/// Between two tries.
const RETRY: Duration = Duration::from_secs(2);

/// A candidate.
pub struct Candidate {
    leases: Api<Lease>,
    identity: String,
}

/// What a candidate last saw of another one's term.
#[derive(Debug)]
struct Seen {
    version: Option<String>,
    since: Instant,
}

impl Candidate {
    /// A candidate of that name; no two may have the same.
    #[must_use]
    pub fn new(client: Client, identity: String) -> Self {
        let namespace = client.default_namespace().to_owned();
        Self {
            leases: Api::namespaced(client, &namespace),
            identity,
        }
    }

    /// Waits until this candidate holds the lease.
    pub async fn elected(&self) {
        let mut seen = None;
        loop {
            match timeout(RENEW_WITHIN, self.try_take(&mut seen)).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the Lease cannot be looked at yet"
                    );
                }
                // The next try may reach another API server.
                Err(_) => tracing::warn!("the API server does not answer, and the Lease cannot be looked at yet"),
            }
            sleep(RETRY).await;
        }
    }

    /// Renews the lease until that was not possible for too long: another may hold it then.
    pub async fn hold(&self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < RENEW_WITHIN {
            sleep(RETRY).await;
            let left = RENEW_WITHIN.saturating_sub(renewed.elapsed());
            match timeout(left, self.renew()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the Lease could not be renewed"
                    );
                }
                // It is another one's, or there is no time left.
                Ok(Ok(false)) | Err(_) => return,
            }
        }
    }

    /// Gives the lease up, so that another need not wait for the end of the term.
    pub async fn release(&self) {
        let released = async {
            let Some(mut lease) = self.leases.get_opt(MANAGED_BY).await? else {
                return Ok(());
            };
            if !is_held_by(&lease, &self.identity) {
                return Ok(());
            }
            let spec = lease.spec.get_or_insert_default();
            spec.holder_identity = None;
            self.leases
                .replace(MANAGED_BY, &PostParams::default(), &lease)
                .await
                .map(|_| ())
        };
        let released: kube::Result<()> = released.await;
        if let Err(error) = released {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "the Lease was not given up and runs out"
            );
        }
    }

    async fn try_take(&self, seen: &mut Option<Seen>) -> kube::Result<bool> {
        let Some(lease) = self.leases.get_opt(MANAGED_BY).await? else {
            return self.write(None).await;
        };
        if !may_take(&lease, &self.identity, seen, Instant::now()) {
            return Ok(false);
        }
        self.write(Some(lease)).await
    }

    async fn renew(&self) -> kube::Result<bool> {
        match self.leases.get_opt(MANAGED_BY).await? {
            Some(lease) if !is_held_by(&lease, &self.identity) => Ok(false),
            lease => self.write(lease).await,
        }
    }

    /// Writes the lease over exactly what was read. False when somebody else wrote meanwhile.
    async fn write(&self, read: Option<Lease>) -> kube::Result<bool> {
        let next = next_lease(read.as_ref(), &self.identity, Timestamp::now());
        let written = match read {
            None => self.leases.create(&PostParams::default(), &next).await,
            Some(_) => self.leases.replace(MANAGED_BY, &PostParams::default(), &next).await,
        };
        match written {
            Ok(_) => Ok(true),
            Err(error) if is_outdated(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref();
    holder.filter(|holder| !holder.is_empty())
}

fn is_held_by(lease: &Lease, identity: &str) -> bool {
    holder(lease) == Some(identity)
}

/// Whether the lease is nobody's, our own, or of somebody who has not renewed it for a whole term while we looked.
fn may_take(lease: &Lease, identity: &str, seen: &mut Option<Seen>, now: Instant) -> bool {
    let version = lease.resource_version();
    let is_as_before = seen.as_ref().is_some_and(|seen| seen.version == version);
    if !is_as_before {
        *seen = Some(Seen { version, since: now });
    }
    let unchanged_since = seen.as_ref().map_or(now, |seen| seen.since);
    match holder(lease) {
        None => true,
        Some(holder) => holder == identity || now.duration_since(unchanged_since) >= TERM,
    }
}

fn next_lease(read: Option<&Lease>, identity: &str, now: Timestamp) -> Lease {
    let before = read.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let is_ours = before.holder_identity.as_deref() == Some(identity);
    let changes = before.lease_transitions.unwrap_or_default();
    Lease {
        metadata: read.map_or_else(
            || ObjectMeta {
                name: Some(MANAGED_BY.to_owned()),
                ..ObjectMeta::default()
            },
            |lease| lease.metadata.clone(),
        ),
        spec: Some(LeaseSpec {
            holder_identity: Some(identity.to_owned()),
            lease_duration_seconds: i32::try_from(TERM.as_secs()).ok(),
            acquire_time: before.acquire_time.filter(|_| is_ours).or(Some(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(changes + i32::from(!is_ours && read.is_some())),
            ..before
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicBool, Ordering};

    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    fn lease(holder: &str, version: &str) -> Lease {
        Lease {
            metadata: ObjectMeta {
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_term_is_over_when_it_was_not_renewed_while_we_looked() {
        let (begin, mut seen) = (Instant::now(), None);
        let mut may = |holder, version, after| may_take(&lease(holder, version), "me", &mut seen, begin + after);
        let shortly_before = |end: Duration| end.saturating_sub(Duration::from_secs(1));
        assert!(
            !may("other", "1", Duration::ZERO),
            "however old it is, it may be renewed in a moment"
        );
        assert!(!may("other", "1", shortly_before(TERM)));
        assert!(!may("other", "2", TERM), "it was renewed");
        assert!(!may("other", "2", shortly_before(TERM * 2)));
        assert!(may("other", "2", TERM * 2));
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_does_not_answer_holds_no_candidate_up() {
        let is_silent = AtomicBool::new(true);
        let service = tower::service_fn(move |_: Request<Body>| {
            let is_silent = is_silent.swap(false, Ordering::Relaxed);
            async move {
                if is_silent {
                    std::future::pending::<()>().await;
                }
                let answer = serde_json::to_vec(&lease("me", "1")).expect("JSON");
                Ok::<_, Infallible>(Response::new(Body::from(answer)))
            }
        });
        let candidate = Candidate::new(Client::new(service, "operator"), "me".to_owned());
        timeout(TERM, candidate.elected()).await.expect("elected");
    }

    #[test]
    fn a_lease_that_was_given_up_and_our_own_are_taken_at_once() {
        let now = Instant::now();
        assert!(may_take(&lease("", "1"), "me", &mut None, now));
        assert!(may_take(&lease("me", "1"), "me", &mut None, now));
    }

    #[test]
    fn changes_of_the_holder_are_counted() {
        let at = |seconds| Timestamp::from_second(seconds).expect("in range");
        let spec = |lease: &Lease| lease.spec.clone().expect("a spec");
        let first = next_lease(None, "a", at(1));
        assert_eq!(spec(&first).lease_transitions, Some(0));
        let renewed = next_lease(Some(&first), "a", at(2));
        assert_eq!(spec(&renewed).acquire_time, Some(MicroTime(at(1))));
        assert_eq!(spec(&renewed).renew_time, Some(MicroTime(at(2))));
        let taken = next_lease(Some(&renewed), "b", at(3));
        assert_eq!(
            (spec(&taken).lease_transitions, spec(&taken).acquire_time),
            (Some(1), Some(MicroTime(at(3))))
        );
    }
}
