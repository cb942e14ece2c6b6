use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::engine::StopReason;

const SERVER_ERROR: Verdict = Verdict::Retry {
    reason: RetryReason::ServerError,
    counts_as_attempt: true,
};
const LOST: Verdict = Verdict::Retry {
    reason: RetryReason::ConnectionLost,
    counts_as_attempt: false,
};

fn overloaded(seconds: u64) -> Verdict {
    Verdict::Retry {
        reason: RetryReason::Overloaded {
            retry_after: Some(Duration::from_secs(seconds)),
        },
        counts_as_attempt: false,
    }
}

fn replica(number: u8) -> Replica {
    Replica {
        address: ([10, 0, 0, number], 8000).into(),
        pod: format!("server-{number}"),
    }
}

fn replicas(numbers: &[u8]) -> Replicas {
    numbers.iter().copied().map(replica).collect()
}

fn dispatch(rows: u32, ready: &[u8]) -> Dispatch<u32> {
    let mut dispatch = Dispatch::default();
    (0..rows).for_each(|row| dispatch.add(row));
    assert_eq!(dispatch.set_replicas(&replicas(ready)), []);
    dispatch
}

/// All that can be sent now, as row and pod.
fn send_all(dispatch: &mut Dispatch<u32>, now: Instant) -> Vec<Assignment<u32>> {
    std::iter::from_fn(|| dispatch.next(now)).collect()
}

fn rows(assignments: &[Assignment<u32>]) -> Vec<u32> {
    assignments.iter().map(|assignment| assignment.row).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn rows_go_out_in_order_to_the_replica_with_the_fewest_requests() {
    let now = Instant::now();
    let mut dispatch = dispatch(5, &[1, 2]);
    let sent = send_all(&mut dispatch, now);
    assert_eq!(rows(&sent), [0, 1, 2, 3, 4]);
    let pods: Vec<_> = sent.iter().map(|sent| sent.replica.pod.as_str()).collect();
    assert_eq!(pods, ["server-1", "server-2", "server-1", "server-2", "server-1"]);
    for sent in sent {
        assert_eq!(
            dispatch.settle(sent.request, Verdict::Done, now, 0.0),
            Settled::Finished
        );
    }
    assert!(dispatch.is_empty());
}

#[test]
fn a_replica_never_has_more_than_its_limit() {
    let now = Instant::now();
    let mut dispatch = dispatch(500, &[1, 2]);
    let sent = send_all(&mut dispatch, now);
    assert_eq!(sent.len(), 2 * CONCURRENCY_PER_REPLICA);
    dispatch.settle(sent[0].request, Verdict::Done, now, 0.0);
    let next = send_all(&mut dispatch, now);
    assert_eq!((next.len(), &next[0].replica), (1, &sent[0].replica));
}

#[test]
fn without_a_replica_rows_wait_and_only_some_are_wanted() {
    let mut dispatch = dispatch(10, &[]);
    assert_eq!(dispatch.next(Instant::now()), None);
    assert!(dispatch.wants_rows());
    (10..64).for_each(|row| dispatch.add(row));
    assert!(!dispatch.wants_rows());
}

#[test]
fn a_row_fails_after_its_attempts_and_faults_are_no_attempts() {
    let mut now = Instant::now();
    let mut dispatch = dispatch(1, &[1]);
    let mut settle_next = |verdict| {
        now += seconds(60);
        let sent = dispatch.next(now).unwrap();
        dispatch.settle(sent.request, verdict, now, 1.0)
    };
    for verdict in [
        LOST,
        SERVER_ERROR,
        LOST,
        SERVER_ERROR,
        overloaded(1),
        SERVER_ERROR,
        SERVER_ERROR,
    ] {
        assert_eq!(settle_next(verdict), Settled::Again);
    }
    assert_eq!(settle_next(SERVER_ERROR), Settled::Finished);
}

#[test]
fn a_retry_waits_longer_each_time() {
    let mut now = Instant::now();
    let mut dispatch = dispatch(1, &[1]);
    for wait in [500, 1000, 2000, 4000].map(Duration::from_millis) {
        let sent = dispatch.next(now).unwrap();
        dispatch.settle(sent.request, SERVER_ERROR, now, 1.0);
        assert_eq!(dispatch.wakes_at(now), Some(now + wait));
        assert_eq!(dispatch.next(now + wait.mul_f64(0.99)), None);
        now += wait;
    }
    assert!(dispatch.next(now).is_some());
}

#[test]
fn a_server_that_asks_to_wait_gets_nothing_until_then() {
    let now = Instant::now();
    let mut dispatch = dispatch(2, &[1]);
    let sent = dispatch.next(now).unwrap();
    dispatch.settle(sent.request, overloaded(7), now, 0.0);
    assert_eq!(dispatch.next(now + seconds(6)), None);
    assert_eq!(dispatch.wakes_at(now + seconds(6)), Some(now + seconds(7)));
    assert_eq!(send_all(&mut dispatch, now + seconds(7)).len(), 2);
}

#[test]
fn a_broken_server_rests_then_gets_one_row_and_then_all() {
    let mut now = Instant::now();
    let mut dispatch = dispatch(4, &[1]);
    let sent = send_all(&mut dispatch, now);
    for sent in &sent {
        let settled = dispatch.settle(sent.request, Verdict::ServerUnhealthy, now, 1.0);
        assert_eq!(settled, Settled::Again);
    }
    assert_eq!(dispatch.next(now), None);
    for wait in [500, 1000].map(Duration::from_millis) {
        assert_eq!(dispatch.wakes_at(now), Some(now + wait));
        now += wait;
        let trial = send_all(&mut dispatch, now);
        assert_eq!(trial.len(), 1);
        dispatch.settle(trial[0].request, Verdict::ServerUnhealthy, now, 1.0);
    }
    now += seconds(2);
    let trial = dispatch.next(now).unwrap();
    dispatch.settle(trial.request, Verdict::Done, now, 1.0);
    assert_eq!(send_all(&mut dispatch, now).len(), 3);
}

#[test]
fn rows_of_a_broken_server_go_to_another_at_once() {
    let now = Instant::now();
    let mut dispatch = dispatch(1, &[1, 2]);
    let sent = dispatch.next(now).unwrap();
    dispatch.settle(sent.request, Verdict::ServerUnhealthy, now, 1.0);
    assert_eq!(dispatch.next(now).unwrap().replica, replica(2));
}

#[test]
fn a_replica_that_leaves_gives_its_rows_back_unblamed() {
    let now = Instant::now();
    let mut dispatch = dispatch(4, &[1, 2]);
    let sent = send_all(&mut dispatch, now);
    let lost: Vec<_> = sent.iter().filter(|sent| sent.replica == replica(1)).collect();
    let requests: Vec<_> = lost.iter().map(|sent| sent.request).collect();
    assert_eq!(dispatch.set_replicas(&replicas(&[2, 3])), requests);
    assert_eq!(
        dispatch.settle(requests[0], Verdict::Done, now, 0.0),
        Settled::TakenBack
    );
    let again = send_all(&mut dispatch, now);
    assert_eq!(rows(&again), [0, 2]);
    assert!(again.iter().all(|sent| sent.replica == replica(3)));
}

#[test]
fn a_new_pod_with_an_old_address_is_another_replica() {
    let now = Instant::now();
    let mut dispatch = dispatch(1, &[1]);
    let sent = dispatch.next(now).unwrap();
    let new = Replica {
        pod: "server-9".into(),
        ..replica(1)
    };
    assert_eq!(dispatch.set_replicas(&[new.clone()].into()), [sent.request]);
    assert_eq!(dispatch.next(now).unwrap().replica, new);
}

#[test]
fn new_rows_and_rows_that_are_due_again_take_turns() {
    let now = Instant::now();
    let mut dispatch = dispatch(4, &[1]);
    for sent in send_all(&mut dispatch, now) {
        dispatch.settle(sent.request, LOST, now, 0.0);
    }
    (10..14).for_each(|row| dispatch.add(row));
    let order = rows(&send_all(&mut dispatch, now + seconds(1)));
    assert_eq!(order, [10, 0, 11, 1, 12, 2, 13, 3]);
}

#[derive(Clone, Debug)]
enum Step {
    Add,
    Send,
    Settle(usize, Verdict),
    Replicas(BTreeSet<u8>),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop::sample::select(vec![
        Verdict::Done,
        Verdict::RowFailed,
        Verdict::ServerUnhealthy,
        Verdict::StopJob(StopReason::AccessDenied { status: 401 }),
        SERVER_ERROR,
        LOST,
        overloaded(3),
    ]);
    prop_oneof![
        3 => Just(Step::Add),
        4 => Just(Step::Send),
        4 => (0_usize..50, verdict).prop_map(|(which, verdict)| Step::Settle(which, verdict)),
        1 => prop::collection::btree_set(1_u8..4, 0..3).prop_map(Step::Replicas),
        2 => (0_u64..40_000).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens, each row is in one place, and all rows finish once servers answer.
    #[test]
    fn no_row_is_lost_or_doubled(steps in prop::collection::vec(step(), 0..200), jitter in 0.0..1.0) {
        let (mut dispatch, mut now) = (Dispatch::default(), Instant::now());
        let (mut added, mut finished) = (0, BTreeSet::new());
        let mut open: Vec<Assignment<u32>> = Vec::new();
        for step in steps {
            match step {
                Step::Add => {
                    dispatch.add(added);
                    added += 1;
                }
                Step::Send => open.extend(dispatch.next(now)),
                Step::Settle(which, verdict) if !open.is_empty() => {
                    let sent = open.remove(which % open.len());
                    let settled = dispatch.settle(sent.request, verdict, now, jitter);
                    prop_assert_ne!(settled, Settled::TakenBack);
                    if settled == Settled::Finished {
                        prop_assert!(finished.insert(sent.row), "row {} finished twice", sent.row);
                    }
                }
                Step::Settle(..) => {}
                Step::Replicas(numbers) => {
                    let numbers: Vec<_> = numbers.into_iter().collect();
                    let aborted = dispatch.set_replicas(&replicas(&numbers));
                    open.retain(|sent| !aborted.contains(&sent.request));
                    prop_assert!(open.iter().all(|sent| replicas(&numbers).contains(&sent.replica)));
                }
                Step::Pass(millis) => now += Duration::from_millis(millis),
            }
            let rows_in_flight: BTreeSet<_> = open.iter().map(|sent| sent.row).collect();
            prop_assert_eq!(rows_in_flight.len(), open.len(), "a row is in flight twice");
            prop_assert_eq!(dispatch.in_flight(), open.len());
        }
        dispatch.set_replicas(&replicas(&[1, 9]));
        open.retain(|sent| sent.replica == replica(1));
        while !dispatch.is_empty() {
            open.extend(std::iter::from_fn(|| dispatch.next(now)));
            prop_assert!(!open.is_empty() || dispatch.wakes_at(now).is_some(), "nothing would ever happen");
            for sent in open.drain(..) {
                prop_assert_eq!(dispatch.settle(sent.request, Verdict::Done, now, jitter), Settled::Finished);
                prop_assert!(finished.insert(sent.row), "row {} finished twice", sent.row);
            }
            now = dispatch.wakes_at(now).unwrap_or(now);
        }
        prop_assert_eq!(finished, (0..added).collect());
    }
}
