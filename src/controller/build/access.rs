//! What the feeder may do, and who may talk to the servers.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource, ResourceExt};

use super::metadata;
use crate::api::BatchInferenceJob;
use crate::api::names::{Component, child_name, selector};
use crate::api::output::{OutputPlace, OutputSpec};

/// The service account that the feeder runs under.
#[must_use]
pub fn feeder_account_name(job: &BatchInferenceJob) -> String {
    let given = job
        .spec
        .feeder
        .as_ref()
        .and_then(|feeder| feeder.service_account_name.clone());
    given.unwrap_or_else(|| child_name(&job.name_any(), Component::Feeder))
}

pub(super) fn service_account(job: &BatchInferenceJob) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(job, Component::Feeder),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// Read and watch this one job, report its status, see which servers are ready; with results in a ConfigMap, write that. Nothing else.
pub(super) fn role(job: &BatchInferenceJob) -> Role {
    let group = BatchInferenceJob::group(&());
    let plural = BatchInferenceJob::plural(&());
    let this_job = || Some(vec![job.name_any()]);
    let mut rules = vec![
        rule(&group, &plural, this_job(), &["get", "list", "watch"]),
        rule(&group, &format!("{plural}/status"), this_job(), &["patch"]),
    ];
    if job.spec.server.is_some() {
        rules.push(rule("discovery.k8s.io", "endpointslices", None, &["list", "watch"]));
    }
    rules.extend(output_rules(&job.spec.output));
    Role {
        metadata: metadata(job, Component::Feeder),
        rules: Some(rules),
    }
}

/// Kubernetes cannot hold the right to create an object to its name ("Referring to resources", RBAC).
fn output_rules(output: &OutputSpec) -> Vec<PolicyRule> {
    let OutputPlace::ConfigMap(output) = output.place() else {
        return Vec::new();
    };
    let both = vec![output.name.clone(), output.segments()];
    vec![
        rule("", "configmaps", None, &["create"]),
        rule("", "configmaps", Some(both), &["get", "update", "delete"]),
    ]
}

fn rule(group: &str, resource: &str, names: Option<Vec<String>>, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.into()]),
        resources: Some(vec![resource.into()]),
        resource_names: names,
        verbs: verbs.iter().map(|verb| (*verb).into()).collect(),
        ..PolicyRule::default()
    }
}

pub(super) fn role_binding(job: &BatchInferenceJob) -> RoleBinding {
    RoleBinding {
        metadata: metadata(job, Component::Feeder),
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".into()),
            kind: "Role".into(),
            name: child_name(&job.name_any(), Component::Feeder),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".into(),
            name: feeder_account_name(job),
            namespace: job.namespace(),
            ..Subject::default()
        }]),
    }
}

/// Only the job's feeder reaches its servers, and whoever the chart names. Kubelet's probes are not affected (Kubernetes, "Network
/// Policies": traffic between a pod and its node is always allowed).
pub(super) fn network_policy(job: &BatchInferenceJob, port: u16, extra: &[NetworkPolicyIngressRule]) -> NetworkPolicy {
    let pods_of = |component| LabelSelector {
        match_labels: Some(selector(job, component)),
        match_expressions: None,
    };
    let from_feeder = NetworkPolicyIngressRule {
        from: Some(vec![NetworkPolicyPeer {
            pod_selector: Some(pods_of(Component::Feeder)),
            ..NetworkPolicyPeer::default()
        }]),
        ports: Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::Int(port.into())),
            protocol: Some("TCP".into()),
            end_port: None,
        }]),
    };
    NetworkPolicy {
        metadata: metadata(job, Component::Server),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pods_of(Component::Server)),
            policy_types: Some(vec!["Ingress".into()]),
            ingress: Some([vec![from_feeder], extra.to_vec()].concat()),
            egress: None,
        }),
    }
}
