//! Names, labels and annotations of a job's children, and what the controller promises the feeder's pod.

use kube::ResourceExt;
use sha2::{Digest, Sha256};

use super::job::BatchInferenceJob;

/// Who made an object: always [`MANAGED_BY`]. Written by the controller, which watches only objects that carry it.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The kind of application.
pub const LABEL_NAME: &str = "app.kubernetes.io/name";
/// The job, cut to a label's 63 characters; for people. Programs use [`LABEL_JOB_UID`].
pub const LABEL_INSTANCE: &str = "app.kubernetes.io/instance";
/// `feeder`, `server` or `model-cache`.
pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
/// The job's uid: selects exactly one job's pods, also when a job of the same name existed before.
pub const LABEL_JOB_UID: &str = "batchinference.dev/job-uid";
/// The job's full name, on pods, so that a pod's event finds its job.
pub const ANNOTATION_JOB: &str = "batchinference.dev/job";
/// The pod template as first decided, on the workload that has it: a newer operator keeps to it, and a change made by hand is undone.
pub const ANNOTATION_POD_TEMPLATE: &str = "batchinference.dev/pod-template";

/// Value of [`LABEL_MANAGED_BY`].
pub const MANAGED_BY: &str = "batch-inference-operator";
/// Value of [`LABEL_NAME`].
pub const APPLICATION: &str = "batch-inference-job";

/// Name of the feeder's container.
pub const FEEDER_CONTAINER: &str = "feeder";
/// Name of the feeder's init container, which waits for the Secrets that servers will need.
pub const FEEDER_PREREQUISITES_CONTAINER: &str = "prerequisites";
/// Name of the server's container.
pub const SERVER_CONTAINER: &str = "server";
/// Name of the server's port in its Service and EndpointSlices.
pub const SERVER_PORT_NAME: &str = "http";
/// Prefix of the environment variables made from the data set's Secret.
pub const DATASET_ENV_PREFIX: &str = "DATASET_";
/// Prefix of the environment variables made from the output's Secret.
pub const OUTPUT_ENV_PREFIX: &str = "OUTPUT_";
/// Prefix of the feeder's environment variables that say how the servers get their model.
pub const MODEL_ENV_PREFIX: &str = "MODEL_";
/// Tells the feeder that the servers have variables or files that are not known to it, of which one may be their token.
pub const MODEL_TOKEN_UNKNOWN_ENV: &str = "MODEL_TOKEN_UNKNOWN";
/// Where certificates are mounted that the installation trusts.
pub const CERTIFICATES_MOUNT_PATH: &str = "/etc/batch-inference/certificates";
/// The environment variable with the key of `spec.endpoint`.
pub const ENDPOINT_API_KEY_ENV: &str = "ENDPOINT_API_KEY";
/// Prefix of the environment variables made from the Secret of adapters.
pub const ADAPTERS_ENV_PREFIX: &str = "ADAPTERS_";
/// Name of the init container that fetches adapters for a server.
pub const ADAPTERS_CONTAINER: &str = "adapters";
/// The environment variable of the feeder with the token that requests for adapters carry.
pub const ADAPTER_API_TOKEN_ENV: &str = "ADAPTER_API_TOKEN";
/// Where the feeder finds a claim's or a ConfigMap's files.
pub const DATASET_MOUNT_PATH: &str = "/dataset";
/// Where the feeder finds the claim of its output.
pub const OUTPUT_MOUNT_PATH: &str = "/output";
/// Where servers, and the pod that fills it, have the claim of the model cache.
pub const MODEL_CACHE_MOUNT_PATH: &str = "/model-cache";
/// The feeder's scratch directory.
pub const SCRATCH_MOUNT_PATH: &str = "/scratch";

/// What a component of a job is called in labels and names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The CPU pod that sends rows.
    Feeder,
    /// The model servers.
    Server,
    /// The CPU pod that fills the model cache.
    ModelCache,
}

impl Component {
    /// The value of [`LABEL_COMPONENT`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Feeder => "feeder",
            Self::Server => "server",
            Self::ModelCache => "model-cache",
        }
    }
}

/// The longest name that fits every kind of child: a Service's name is a DNS label (RFC 1035).
const NAME_LIMIT: usize = 63;
/// Hexadecimal digits of the hash in a name that had to be changed.
const HASH_DIGITS: usize = 10;

/// The name of a child of a job: `JOB-COMPONENT`, or, where that is no DNS label of at most 63 characters, a cut and
/// hashed form of it. Fixed for a job's name, and different for different jobs of a namespace.
#[must_use]
pub fn child_name(job: &str, component: Component) -> String {
    let suffix = component.as_str();
    let plain = format!("{job}-{suffix}");
    if is_dns_label(&plain) {
        return plain;
    }
    let hash = hash(job);
    let room = NAME_LIMIT - suffix.len() - HASH_DIGITS - 2;
    let mut start: String = job.chars().map(|c| if c == '.' { '-' } else { c }).collect();
    if !start.starts_with(|c: char| c.is_ascii_lowercase()) {
        start.insert_str(0, "job-");
    }
    start.truncate(room);
    let start = start.trim_end_matches('-');
    format!("{start}-{hash}-{suffix}")
}

/// The first hexadecimal digits of the name's SHA-256.
fn hash(job: &str) -> String {
    let digest = Sha256::digest(job.as_bytes());
    let start = digest
        .iter()
        .take(HASH_DIGITS / 2)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{start:0HASH_DIGITS$x}")
}

/// Whether a name is a DNS label as RFC 1035 has it and a Service's name must be.
fn is_dns_label(name: &str) -> bool {
    name.len() <= NAME_LIMIT
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// A job's name cut to what a label's value may be: 63 characters that end with a letter or digit.
#[must_use]
pub fn label_value(job: &str) -> &str {
    let cut = &job[..job.len().min(NAME_LIMIT)];
    cut.trim_end_matches(|c: char| !c.is_ascii_alphanumeric())
}

/// The labels of a job's child, and of its pods.
#[must_use]
pub fn labels(job: &BatchInferenceJob, component: Component) -> std::collections::BTreeMap<String, String> {
    [
        (LABEL_NAME, APPLICATION.to_owned()),
        (LABEL_INSTANCE, label_value(&job.name_any()).to_owned()),
        (LABEL_COMPONENT, component.as_str().to_owned()),
        (LABEL_MANAGED_BY, MANAGED_BY.to_owned()),
        (LABEL_JOB_UID, job.uid().unwrap_or_default()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// The labels by which a workload or Service selects its pods: exactly this job's, of this component.
#[must_use]
pub fn selector(job: &BatchInferenceJob, component: Component) -> std::collections::BTreeMap<String, String> {
    [
        (LABEL_COMPONENT, component.as_str().to_owned()),
        (LABEL_JOB_UID, job.uid().unwrap_or_default()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_stays_readable() {
        assert_eq!(child_name("triangles", Component::Feeder), "triangles-feeder");
    }

    #[test]
    fn every_job_name_gives_a_dns_label() {
        let long = "a".repeat(253);
        for job in [
            "7-days",
            "with.dots.in.it",
            long.as_str(),
            "0",
            &"x-".repeat(40),
            "ends.-",
        ] {
            for component in [Component::Feeder, Component::Server, Component::ModelCache] {
                let name = child_name(job, component);
                assert!(is_dns_label(&name), "{job} gives {name}");
            }
        }
    }

    #[test]
    fn jobs_that_look_alike_when_cut_do_not_share_a_name() {
        let (dots, dashes) = (
            child_name("a.b", Component::Feeder),
            child_name("a-b", Component::Feeder),
        );
        assert_ne!(dots, dashes);
        let long = |end| format!("{}{end}", "a".repeat(250));
        assert_ne!(
            child_name(&long("b"), Component::Feeder),
            child_name(&long("c"), Component::Feeder)
        );
    }

    #[test]
    fn a_label_ends_with_a_letter_or_digit() {
        let job = format!("{}.-b", "a".repeat(61));
        assert_eq!(label_value(&job), "a".repeat(61));
    }
}
