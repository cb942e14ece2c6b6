//! What the API server's audit log says about who did what.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::commands::cluster_state;

/// The operator's account.
pub const OPERATOR: &str = "system:serviceaccount:batch-inference-system:batch-inference-operator";

/// A request that was answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    pub verb: String,
    pub user: User,
    pub object_ref: Option<Object>,
    pub response_status: Option<Status>,
    #[serde(rename = "requestURI")]
    pub uri: String,
    #[serde(rename = "requestReceivedTimestamp")]
    pub received: Timestamp,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct User {
    pub username: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Object {
    pub api_group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Status {
    pub code: u16,
}

/// Permissions: verbs by `GROUP/RESOURCE`, with `/SUBRESOURCE` where there is one.
pub type Permissions = BTreeMap<String, BTreeSet<String>>;

/// Every request of users whose name is accepted, since the cluster was started.
pub fn requests(accepted: impl Fn(&str) -> bool) -> Vec<Request> {
    let log = std::fs::File::open(cluster_state().join("audit.log")).expect("the audit log");
    let lines = BufReader::new(log).lines().map(|line| line.expect("a line"));
    let requests = lines.filter_map(|line| serde_json::from_str::<Request>(&line).ok());
    requests.filter(|request| accepted(&request.user.username)).collect()
}

/// When a user did this to objects of that kind in a namespace, the first time first.
pub fn times(user: &str, verb: &str, resource: &str, namespace: &str) -> Vec<Timestamp> {
    let is_there = |request: &Request| {
        let object = request.object_ref.as_ref();
        object.is_some_and(|object| object.namespace == namespace)
    };
    let done = requests(|name| name == user).into_iter();
    let done = done.filter(|request| request.has_done(verb, resource) && is_there(request));
    let mut times: Vec<_> = done.map(|request| request.received).collect();
    times.sort_unstable();
    times
}

/// The permissions that requests needed. An apply that creates needs `create` besides `patch`.
pub fn permissions(requests: &[Request]) -> Permissions {
    let mut used = Permissions::new();
    for request in requests {
        let Some(object) = &request.object_ref else { continue };
        let verbs = used.entry(object.kind()).or_default();
        verbs.insert(request.verb.clone());
        if request.verb == "patch" && request.code() == 201 {
            verbs.insert("create".to_owned());
        }
    }
    used
}

impl Request {
    /// Whether this was done to an object of that kind.
    pub fn has_done(&self, verb: &str, resource: &str) -> bool {
        let is_of = |object: &Object| object.resource == resource;
        self.verb == verb && self.code() < 300 && self.object_ref.as_ref().is_some_and(is_of)
    }

    /// The status of the answer.
    pub fn code(&self) -> u16 {
        self.response_status.map_or(0, |status| status.code)
    }

    /// Whether no role allowed it. A namespace that is being deleted answers 403 as well.
    pub fn is_forbidden(&self) -> bool {
        self.annotations
            .get("authorization.k8s.io/decision")
            .is_some_and(|decision| decision == "forbid")
    }
}

impl Object {
    fn kind(&self) -> String {
        let subresource = if self.subresource.is_empty() {
            String::new()
        } else {
            format!("/{}", self.subresource)
        };
        format!("{}/{}{subresource}", self.api_group, self.resource)
    }
}
