use std::sync::Mutex;

use super::*;
use crate::api::status::FeederStage;
use crate::feeder::report::{Pace, progress};

/// Remembers what was written and when, and fails while it is told to.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Recorded>>);

#[derive(Default)]
struct Recorded {
    written: Vec<(Instant, FeederStatus)>,
    away: bool,
    dismissed: Option<Dismissed>,
}

impl StatusWriter for Recorder {
    async fn write(&self, status: &FeederStatus) -> Result<(), WriteError> {
        let mut recorded = self.0.lock().unwrap();
        if let Some(dismissed) = recorded.dismissed {
            return Err(dismissed.into());
        }
        if recorded.away {
            return Err(WriteError::TimedOut);
        }
        recorded.written.push((Instant::now(), status.clone()));
        Ok(())
    }
}

impl Recorder {
    fn written(&self) -> Vec<FeederStatus> {
        self.0
            .lock()
            .unwrap()
            .written
            .iter()
            .map(|(_, status)| status.clone())
            .collect()
    }

    fn times(&self) -> Vec<Instant> {
        self.0.lock().unwrap().written.iter().map(|(at, _)| *at).collect()
    }
}

fn start() -> (Reporter, Recorder, tokio::task::JoinHandle<Dismissed>) {
    let recorder = Recorder::default();
    let (reporter, publishing) = Reporter::new(Report::first(None), recorder.clone());
    (reporter, recorder, tokio::spawn(publishing))
}

fn finished(report: &mut Report, rows: u64) {
    report.progress = Some(progress(1000, rows, 0, Pace::default()));
}

#[tokio::test(start_paused = true)]
async fn progress_is_said_every_six_seconds_and_the_latest_wins() {
    let (reporter, recorder, _publishing) = start();
    reporter.flush().await;
    for rows in 1..=100 {
        reporter.update(|report| finished(report, rows));
        sleep(Duration::from_millis(100)).await;
    }
    sleep(PROGRESS_INTERVAL).await;
    let times = recorder.times();
    assert!(
        times.windows(2).all(|pair| pair[1] - pair[0] >= PROGRESS_INTERVAL),
        "{times:?}"
    );
    // Ten seconds of progress after the first report, whose end is said by the last of these.
    let seconds: Vec<_> = times.iter().map(|at| (*at - times[0]).as_secs()).collect();
    assert_eq!(seconds, [0, 6, 12]);
    assert_eq!(recorder.written().last(), Some(&reporter.latest().status()));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_state_is_said_at_once() {
    let (reporter, recorder, _publishing) = start();
    reporter.flush().await;
    let before = Instant::now();
    reporter.update(|report| report.stage = FeederStage::Feeding);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(recorder.written().len(), 2);
    assert_eq!(recorder.times()[1], before);
}

#[tokio::test(start_paused = true)]
async fn what_did_not_change_is_not_said_again() {
    let (reporter, recorder, _publishing) = start();
    for _ in 0..10 {
        reporter.update(|report| report.stage = FeederStage::Inspecting);
        reporter.flush().await;
        sleep(PROGRESS_INTERVAL).await;
    }
    assert_eq!(recorder.written().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_holds_up_nothing_but_a_flush() {
    let (reporter, recorder, _publishing) = start();
    recorder.0.lock().unwrap().away = true;
    for rows in 1..=100 {
        reporter.update(|report| finished(report, rows));
    }
    let flushed = tokio::time::timeout(Duration::from_mins(10), reporter.flush()).await;
    assert!(flushed.is_err());
    recorder.0.lock().unwrap().away = false;
    reporter.flush().await;
    assert_eq!(recorder.written(), [reporter.latest().status()]);
}

#[tokio::test(start_paused = true)]
async fn a_flush_says_progress_too_and_at_once() {
    let (reporter, recorder, _publishing) = start();
    reporter.flush().await;
    let before = Instant::now();
    reporter.update(|report| finished(report, 7));
    reporter.flush().await;
    assert_eq!((before.elapsed(), recorder.written().len()), (Duration::ZERO, 2));
}

#[tokio::test(start_paused = true)]
async fn a_feeder_that_is_superseded_says_nothing_more() {
    let (reporter, recorder, publishing) = start();
    reporter.flush().await;
    recorder.0.lock().unwrap().dismissed = Some(Dismissed::Superseded);
    reporter.update(|report| report.servers_needed = true);
    assert_eq!(publishing.await.unwrap(), Dismissed::Superseded);
    assert_eq!(recorder.written().len(), 1);
}
