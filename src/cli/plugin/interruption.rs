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
    /// Begins to listen, on the current runtime. A signal that cannot be listened to ends the process as it always does, and one that it
    /// was started to ignore (by `nohup`, or in the background of a script) stays ignored.
    #[must_use]
    pub fn watch() -> Self {
        let ignored = ignored_signals();
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let kinds = kinds.into_iter().filter(|kind| !is_in(ignored, *kind));
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

/// A bit for each signal that the process ignores. Only Linux tells it; elsewhere, none is taken to be ignored.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_in(&status).unwrap_or(0)
}

/// The line of `proc_pid_status(5)`: hexadecimal, the lowest bit is signal 1.
fn ignored_in(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn is_in(signals: u64, kind: SignalKind) -> bool {
    let bit = kind.as_raw_value() - 1;
    (signals >> bit) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_are_ignored_are_known() {
        let status = "Name:\tkubectl-bij\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\tffff\n";
        let ignored = ignored_in(status).unwrap();
        assert!(is_in(ignored, SignalKind::hangup()) && is_in(ignored, SignalKind::pipe()));
        assert!(!is_in(ignored, SignalKind::interrupt()) && !is_in(ignored, SignalKind::terminate()));
        assert_eq!(ignored_in("Name:\tkubectl-bij\n"), None);
    }
}
