//! Why the model cache is not filled, and whether that may pass.

use std::io;
use std::path::{Path, PathBuf};

use crate::api::reason::Reason;
use crate::api::wait::Wait;
use crate::engine::ModelRefusal;
use crate::storage::HubError;

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FillError {
    /// The hub does not give it.
    #[error("{0}")]
    Hub(#[from] HubError),
    /// The hub's answer is not understood.
    #[error("the hub's answer is not understood: {0}")]
    Unclear(String),
    /// The engine does not read what there is.
    #[error(transparent)]
    Refused(#[from] ModelRefusal),
    /// A file came otherwise than the hub describes it.
    #[error("{file} came with {found}, and the hub says that it has {expected}: it is downloaded again")]
    Damaged {
        file: String,
        expected: String,
        found: String,
    },
    /// A file came in part.
    #[error("{file} broke off after {bytes} of {size} bytes")]
    CutShort { file: String, bytes: u64, size: u64 },
    /// The volume does not do it.
    #[error("{}: {source}", path.display())]
    Volume { path: PathBuf, source: io::Error },
    /// Another job took the lock, as this one had not renewed it.
    #[error("another job fills the cache now")]
    LockLost,
}

impl FillError {
    /// What an operation on a path of the volume failed with.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| Self::Volume { path, source }
    }

    /// Whether the connection to the hub broke off, so that another may bring the rest.
    pub(super) fn is_broken_connection(&self) -> bool {
        matches!(self, Self::Hub(HubError::Unreachable(_)) | Self::CutShort { .. })
    }

    /// What this means for a job: what it waits for, or why it ends.
    pub(super) fn meaning(&self, of: Of<'_>) -> Meaning {
        use io::ErrorKind as Kind;
        let Of { model, claim, .. } = of;
        let unknown = of.unknown_token();
        let said = self.to_string();
        let wait = |reason, message: String| Meaning::Passing(Wait::new(reason, message));
        let end = |reason, message: String| Meaning::Final(Wait::new(reason, message));
        match self {
            Self::Hub(HubError::Denied(_)) => end(
                Reason::ModelAccessDenied,
                format!("the hub does not give the model {model} to this job ({said}){unknown}"),
            ),
            Self::Hub(HubError::NotFound(_)) => end(
                Reason::ModelNotFound,
                format!("the hub has no model {model} ({said}){unknown}"),
            ),
            Self::Hub(HubError::Unreachable(_)) | Self::Unclear(_) => wait(
                Reason::ModelHubUnreachable,
                format!("the model {model} cannot be downloaded: {said}"),
            ),
            Self::Refused(refusal) => end(refusal.reason(), said),
            Self::Volume { source, .. } => match source.kind() {
                Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => wait(
                    Reason::ModelCacheFull,
                    format!("the claim {claim} has no room left for the model {model} ({said})"),
                ),
                Kind::PermissionDenied | Kind::ReadOnlyFilesystem => end(
                    Reason::ModelCacheUnsuitable,
                    format!(
                        "the claim {claim} cannot be written by user 65532 and group 65532 ({said}): let them write to it, or name another"
                    ),
                ),
                _ => wait(Reason::ModelCaching, format!("the claim {claim} fails: {said}")),
            },
            Self::Damaged { .. } | Self::CutShort { .. } | Self::LockLost => wait(Reason::ModelCaching, said),
        }
    }
}

/// What is filled, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<'a> {
    pub(super) model: &'a str,
    pub(super) claim: &'a str,
    /// Servers may have a token that is not known here.
    pub(super) is_token_unknown: bool,
}

impl Of<'_> {
    /// What is said to who has given the token to servers alone.
    fn unknown_token(self) -> &'static str {
        if self.is_token_unknown {
            "; a token that servers have from envFrom or a file is not given to what fills the cache: name it by spec.server.hfTokenSecretRef"
        } else {
            ""
        }
    }
}

/// What a failure means for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Trying again may help.
    Passing(Wait),
    /// It will not.
    Final(Wait),
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: Of<'static> = Of {
        model: "org/model",
        claim: "models",
        is_token_unknown: false,
    };

    #[test]
    fn who_has_given_the_token_to_servers_alone_is_told_what_to_do() {
        for refused in [HubError::Denied("401".into()), HubError::NotFound("404".into())] {
            let refused = FillError::from(refused);
            for is_token_unknown in [true, false] {
                let Meaning::Final(why) = refused.meaning(Of { is_token_unknown, ..OF }) else {
                    panic!("it does not pass")
                };
                let is_told = why.message.ends_with("name it by spec.server.hfTokenSecretRef");
                assert_eq!(is_told, is_token_unknown, "{}", why.message);
            }
        }
    }

    #[test]
    fn what_may_pass_is_waited_for_and_all_else_ends_the_job_by_name() {
        let volume = |kind: io::ErrorKind| FillError::at(Path::new("/model-cache/hub"))(kind.into());
        let said = || "403".to_owned();
        for (error, is_final, reason) in [
            (HubError::Denied(said()).into(), true, Reason::ModelAccessDenied),
            (HubError::NotFound(said()).into(), true, Reason::ModelNotFound),
            (HubError::Unreachable(said()).into(), false, Reason::ModelHubUnreachable),
            (volume(io::ErrorKind::StorageFull), false, Reason::ModelCacheFull),
            (volume(io::ErrorKind::QuotaExceeded), false, Reason::ModelCacheFull),
            (
                volume(io::ErrorKind::PermissionDenied),
                true,
                Reason::ModelCacheUnsuitable,
            ),
            (
                volume(io::ErrorKind::StaleNetworkFileHandle),
                false,
                Reason::ModelCaching,
            ),
            (FillError::LockLost, false, Reason::ModelCaching),
        ] {
            match error.meaning(OF) {
                Meaning::Passing(wait) => assert_eq!((is_final, wait.reason), (false, reason), "{}", wait.message),
                Meaning::Final(wait) => assert_eq!((is_final, wait.reason), (true, reason), "{}", wait.message),
            }
        }
    }

    #[test]
    fn a_full_claim_is_told_by_name() {
        let full = FillError::at(Path::new("/model-cache/hub/x"))(io::ErrorKind::StorageFull.into());
        let Meaning::Passing(wait) = full.meaning(OF) else {
            panic!("it may pass")
        };
        assert!(
            wait.message
                .starts_with("the claim models has no room left for the model org/model (/model-cache/hub/x"),
            "{}",
            wait.message
        );
    }
}
