//! The model servers that rows may be at: the endpoints of the job's server Service, or the one that `spec.endpoint` names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use futures::StreamExt;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;

use crate::api::names::{Component, SERVER_PORT_NAME, child_name};
use crate::engine::EndpointUrl;

/// Label of an `EndpointSlice` that names its Service:
/// <https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#ownership>
const LABEL_SERVICE: &str = "kubernetes.io/service-name";

/// One model server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica {
    /// Where it takes rows.
    pub address: Address,
    /// Its pod's name. A new pod with an old one's address is another replica. An endpoint is known by its URL.
    pub pod: String,
}

/// Where a replica takes rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A pod of the job's servers. Rows go to the pod itself: only so is it known which pod has which row.
    Pod(SocketAddr),
    /// A server that someone else runs.
    Endpoint(EndpointUrl),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(address) => address.fmt(formatter),
            Self::Endpoint(url) => url.fmt(formatter),
        }
    }
}

/// Whether a replica takes rows, as its readiness probe has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readiness {
    /// It takes none now, and may soon again: a busy server can miss a probe, and answer all that it has.
    Unready,
    /// It takes rows.
    Ready,
}

/// All replicas that are there and do not end.
pub type Replicas = BTreeMap<Replica, Readiness>;

/// The one replica of a job whose rows go to an endpoint. It is there from the beginning, and stays.
#[must_use]
pub fn replica_at(endpoint: &EndpointUrl) -> Replicas {
    let replica = Replica {
        address: Address::Endpoint(endpoint.clone()),
        pod: endpoint.to_string(),
    };
    [(replica, Readiness::Ready)].into()
}

/// The replicas of a Service's slices. An endpoint may stand in two slices for a while; it counts once.
#[must_use]
pub fn replicas<'a>(slices: impl IntoIterator<Item = &'a EndpointSlice>) -> Replicas {
    let mut all = Replicas::new();
    for (replica, readiness) in slices.into_iter().flat_map(replicas_of) {
        let known = all.entry(replica).or_insert(readiness);
        *known = readiness.max(*known);
    }
    all
}

fn replicas_of(slice: &EndpointSlice) -> impl Iterator<Item = (Replica, Readiness)> {
    let ports = slice.ports.iter().flatten();
    let port = ports
        .filter(|port| port.name.as_deref() == Some(SERVER_PORT_NAME))
        .find_map(|port| u16::try_from(port.port?).ok());
    let endpoints = slice.endpoints.iter().flatten();
    port.into_iter().flat_map(move |port| {
        let there = endpoints.clone();
        there.filter_map(move |endpoint| Some((replica(endpoint, port)?, readiness(endpoint)?)))
    })
}

/// None of an endpoint that ends. Absent means ready, and absent means not terminating:
/// <https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions>
fn readiness(endpoint: &Endpoint) -> Option<Readiness> {
    let conditions = endpoint.conditions.as_ref();
    if conditions.and_then(|it| it.terminating).unwrap_or(false) {
        return None;
    }
    let is_ready = conditions.and_then(|it| it.ready).unwrap_or(true);
    Some(if is_ready { Readiness::Ready } else { Readiness::Unready })
}

fn replica(endpoint: &Endpoint, port: u16) -> Option<Replica> {
    // All addresses of an endpoint are the same pod; clients use the first.
    let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    let pod = endpoint.target_ref.as_ref().and_then(|target| target.name.clone());
    Some(Replica {
        address: Address::Pod(SocketAddr::new(address, port)),
        pod: pod.unwrap_or_default(),
    })
}

/// Keeps `replicas` as the API server sees them, for ever. While the API server is away, the last known ones stay.
pub async fn watch_replicas(client: Client, namespace: &str, job: &str, replicas: watch::Sender<Replicas>) {
    let service = child_name(job, Component::Server);
    let config = watcher::Config::default().labels(&format!("{LABEL_SERVICE}={service}"));
    let slices: Api<EndpointSlice> = Api::namespaced(client, namespace);
    let mut events = std::pin::pin!(watcher(slices, config).default_backoff());
    let mut known = Known::default();
    while let Some(event) = events.next().await {
        let now_there = match event {
            Ok(event) => known.apply(event),
            Err(error) => {
                tracing::warn!(%error, "watching the servers' endpoints failed and is tried again");
                known.while_nobody_tells()
            }
        };
        replicas.send_if_modified(|there| {
            let changed = *there != now_there;
            if changed {
                let ready = now_there.values().filter(|it| **it == Readiness::Ready).count();
                tracing::info!(ready, unready = now_there.len() - ready, "the servers changed");
                *there = now_there;
            }
            changed
        });
    }
}

/// What the API server told: the slices by name, and the ones of a listing that is not complete.
#[derive(Default)]
struct Known {
    current: BTreeMap<String, EndpointSlice>,
    listed: BTreeMap<String, EndpointSlice>,
    /// Those that took rows at any time.
    once_ready: BTreeSet<Replica>,
}

impl Known {
    fn apply(&mut self, event: Event<EndpointSlice>) -> Replicas {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(slice) => _ = self.listed.insert(slice.name_any(), slice),
            Event::InitDone => self.current = std::mem::take(&mut self.listed),
            Event::Apply(slice) => _ = self.current.insert(slice.name_any(), slice),
            Event::Delete(slice) => _ = self.current.remove(&slice.name_any()),
        }
        let there = replicas(self.current.values());
        self.once_ready.retain(|replica| there.contains_key(replica));
        let ready = there.iter().filter(|(_, readiness)| **readiness == Readiness::Ready);
        self.once_ready.extend(ready.map(|(replica, _)| replica.clone()));
        there
    }

    /// One that was ready before is tried, as nobody can tell whether it is again: a connection that fails costs no row an attempt. One
    /// that was never ready may still load.
    fn while_nobody_tells(&self) -> Replicas {
        let mut there = replicas(self.current.values());
        for (replica, readiness) in &mut there {
            if self.once_ready.contains(replica) {
                *readiness = Readiness::Ready;
            }
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn slice(name: &str, endpoints: &Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "addressType": "IPv4",
            "ports": [{"name": "metrics", "port": 9090}, {"name": "http", "port": 8000}],
            "endpoints": endpoints,
        }))
        .unwrap()
    }

    fn told(slices: &[EndpointSlice]) -> Vec<String> {
        let replicas = replicas(slices);
        let told = replicas
            .iter()
            .map(|(replica, readiness)| format!("{} {} {readiness:?}", replica.pod, replica.address));
        told.collect()
    }

    #[test]
    fn endpoints_that_do_not_end_are_replicas() {
        let endpoints = json!([
            {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "a"}, "conditions": {"ready": true}},
            {"addresses": ["10.0.0.2"], "targetRef": {"kind": "Pod", "name": "b"}, "conditions": {"ready": false}},
            {"addresses": ["10.0.0.3"], "targetRef": {"kind": "Pod", "name": "c"},
             "conditions": {"ready": true, "terminating": true}},
            {"addresses": ["10.0.0.4"], "targetRef": {"kind": "Pod", "name": "d"}},
            {"addresses": ["10.0.0.5"], "targetRef": {"kind": "Pod", "name": "e"}, "conditions": {}},
        ]);
        assert_eq!(
            told(&[slice("s", &endpoints)]),
            [
                "a 10.0.0.1:8000 Ready",
                "b 10.0.0.2:8000 Unready",
                "d 10.0.0.4:8000 Ready",
                "e 10.0.0.5:8000 Ready"
            ]
        );
    }

    #[test]
    fn a_pod_in_two_slices_is_one_replica() {
        let endpoints = json!([{"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "a"}}]);
        let older = json!([{"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "a"},
            "conditions": {"ready": false}}]);
        let slices = [slice("s", &endpoints), slice("t", &older)];
        assert_eq!(told(&slices), ["a 10.0.0.1:8000 Ready"]);
    }

    #[test]
    fn a_slice_without_our_port_or_endpoints_has_no_replica() {
        let endpoints = json!([{"addresses": ["10.0.0.1"]}]);
        let mut other = slice("s", &endpoints);
        other.ports = None;
        let mut empty = slice("t", &endpoints);
        empty.endpoints = None;
        assert_eq!(told(&[other, empty]), [""; 0]);
    }

    #[test]
    fn a_listing_takes_the_place_of_what_was_known_only_when_it_is_complete() {
        let endpoints = json!([{"addresses": ["10.0.0.1"]}]);
        let mut known = Known::default();
        known.apply(Event::Apply(slice("old", &endpoints)));
        known.apply(Event::Init);
        known.apply(Event::InitApply(slice("new", &endpoints)));
        assert_eq!(known.current.keys().collect::<Vec<_>>(), ["old"]);
        known.apply(Event::InitDone);
        assert_eq!(known.current.keys().collect::<Vec<_>>(), ["new"]);
        known.apply(Event::Delete(slice("new", &endpoints)));
        assert!(known.current.is_empty());
    }

    #[test]
    fn while_the_api_server_is_away_a_replica_that_was_ready_is_tried_and_one_that_loads_is_not() {
        let endpoint = |pod: &str, address: &str, ready: bool| json!({"addresses": [address], "targetRef": {"kind": "Pod", "name": pod}, "conditions": {"ready": ready}});
        let mut known = Known::default();
        for is_ready in [true, false] {
            let endpoints = json!([
                endpoint("was", "10.0.0.1", is_ready),
                endpoint("loads", "10.0.0.2", false)
            ]);
            known.apply(Event::Apply(slice("s", &endpoints)));
        }
        let readiness = |there: Replicas| there.into_values().collect::<Vec<_>>();
        assert_eq!(
            readiness(known.while_nobody_tells()),
            [Readiness::Ready, Readiness::Unready]
        );
        let told = known.apply(Event::Init);
        assert_eq!(readiness(told), [Readiness::Unready, Readiness::Unready]);
    }
}
