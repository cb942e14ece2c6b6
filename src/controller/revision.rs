//! The commit that `spec.server.revision` stands for, or `main` where that is not given, once the hub was asked: servers are started
//! with that. Pure, a part of [`super::validate`].
//!
//! The feeder reports it before, or together with, its need of servers, and never reports another one. So servers of one job have one
//! commit, however late they start.

use super::model_cache;
use crate::api::BatchInferenceJob;
use crate::api::status::Resolved;
use crate::engine::launch::REVISION;
use crate::engine::revision::pin;

/// The commit that is in the job's model cache, which is the feeder's where it found one; else what the feeder has found.
pub(super) fn told(job: &BatchInferenceJob) -> Option<&str> {
    let by_feeder = || job.status.as_ref()?.reported.model.as_ref()?.revision.as_deref();
    model_cache::commit(job).or_else(by_feeder)
}

/// What was resolved, with the commit in the place of the revision.
pub(super) fn pinned(mut resolved: Resolved, told: Option<&str>) -> Resolved {
    let Some(told) = told.filter(|_| !names_another(&resolved)) else {
        return resolved;
    };
    resolved.revision = Some(told.to_owned());
    pin(resolved.engine, &mut resolved.args, told);
    resolved
}

/// Whether a person's arguments name a revision, which older operators took.
fn names_another(resolved: &Resolved) -> bool {
    let is_option = |arg: &String| arg.split('=').next() == Some(REVISION);
    resolved.revision.is_none() && resolved.args.iter().any(is_option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(revision: Option<&str>, args: &[&str]) -> Resolved {
        Resolved {
            revision: revision.map(str::to_owned),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            ..Resolved::default()
        }
    }

    #[test]
    fn a_commit_takes_the_place_of_the_revision_and_of_nothing_else() {
        let before = ["Qwen/Qwen3-8B", "--revision", "main", "--tokenizer-revision", "main"];
        let after = ["Qwen/Qwen3-8B", "--revision", "b968826", "--tokenizer-revision", "main"];
        for (resolved_before, told, resolved_after) in [
            (
                resolved(Some("main"), &before),
                Some("b968826"),
                resolved(Some("b968826"), &after),
            ),
            (
                resolved(Some("b968826"), &after),
                Some("b968826"),
                resolved(Some("b968826"), &after),
            ),
            (resolved(Some("main"), &before), None, resolved(Some("main"), &before)),
            // The commit of `main`, where the spec has no revision.
            (
                resolved(None, &["Qwen/Qwen3-8B", "--port", "8000"]),
                Some("b968826"),
                resolved(
                    Some("b968826"),
                    &["Qwen/Qwen3-8B", "--revision", "b968826", "--port", "8000"],
                ),
            ),
            // A job of an older operator, which took the option among a person's arguments.
            (resolved(None, &before), Some("b968826"), resolved(None, &before)),
            (
                resolved(None, &["Qwen/Qwen3-8B", "--revision=main"]),
                Some("b968826"),
                resolved(None, &["Qwen/Qwen3-8B", "--revision=main"]),
            ),
        ] {
            assert_eq!(pinned(resolved_before, told), resolved_after);
        }
    }
}
