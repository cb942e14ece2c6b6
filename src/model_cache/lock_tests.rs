use std::path::Path;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

fn lock(folder: &TempDir, uid: &str) -> Lock {
    let holder = Holder::new(format!("ns/{uid}"), uid.to_owned());
    Lock::new(folder.path().join("lock"), holder, RHYTHM)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

async fn acquired(lock: &Lock) {
    lock.acquire(|_| ()).await.expect("a lock");
}

/// The tests' time is paused, so that waiting costs none.
#[tokio::test(start_paused = true)]
async fn whoever_waits_is_told_for_whom_and_has_it_when_it_is_given_back() {
    let folder = folder();
    let (first, second) = (lock(&folder, "first"), lock(&folder, "second"));
    acquired(&first).await;
    let given_back = async {
        sleep(RHYTHM.beat * 2).await;
        first.release().await;
    };
    let told = std::sync::Mutex::new(Vec::new());
    let tell = |job: &str| told.lock().expect("a list").push(job.to_owned());
    let waiting = second.acquire(tell);
    let ((), waited) = tokio::join!(given_back, waiting);
    waited.expect("a lock");
    assert!(told.lock().expect("a list").iter().all(|job| job == "ns/first"));
    assert!(!told.lock().expect("a list").is_empty());
    second.release().await;
    assert!(!folder.path().join("lock").exists());
}

#[tokio::test(start_paused = true)]
async fn a_lock_of_a_job_that_was_killed_is_taken_when_it_is_stale() {
    let folder = folder();
    acquired(&lock(&folder, "killed")).await;
    let began = Instant::now();
    let second = lock(&folder, "second");
    acquired(&second).await;
    assert!(began.elapsed() >= RHYTHM.stale_after);
    assert!(second.is_ours().await.expect("a lock"));
    // Nothing is left aside.
    assert_eq!(files(folder.path()), ["lock"]);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_renewed_is_not_taken() {
    let folder = folder();
    let (first, second) = (lock(&folder, "first"), lock(&folder, "second"));
    acquired(&first).await;
    tokio::select! {
        lost = first.hold() => panic!("{lost}"),
        taken = timeout(RHYTHM.stale_after * 10, second.acquire(|_| ())) => assert!(taken.is_err()),
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_start_of_a_job_has_its_lock_when_the_one_before_knows_that_it_has_lost_it() {
    let folder = folder();
    let (before, next) = (lock(&folder, "job"), lock(&folder, "job"));
    acquired(&before).await;
    let began = Instant::now();
    let knows = async { (before.hold().await, Instant::now()) };
    let takes = async {
        acquired(&next).await;
        Instant::now()
    };
    let ((lost, known_at), taken_at) = tokio::join!(knows, takes);
    assert!(matches!(lost, FillError::LockLost));
    assert!(known_at < taken_at);
    assert!(taken_at - began < RHYTHM.stale_after);
    before.release().await;
    // It does not take it back from who is later.
    tokio::select! {
        lost = next.hold() => panic!("{lost}"),
        regained = timeout(RHYTHM.stale_after * 2, before.acquire(|_| ())) => assert!(regained.is_err()),
    }
    assert!(
        next.is_ours().await.expect("a lock"),
        "it is not given back by who has lost it"
    );
}

/// Somebody was faster: what he has is not taken from him.
#[tokio::test]
async fn a_lock_that_is_not_the_stale_one_is_put_back() {
    let folder = folder();
    let (living, slow) = (lock(&folder, "living"), lock(&folder, "slow"));
    acquired(&living).await;
    slow.take_away(b"of another").await.expect("a look");
    assert!(living.is_ours().await.expect("a lock"));
    assert_eq!(files(folder.path()), ["lock"]);
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let name =
        |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name().into_string().expect("text");
    entries.map(name).collect()
}
