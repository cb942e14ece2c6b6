//! What has happened to whom: raised by watches, waited for by many.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::sync::watch;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    ServerReady,
    ServersGone,
    Ended,
    /// What is waited for of a job.
    Reached,
}

/// Signals by the name of a job.
#[derive(Default)]
pub struct Signals(Mutex<HashMap<(String, Signal), watch::Sender<bool>>>);

impl Signals {
    pub fn raise(&self, job: &str, signal: Signal) {
        self.of(job, signal, |sender| sender.send_replace(true));
    }

    pub async fn until(&self, job: &str, signal: Signal) {
        let mut raised = self.of(job, signal, watch::Sender::subscribe);
        raised.wait_for(|raised| *raised).await.unwrap();
    }

    fn of<T>(&self, job: &str, signal: Signal, then: impl FnOnce(&watch::Sender<bool>) -> T) -> T {
        let mut signals = self.0.lock().unwrap();
        then(
            signals
                .entry((job.to_owned(), signal))
                .or_insert_with(|| watch::Sender::new(false)),
        )
    }
}
