//! How many connections the process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Of the open files, those that no row has: of the store, of the API server, of engines that are asked how they do, of scratch files.
const RESERVED: u64 = 128;

/// Lets the process have as many open files as its container may: each row in flight has a connection. Where nobody sets it, the limit
/// that applies is 1024, for the sake of programs that use `select` (systemd.exec(5), `LimitNOFILE=`).
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, ?limit, "the limit of open files stays as it is, and bounds how many rows are in flight");
    }
}

/// How many rows may be in flight by the limit that applies.
#[must_use]
pub fn rows_in_flight() -> usize {
    rows_within(getrlimit(Resource::Nofile).current)
}

/// `None` is no limit.
fn rows_within(limit: Option<u64>) -> usize {
    let connections = limit.map_or(u64::MAX, |limit| limit.saturating_sub(RESERVED).max(1));
    usize::try_from(connections).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_applies_becomes_the_highest() {
        let limit = getrlimit(Resource::Nofile);
        let low = Rlimit {
            current: limit.maximum.map(|most| most / 2),
            ..limit
        };
        setrlimit(Resource::Nofile, low).unwrap();
        raise_limit();
        assert_eq!(getrlimit(Resource::Nofile).current, limit.maximum);
    }

    #[test]
    fn rows_have_the_open_files_that_nothing_else_needs_and_at_least_one() {
        for (limit, rows) in [(1024, 896), (129, 1), (128, 1), (0, 1)] {
            assert_eq!(rows_within(Some(limit)), rows, "{limit}");
        }
        assert_eq!(rows_within(None), usize::MAX);
    }
}
