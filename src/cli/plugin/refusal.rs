//! What a cluster refuses or cannot do, in words that say what to do. Pure.

use std::error::Error as StdError;

use kube::core::Status;
use kube::runtime::watcher;

use super::login;
use crate::storage::whole_chain;

/// Why the cluster did not do or say what it was asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing says where a cluster is.
    #[error("no cluster is configured ({why}): name a kubeconfig by --kubeconfig FILE or KUBECONFIG")]
    NoCluster {
        /// What is missing or wrong.
        why: String,
    },
    /// The way to the cluster leads through a proxy that is none.
    #[error(
        "the proxy to the API server cannot be used ({why}): mend HTTPS_PROXY, NO_PROXY, or proxy-url in the kubeconfig"
    )]
    NoProxy {
        /// What is wrong with it.
        why: String,
    },
    /// The kubeconfig has other contexts.
    #[error("the kubeconfig has no context `{context}`: {}", contexts_advice(.contexts))]
    NoContext {
        /// The one that was asked for.
        context: String,
        /// Those that it has.
        contexts: Vec<String>,
    },
    /// The kubeconfig says who to be, and that does not work.
    #[error("the kubeconfig does not log you in ({why}): log in by hand, or choose another --context")]
    NoLogin {
        /// What failed.
        why: String,
    },
    /// Nobody answers there.
    #[error("the API server {server} does not answer ({why}): is this the right --context, and is the cluster up?")]
    Unreachable {
        /// Its address.
        server: String,
        /// What the connection said.
        why: String,
    },
    /// The credentials are missing or have expired.
    #[error(
        "the API server {server} does not accept your credentials ({why}): log in again, or choose another --context"
    )]
    Unauthorized {
        /// Its address.
        server: String,
        /// What it said.
        why: String,
    },
    /// A right is missing.
    #[error(
        "you may not {verb} {resource} in {place}: ask whoever administers it for that right, or choose another -n NAMESPACE \
         (the API server says: {why})"
    )]
    Forbidden {
        /// What was to be done.
        verb: &'static str,
        /// With what.
        resource: &'static str,
        /// Where, in words.
        place: String,
        /// What the API server said.
        why: String,
    },
    /// The definition of jobs is not there.
    #[error(
        "the cluster at {server} does not know BatchInferenceJobs: install the operator's chart there, or choose another --context"
    )]
    NotInstalled {
        /// Its address.
        server: String,
    },
    /// A job is not there.
    #[error("there is no job `{job}` in namespace `{namespace}`{}", elsewhere_advice(.elsewhere.as_deref()))]
    NoSuchJob {
        /// As it was asked for.
        job: String,
        /// Where it was looked for.
        namespace: String,
        /// Namespaces that have one of that name or uid; `None` when it is not known.
        elsewhere: Option<Vec<String>>,
    },
    /// A namespace is not there.
    #[error("there is no namespace `{namespace}`: create it, or choose another -n NAMESPACE")]
    NoSuchNamespace {
        /// Its name.
        namespace: String,
    },
    /// A Secret is not there.
    #[error("there is no Secret `{name}` in namespace `{namespace}`")]
    NoSuchSecret {
        /// Its name.
        name: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// A job of that name is there.
    #[error("there is a job of this name already: choose another name, or delete that one ({why})")]
    AlreadyExists {
        /// What the API server said.
        why: String,
    },
    /// The object is wrong, or not admitted here.
    #[error("the API server refuses to {verb} {resource}: {why}")]
    Invalid {
        /// What was to be done.
        verb: &'static str,
        /// With what.
        resource: &'static str,
        /// What the API server said: fields and what is wrong with them, a quota, a policy.
        why: String,
    },
    /// A name that no object has.
    #[error(
        "{what} is no name in Kubernetes: write lower-case letters, digits, `-` and `.`; a job is NAME or bij/NAME"
    )]
    NoName {
        /// What was given.
        what: String,
    },
    /// A job of a definition that this program does not know.
    #[error("job `{name}` is not as this program reads jobs: {why}")]
    Unreadable {
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// It changed, or was made anew, while it was looked at.
    #[error("the job has changed meanwhile: try again ({why})")]
    Conflict {
        /// What the API server said.
        why: String,
    },
    /// The job is gone.
    #[error("job `{name}` was deleted; what it finished is in its output")]
    Deleted {
        /// Its name.
        name: String,
    },
    /// Anything else.
    #[error("the API server {server} failed: {why}")]
    Other {
        /// Its address.
        server: String,
        /// What it said.
        why: String,
    },
}

/// What was asked of the API server.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Its address.
    pub server: &'a str,
    /// What was to be done.
    pub verb: &'static str,
    /// With what, in the plural.
    pub resource: &'static str,
    /// In which namespace; `None` means all.
    pub namespace: Option<&'a str>,
}

impl Asked<'_> {
    /// What an error of the client means. That an object is not there is for the caller to say.
    #[must_use]
    pub fn refused(&self, error: &kube::Error) -> Refusal {
        let server = self.server.to_owned();
        if let Some(why) = login::failure(error) {
            return Refusal::NoLogin { why };
        }
        match error {
            kube::Error::Api(status) => self.answered(status),
            kube::Error::BuildRequest(error) => Refusal::NoName {
                what: format!("what was given ({error})"),
            },
            kube::Error::SerdeError(error) => Refusal::Other {
                server,
                why: error.to_string(),
            },
            error => Refusal::Unreachable {
                server,
                why: last_cause(error),
            },
        }
    }

    /// The same of a watch; `None` for what may pass.
    #[must_use]
    pub fn refused_watch(&self, error: &watcher::Error) -> Option<Refusal> {
        let (watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status)) = error
        else {
            return None;
        };
        matches!(status.code, 401 | 403 | 404).then(|| self.answered(status))
    }

    fn answered(&self, status: &Status) -> Refusal {
        let (server, why) = (self.server.to_owned(), status.message.clone());
        match status.code {
            401 => Refusal::Unauthorized { server, why },
            403 if is_of_admission(&why) => self.invalid(why),
            403 => Refusal::Forbidden {
                verb: self.verb,
                resource: self.resource,
                place: self.place(),
                why,
            },
            404 if is_namespace(status) => Refusal::NoSuchNamespace {
                namespace: self.namespace.unwrap_or_default().to_owned(),
            },
            // The path itself is unknown: its 404 is a line of text and no object of the API.
            404 if !status.is_not_found() => Refusal::NotInstalled { server },
            409 if status.is_already_exists() => Refusal::AlreadyExists { why },
            409 => Refusal::Conflict { why },
            400 | 422 => self.invalid(why),
            _ => Refusal::Other { server, why },
        }
    }

    fn invalid(&self, why: String) -> Refusal {
        Refusal::Invalid {
            verb: self.verb,
            resource: self.resource,
            why,
        }
    }

    fn place(&self) -> String {
        match self.namespace {
            Some(namespace) => format!("namespace `{namespace}`"),
            None => "all namespaces".to_owned(),
        }
    }
}

/// What admission says with a status that means a missing right elsewhere: quotas and webhooks (k8s.io/apiserver, `pkg/admission/plugin`),
/// and k8s.io/pod-security-admission.
const OF_ADMISSION: [&str; 4] = [
    "exceeded quota",
    "failed quota",
    "violates PodSecurity",
    "denied the request",
];

fn is_of_admission(why: &str) -> bool {
    OF_ADMISSION.iter().any(|words| why.contains(words))
}

fn is_namespace(status: &Status) -> bool {
    status.is_not_found()
        && status
            .details
            .as_ref()
            .is_some_and(|details| details.kind == "namespaces")
}

/// What a connection said: the errors around it only say that one failed.
#[must_use]
pub fn last_cause(error: &(dyn StdError + 'static)) -> String {
    if let Some(why) = login::failure(error) {
        return why;
    }
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// An error and all its causes; of a login that fails only what is no credential.
#[must_use]
pub fn causes(error: &(dyn StdError + 'static)) -> String {
    login::failure(error).unwrap_or_else(|| whole_chain(error))
}

fn contexts_advice(contexts: &[String]) -> String {
    match contexts {
        [] => "it has none; choose another --kubeconfig".to_owned(),
        contexts => format!("it has {}", contexts.join(", ")),
    }
}

fn elsewhere_advice(elsewhere: Option<&[String]>) -> String {
    match elsewhere {
        None => ": see `kubectl bij list`, or choose another -n NAMESPACE".to_owned(),
        Some([]) => " or any other: see `kubectl bij list -A`".to_owned(),
        Some([one]) => format!(", but there is one in namespace `{one}`: add -n {one}"),
        Some(more) => format!(", but there are in {}: choose by -n NAMESPACE", more.join(", ")),
    }
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
