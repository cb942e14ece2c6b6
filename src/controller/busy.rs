//! How long a future is worked on: the time in which it waits does not count.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Runs a future; its output and how long it was worked on.
pub(super) fn busy_time<F: Future + Unpin>(future: F) -> BusyTime<F> {
    BusyTime {
        future,
        busy: Duration::ZERO,
    }
}

/// A future that is measured.
pub(super) struct BusyTime<F> {
    future: F,
    busy: Duration,
}

impl<F: Future + Unpin> Future for BusyTime<F> {
    type Output = (F::Output, Duration);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let started = Instant::now();
        let polled = Pin::new(&mut self.future).poll(context);
        self.busy += started.elapsed();
        let busy = self.busy;
        polled.map(|output| (output, busy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_does_not_count_and_working_does() {
        let work = Duration::from_millis(20);
        let (wait, end) = tokio::sync::oneshot::channel();
        let measured = busy_time(Box::pin(async move {
            std::thread::sleep(work);
            end.await
        }));
        let whole = Instant::now();
        let signal = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            wait.send(7).expect("someone waits");
        };
        let ((output, busy), ()) = tokio::join!(measured, signal);
        assert_eq!(output, Ok(7));
        assert!(busy >= work, "{busy:?}");
        assert!(whole.elapsed() >= busy + Duration::from_millis(150), "{busy:?}");
    }
}
