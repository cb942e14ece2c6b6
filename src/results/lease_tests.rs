use super::super::testing::text;
use super::*;

fn job(name: &str) -> JobReference {
    JobReference {
        namespace: "default".into(),
        name: name.into(),
        uid: format!("uid-of-{name}"),
    }
}

async fn latest(store: &Store) -> Term {
    latest_term(store).await.unwrap().expect("a term")
}

/// Takes the next term, though another may not be over.
async fn begin(store: &Store, name: &str) -> Lease {
    let latest = latest_term(store).await.unwrap();
    let lease = Lease::begin(store, &job(name), latest.as_ref()).await.unwrap();
    lease.expect("nobody was faster")
}

#[tokio::test]
async fn the_golden_file_is_written_byte_for_byte() {
    let store = Store::in_memory();
    begin(&store, "triangles").await;
    assert_eq!(
        text(&store, "leases/000001.json").await,
        include_str!("golden/lease.json")
    );
}

#[tokio::test]
async fn of_two_who_want_the_same_term_one_gets_it() {
    let store = Store::in_memory();
    begin(&store, "first").await;
    let term = latest(&store).await;
    let mine = Lease::begin(&store, &job("second"), Some(&term)).await.unwrap();
    let theirs = Lease::begin(&store, &job("third"), Some(&term)).await.unwrap();
    assert!(mine.is_some() && theirs.is_none());
    assert_eq!(
        (latest(&store).await.number, latest(&store).await.job),
        (2, job("second"))
    );
}

#[tokio::test]
async fn a_job_takes_up_its_own_term() {
    let store = Store::in_memory();
    begin(&store, "first").await;
    let again = begin(&store, "first").await;
    assert_eq!((again.number, again.renew().await.unwrap()), (1, Renewed::Yes));
}

#[tokio::test]
async fn whoever_was_overtaken_learns_it_and_changes_nothing() {
    let store = Store::in_memory();
    let first = begin(&store, "first").await;
    begin(&store, "second").await;
    let before = text(&store, "leases/000001.json").await;
    assert_eq!(first.renew().await.unwrap(), Renewed::TakenBy(job("second")));
    assert_eq!(first.release().await.unwrap(), Renewed::TakenBy(job("second")));
    assert_eq!(text(&store, "leases/000001.json").await, before);
}

#[tokio::test]
async fn a_released_term_is_over_at_once_and_a_renewed_one_is_not() {
    let store = Store::in_memory();
    let lease = begin(&store, "first").await;
    let clock = |term: &Term| StoreClock::new(term.modified, Instant::now());
    let term = latest(&store).await;
    assert!(!term.is_over(&clock(&term)));
    lease.release().await.unwrap();
    let term = latest(&store).await;
    assert!(term.is_over(&clock(&term)));
    lease.renew().await.unwrap();
    let term = latest(&store).await;
    assert!(!term.is_over(&clock(&term)));
}

fn written(modified: SystemTime) -> Term {
    Term {
        number: 1,
        job: job("first"),
        released: false,
        modified,
    }
}

#[test]
fn an_old_term_is_over_at_the_first_look() {
    let (now, at) = (SystemTime::now(), Instant::now());
    let mut clock = StoreClock::new(now, at);
    let old = written(now - LEASE_EXPIRES_AFTER - Duration::from_secs(1));
    clock.look_at(&old, at);
    assert!(old.is_over(&clock));
}

#[test]
fn a_term_that_nobody_writes_is_over_after_its_time_and_one_that_is_written_never() {
    let (begin, at) = (SystemTime::now(), Instant::now());
    let mut clock = StoreClock::new(begin, at);
    let mut renewed = clock;
    let (silent, mut looks) = (written(begin), 0);
    while !silent.is_over(&clock) {
        looks += 1;
        let passed = LEASE_LOOKED_AT_EVERY * looks;
        clock.look_at(&silent, at + passed);
        let kept = written(begin + passed);
        renewed.look_at(&kept, at + passed);
        assert!(!kept.is_over(&renewed));
    }
    let waited = LEASE_LOOKED_AT_EVERY * looks;
    assert!(
        waited > LEASE_EXPIRES_AFTER && waited <= LEASE_EXPIRES_AFTER + LEASE_LOOKED_AT_EVERY,
        "{waited:?}"
    );
}

#[test]
fn an_outage_of_the_store_does_not_count_against_the_holder() {
    let (begin, at) = (SystemTime::now(), Instant::now());
    let mut clock = StoreClock::new(begin, at);
    let term = written(begin);
    clock.look_at(&term, at + Duration::from_mins(10));
    assert!(!term.is_over(&clock));
}

#[test]
fn a_clock_of_the_store_that_runs_behind_does_no_harm() {
    let (begin, at) = (SystemTime::now(), Instant::now());
    let mut clock = StoreClock::new(begin - Duration::from_hours(1), at);
    let term = written(begin);
    clock.look_at(&term, at);
    assert!(!term.is_over(&clock));
}

#[tokio::test]
async fn other_objects_are_passed_over_and_the_latest_term_counts() {
    let store = Store::in_memory();
    for key in ["leases/readme", "leases/9.json", "leases/1000000x.json"] {
        store.create(key, "theirs").await.unwrap();
    }
    assert_eq!(latest_term(&store).await.unwrap(), None);
    for name in ["a", "b"] {
        begin(&store, name).await;
    }
    assert_eq!(latest(&store).await.job, job("b"));
}
