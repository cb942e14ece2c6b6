//! The wish of whoever began a command that it ends: Ctrl-C, a terminal that is closed, `kill`.

use std::future::poll_fn;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// From now on, such a wish ends nothing by itself: what is in the cluster is to be removed first.
pub struct Interruption {
    signals: Vec<Signal>,
}

impl Interruption {
    /// Begins to listen. A signal that cannot be listened to ends the process as it always does.
    #[must_use]
    pub fn watch() -> Self {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Self {
            signals: kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect(),
        }
    }

    /// Waits for the next one since [`Interruption::watch`]. May be dropped and called again.
    pub async fn came(&mut self) {
        poll_fn(|context| {
            let mut polls = self.signals.iter_mut().map(|signal| signal.poll_recv(context));
            if polls.any(|poll| poll.is_ready()) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}
