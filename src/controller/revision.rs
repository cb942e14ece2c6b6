//! The commit that `spec.server.revision` stands for, once the feeder has asked the hub: servers are started with that. Pure, a part of
//! [`super::validate`].
//!
//! The feeder reports it before, or together with, its need of servers, and never reports another one. So servers of one job have one
//! commit, however late they start.

use crate::api::BatchInferenceJob;
use crate::api::status::Resolved;
use crate::engine::launch::REVISION;

/// What the feeder has found.
pub(super) fn told(job: &BatchInferenceJob) -> Option<&str> {
    let model = job.status.as_ref()?.reported.model.as_ref()?;
    model.revision.as_deref()
}

/// What was resolved, with the commit in the place of the revision. There is an option to put it in exactly where the spec has a revision: it is
/// refused among a person's arguments.
pub(super) fn pinned(mut resolved: Resolved, told: Option<&str>) -> Resolved {
    let (Some(revision), Some(told)) = (&mut resolved.revision, told) else {
        return resolved;
    };
    told.clone_into(revision);
    let option = resolved.args.iter().position(|arg| arg == REVISION);
    if let Some(value) = option.and_then(|at| resolved.args.get_mut(at + 1)) {
        told.clone_into(value);
    }
    resolved
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
            // A job of an older operator, which took the option among a person's arguments.
            (resolved(None, &before), Some("b968826"), resolved(None, &before)),
        ] {
            assert_eq!(pinned(resolved_before, told), resolved_after);
        }
    }
}
