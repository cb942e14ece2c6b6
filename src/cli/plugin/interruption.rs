//! The wish of whoever began a command that it ends: Ctrl-C, a terminal that is closed, `kill`.

use std::future::poll_fn;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit;

/// From now on, such a wish ends nothing by itself: what is in the cluster is to be removed first. The second one ends the process at once,
/// as that may hang.
pub struct Interruption(CancellationToken);

impl Interruption {
    /// Begins to listen, on the current runtime. A signal that cannot be listened to ends the process as it always does, and a terminal
    /// that is closed ends nothing that `nohup` has started.
    #[must_use]
    pub fn watch() -> Self {
        let hangup = (!ignores_hangup()).then_some(SignalKind::hangup());
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()]
            .into_iter()
            .chain(hangup);
        let mut signals: Vec<Signal> = kinds.filter_map(|kind| signal(kind).ok()).collect();
        let first = CancellationToken::new();
        let came = first.clone();
        tokio::spawn(async move {
            any(&mut signals).await;
            came.cancel();
            any(&mut signals).await;
            std::process::exit(exit::INTERRUPTED.into());
        });
        Self(first)
    }

    /// Waits for the first one since [`Interruption::watch`]. May be dropped and called again.
    pub async fn came(&self) {
        self.0.cancelled().await;
    }

    /// Whether the first one has come.
    #[must_use]
    pub fn has_come(&self) -> bool {
        self.0.is_cancelled()
    }
}

async fn any(signals: &mut [Signal]) {
    poll_fn(|context| {
        if signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// Whether the process was started to ignore it. Only Linux tells; elsewhere it is taken not to be.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_in(&status).is_some_and(|signals| signals & 1 == 1)
}

/// What `proc_pid_status(5)` says of ignored signals: the lowest bit is signal 1, SIGHUP.
fn ignored_in(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_are_ignored_are_known() {
        let status = "Name:\tkubectl-bij\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\tffff\n";
        assert_eq!(ignored_in(status), Some(0x1001));
        assert_eq!(ignored_in("Name:\tkubectl-bij\n"), None);
    }
}
