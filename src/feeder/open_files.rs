//! How many connections the process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
}
