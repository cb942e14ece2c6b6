use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::engine::StopReason;
use crate::feeder::replicas::Replica;

const MAX_ATTEMPTS: u32 = 5;
/// Of a replica that was never heard of.
const LIMIT: usize = 64;

impl Affine for u32 {
    fn affinity(&self) -> u64 {
        (*self).into()
    }
}

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
    let mut dispatch = Dispatch::new(MAX_ATTEMPTS);
    (0..rows).for_each(|row| dispatch.add(row));
    set_replicas(&mut dispatch, ready);
    dispatch
}

fn set_replicas(dispatch: &mut Dispatch<u32>, ready: &[u8]) {
    assert_eq!(dispatch.set_replicas(&replicas(ready), Instant::now()), []);
}

/// The pod that a row goes to.
fn pod(dispatch: &Dispatch<u32>, sent: &Assignment<u32>) -> String {
    dispatch.replicas[&sent.replica].replica.pod.clone()
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
fn rows_go_out_in_order_and_each_once() {
    let now = Instant::now();
    let mut dispatch = dispatch(50, &[1]);
    let sent = send_all(&mut dispatch, now);
    assert_eq!(rows(&sent), (0..50).collect::<Vec<_>>());
    for sent in sent {
        assert_eq!(
            dispatch.settle(sent.request, Verdict::Done, 1, now, 0.0),
            Settled::Finished
        );
    }
    assert!(dispatch.is_empty());
}

#[test]
fn replicas_share_the_rows_and_a_row_keeps_its_replica() {
    let now = Instant::now();
    let mut first = dispatch(60, &[1, 2]);
    let mut second = dispatch(60, &[1, 2]);
    let (sent, again) = (send_all(&mut first, now), send_all(&mut second, now));
    let pods: Vec<_> = sent.iter().map(|sent| (sent.row, pod(&first, sent))).collect();
    assert_eq!(
        pods,
        again
            .iter()
            .map(|sent| (sent.row, pod(&second, sent)))
            .collect::<Vec<_>>()
    );
    let of_first = pods.iter().filter(|(_, pod)| pod == "server-1").count();
    assert!((20..=40).contains(&of_first), "{of_first}");
}

#[test]
fn a_replica_with_room_takes_the_rows_of_another() {
    let now = Instant::now();
    let mut dispatch = dispatch(40, &[1, 2]);
    let sent = send_all(&mut dispatch, now);
    let of_first: Vec<_> = sent.iter().filter(|sent| pod(&dispatch, sent) == "server-1").collect();
    let first = of_first[0].replica;
    for sent in of_first {
        dispatch.settle(sent.request, Verdict::Done, 1, now, 0.0);
    }
    // All that begin alike belong to one of the two.
    for row in std::iter::repeat_n(7, 50) {
        dispatch.add(row);
    }
    let taken = std::iter::from_fn(|| dispatch.next_for(first, now)).count();
    assert_eq!(taken, 50);
}

#[test]
fn a_replica_never_has_more_than_its_limit() {
    let now = Instant::now();
    let mut dispatch = dispatch(500, &[1, 2]);
    let sent = send_all(&mut dispatch, now);
    assert_eq!(sent.len(), 2 * LIMIT);
    dispatch.settle(sent[0].request, Verdict::Done, 1, now, 0.0);
    let next = send_all(&mut dispatch, now);
    assert_eq!((next.len(), &next[0].replica), (1, &sent[0].replica));
}

#[test]
fn a_server_that_has_no_room_for_a_single_row_is_asked_more_and_more_seldom() {
    let refused = Verdict::Retry {
        reason: RetryReason::Overloaded { retry_after: None },
        counts_as_attempt: false,
    };
    let (mut now, mut asked) = (Instant::now(), 0);
    let end = now + seconds(300);
    let mut dispatch = dispatch(5000, &[1]);
    while now < end {
        for sent in send_all(&mut dispatch, now) {
            asked += 1;
            dispatch.settle(sent.request, refused, 1, now, 1.0);
        }
        now += Duration::from_millis(10);
    }
    // The first ones together, and then one each time.
    assert!((64..100).contains(&asked), "{asked}");
}

#[test]
fn a_server_that_loses_rows_and_answers_none_is_given_time() {
    let now = Instant::now();
    let mut dispatch = dispatch(5000, &[1]);
    let sent = send_all(&mut dispatch, now);
    dispatch.settle(sent[0].request, LOST, 1, now, 1.0);
    assert!(dispatch.next(now).is_some(), "one loss says little");
    dispatch.settle(sent[1].request, LOST, 1, now, 1.0);
    assert_eq!(dispatch.next(now), None);
    let later = dispatch.wakes_at(now).unwrap();
    assert!(later > now && dispatch.next(later).is_some());
}

#[test]
fn no_new_rows_are_wanted_while_very_many_wait_to_be_sent_again() {
    let now = Instant::now();
    let mut dispatch = dispatch(0, &[1]);
    for row in 0..u32::try_from(LIMIT * TRIED_ROWS).unwrap() {
        assert!(dispatch.wants_rows(), "{row}");
        dispatch.add(row);
        let sent = dispatch.next(now).unwrap();
        dispatch.settle(sent.request, SERVER_ERROR, 1, now, 1.0);
    }
    assert!(!dispatch.wants_rows());
    let later = now + seconds(60);
    let sent = dispatch.next(later).unwrap();
    dispatch.settle(sent.request, Verdict::Done, 1, later, 0.0);
    assert!(dispatch.wants_rows());
}

#[test]
fn without_a_replica_rows_wait_and_only_some_are_wanted() {
    let mut dispatch = dispatch(10, &[]);
    assert_eq!(dispatch.next(Instant::now()), None);
    assert!(dispatch.wants_rows());
    (10..64).for_each(|row| dispatch.add(row));
    assert!(!dispatch.wants_rows());
    set_replicas(&mut dispatch, &[1]);
    assert_eq!(send_all(&mut dispatch, Instant::now()).len(), 64);
}

#[test]
fn a_row_fails_after_its_attempts_and_faults_are_no_attempts() {
    let mut now = Instant::now();
    let mut dispatch = dispatch(1, &[1]);
    let mut settle_next = |verdict| {
        now += seconds(60);
        let sent = dispatch.next(now).unwrap();
        dispatch.settle(sent.request, verdict, 1, now, 1.0)
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
        dispatch.settle(sent.request, SERVER_ERROR, 1, now, 1.0);
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
    dispatch.settle(sent.request, overloaded(7), 1, now, 0.0);
    assert_eq!(dispatch.next(now + seconds(6)), None);
    assert_eq!(dispatch.wakes_at(now + seconds(6)), Some(now + seconds(7)));
    assert!(dispatch.next(now + seconds(7)).is_some());
}

#[test]
fn a_broken_server_rests_then_gets_one_row_and_then_all() {
    let mut now = Instant::now();
    let mut dispatch = dispatch(4, &[1]);
    let sent = send_all(&mut dispatch, now);
    for sent in &sent {
        let settled = dispatch.settle(sent.request, Verdict::ServerUnhealthy, 1, now, 1.0);
        assert_eq!(settled, Settled::Again);
    }
    assert_eq!(dispatch.next(now), None);
    for wait in [500, 1000].map(Duration::from_millis) {
        assert_eq!(dispatch.wakes_at(now), Some(now + wait));
        now += wait;
        let trial = send_all(&mut dispatch, now);
        assert_eq!(trial.len(), 1);
        dispatch.settle(trial[0].request, Verdict::ServerUnhealthy, 1, now, 1.0);
    }
    now += seconds(2);
    let trial = dispatch.next(now).unwrap();
    dispatch.settle(trial.request, Verdict::Done, 1, now, 1.0);
    assert_eq!(send_all(&mut dispatch, now).len(), 3);
}

#[test]
fn rows_of_a_broken_server_go_to_another_at_once() {
    let now = Instant::now();
    let mut dispatch = dispatch(1, &[1, 2]);
    let sent = dispatch.next(now).unwrap();
    dispatch.settle(sent.request, Verdict::ServerUnhealthy, 1, now, 1.0);
    let again = dispatch.next(now).unwrap();
    assert_ne!(again.replica, sent.replica);
}

#[test]
fn a_replica_that_leaves_gives_its_rows_back_unblamed() {
    let now = Instant::now();
    let mut dispatch = dispatch(20, &[1, 2]);
    let sent = send_all(&mut dispatch, now);
    let is_lost = |sent: &&Assignment<u32>| pod(&dispatch, sent) == "server-1";
    let lost: Vec<_> = sent.iter().filter(is_lost).collect();
    let requests: Vec<_> = lost.iter().map(|sent| sent.request).collect();
    assert!(!requests.is_empty());
    assert_eq!(dispatch.set_replicas(&replicas(&[2, 3]), now), requests);
    assert_eq!(
        dispatch.settle(requests[0], Verdict::Done, 1, now, 0.0),
        Settled::TakenBack
    );
    let again = send_all(&mut dispatch, now);
    assert_eq!(rows(&again), lost.iter().map(|sent| sent.row).collect::<Vec<_>>());
    assert!(again.iter().any(|sent| pod(&dispatch, sent) == "server-3"));
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
    assert_eq!(dispatch.set_replicas(&[new].into(), now), [sent.request]);
    let again = dispatch.next(now).unwrap();
    assert_eq!(
        (again.address, pod(&dispatch, &again)),
        (sent.address, "server-9".into())
    );
}

#[test]
fn new_rows_and_rows_that_are_due_again_take_turns() {
    let now = Instant::now();
    let mut dispatch = dispatch(4, &[1]);
    for sent in send_all(&mut dispatch, now) {
        dispatch.settle(sent.request, LOST, 1, now, 0.0);
    }
    (10..14).for_each(|row| dispatch.add(row));
    let order = rows(&send_all(&mut dispatch, now + seconds(1)));
    assert_eq!(order, [10, 0, 11, 1, 12, 2, 13, 3]);
}

/// Crashes the server under all rows that are in flight, and goes on when it is back.
fn crash(dispatch: &mut Dispatch<u32>, sent: Vec<Assignment<u32>>, now: &mut Instant) -> Vec<Settled> {
    let settle = |sent: Assignment<u32>| dispatch.settle(sent.request, Verdict::ServerCrashed, 1, *now, 1.0);
    let settled = sent.into_iter().map(settle).collect();
    *now += seconds(60);
    settled
}

/// A server that dies of row 3, with 10 rows. Returns what was finished and what was found to be poison.
fn run_with_poison(ready: &[u8]) -> (Vec<u32>, Vec<u32>) {
    let mut now = Instant::now();
    let mut dispatch = dispatch(10, ready);
    let (mut finished, mut poison) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let sent = send_all(&mut dispatch, now);
        let of_poison = sent.iter().find(|sent| sent.row == 3).map(|sent| sent.replica);
        let (crashed, answered): (Vec<_>, Vec<_>) = sent.into_iter().partition(|sent| Some(sent.replica) == of_poison);
        for sent in answered {
            dispatch.settle(sent.request, Verdict::Done, 1, now, 0.0);
            finished.push(sent.row);
        }
        let crashed_rows = rows(&crashed);
        let settled = crash(&mut dispatch, crashed, &mut now);
        let is_poison = settled
            .iter()
            .zip(crashed_rows)
            .filter(|(settled, _)| **settled == Settled::Poison);
        poison.extend(is_poison.map(|(_, row)| row));
    }
    assert!(dispatch.is_empty());
    finished.sort_unstable();
    (finished, poison)
}

#[test]
fn a_row_that_crashes_servers_is_found_and_no_other_fails_with_it() {
    for ready in [&[1][..], &[1, 2], &[1, 2, 3]] {
        let (finished, poison) = run_with_poison(ready);
        assert_eq!(finished, [0, 1, 2, 4, 5, 6, 7, 8, 9], "{ready:?}");
        assert_eq!(poison, [3], "{ready:?}");
    }
}

#[test]
fn a_suspect_is_tried_alone_and_the_others_go_on() {
    let mut now = Instant::now();
    let mut dispatch = dispatch(1, &[1]);
    for _ in 0..2 {
        let sent = send_all(&mut dispatch, now);
        crash(&mut dispatch, sent, &mut now);
    }
    let sent = dispatch.next(now).unwrap();
    dispatch.add(8);
    assert_eq!(dispatch.next(now), None, "the suspect is alone");
    assert_eq!(dispatch.set_replicas(&replicas(&[1, 2]), now), []);
    let other = dispatch.next(now).unwrap();
    assert_eq!((other.row, pod(&dispatch, &other)), (8, "server-2".into()));
    dispatch.settle(sent.request, Verdict::Done, 1, now, 0.0);
    dispatch.add(9);
    let next = dispatch.next(now).unwrap();
    assert_eq!((next.row, next.replica), (9, sent.replica));
}

#[test]
fn a_row_that_a_server_survived_is_no_suspect() {
    let mut now = Instant::now();
    let mut dispatch = dispatch(1, &[1]);
    for verdict in [Verdict::ServerCrashed, SERVER_ERROR, Verdict::ServerCrashed] {
        let sent = dispatch.next(now).unwrap();
        dispatch.settle(sent.request, verdict, 1, now, 1.0);
        now += seconds(60);
    }
    dispatch.add(8);
    let sent = dispatch.next(now).unwrap();
    dispatch.settle(sent.request, Verdict::Done, 1, now, 0.0);
    dispatch.add(9);
    assert_eq!(send_all(&mut dispatch, now).len(), 2, "no replica is kept for it");
}

fn load(work: u64) -> EngineLoad {
    EngineLoad {
        running: 1,
        waiting: 0,
        work,
    }
}

/// Whether a probe is wanted each half minute for `minutes`, with what the engine says meanwhile.
fn probes(minutes: u64, tokens: impl Fn(u64) -> Option<u64>) -> usize {
    let start = Instant::now();
    let mut dispatch = dispatch(1, &[1]);
    let sent = dispatch.next(start).unwrap();
    let mut probes = 0;
    for half_minute in 0..minutes * 2 {
        let now = start + seconds(half_minute * 30);
        if let Some(tokens) = tokens(half_minute) {
            dispatch.observed(sent.replica, load(tokens), now);
        }
        probes += dispatch.to_probe(now).len();
    }
    probes
}

#[test]
fn only_a_replica_that_shows_no_progress_is_probed() {
    assert_eq!(probes(120, Some), 0, "its tokens move");
    assert_eq!(probes(3, |_| Some(17)), 1, "its tokens stand still");
    assert_eq!(probes(9, |_| None), 0, "it tells nothing, and answers may be long");
    assert_eq!(probes(12, |_| None), 1, "it tells nothing for very long");
    let start = Instant::now();
    let mut idle = dispatch(0, &[1]);
    assert_eq!(idle.to_probe(start + seconds(3600)), [], "it has nothing to do");
}

#[test]
fn rows_of_a_hung_replica_go_to_others_and_it_may_come_back() {
    let start = Instant::now();
    let mut dispatch = dispatch(1, &[1]);
    let sent = dispatch.next(start).unwrap();
    let mut now = start + seconds(3600);
    assert_eq!(dispatch.to_probe(now)[0].address, sent.address);
    assert_eq!(dispatch.probed(sent.replica, false, now), [sent.request]);
    assert_eq!(dispatch.hung_pods().collect::<Vec<_>>(), ["server-1"]);
    assert_eq!(dispatch.next(now), None);
    assert_eq!(dispatch.set_replicas(&replicas(&[1, 2]), now), []);
    let elsewhere = dispatch.next(now).unwrap();
    assert_eq!((elsewhere.row, pod(&dispatch, &elsewhere)), (0, "server-2".into()));
    now += seconds(30);
    assert_eq!(dispatch.to_probe(now)[0].address, sent.address);
    assert_eq!(dispatch.probed(sent.replica, true, now), []);
    assert_eq!(dispatch.hung_pods().count(), 0);
    dispatch.settle(elsewhere.request, Verdict::Done, 1, now, 0.0);
    (10..200).for_each(|row| dispatch.add(row));
    let sent_to = send_all(&mut dispatch, now);
    assert!(sent_to.iter().any(|it| it.replica == sent.replica));
}

#[derive(Clone, Debug)]
enum Step {
    Add,
    Send,
    Settle(usize, Verdict),
    Replicas(BTreeSet<u8>),
    Probe(bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop::sample::select(vec![
        Verdict::Done,
        Verdict::RowFailed,
        Verdict::ServerUnhealthy,
        Verdict::ServerCrashed,
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
        1 => any::<bool>().prop_map(Step::Probe),
        2 => (0_u64..400_000).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens, each row is in one place, and all rows finish once servers answer.
    #[test]
    fn no_row_is_lost_or_doubled(steps in prop::collection::vec(step(), 0..200), jitter in 0.0..1.0) {
        let (mut dispatch, mut now) = (Dispatch::new(MAX_ATTEMPTS), Instant::now());
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
                    let settled = dispatch.settle(sent.request, verdict, 1, now, jitter);
                    prop_assert_ne!(settled, Settled::TakenBack);
                    if settled != Settled::Again {
                        prop_assert!(finished.insert(sent.row), "row {} finished twice", sent.row);
                    }
                }
                Step::Settle(..) => {}
                Step::Replicas(numbers) => {
                    let numbers: Vec<_> = numbers.into_iter().collect();
                    let aborted = dispatch.set_replicas(&replicas(&numbers), now);
                    open.retain(|sent| !aborted.contains(&sent.request));
                    prop_assert!(open.iter().all(|sent| dispatch.replicas.contains_key(&sent.replica)));
                }
                Step::Probe(alive) => {
                    for silent in dispatch.to_probe(now) {
                        let aborted = dispatch.probed(silent.replica, alive, now);
                        open.retain(|sent| !aborted.contains(&sent.request));
                    }
                }
                Step::Pass(millis) => now += Duration::from_millis(millis),
            }
            let rows_in_flight: BTreeSet<_> = open.iter().map(|sent| sent.row).collect();
            prop_assert_eq!(rows_in_flight.len(), open.len(), "a row is in flight twice");
            prop_assert_eq!(dispatch.in_flight(), open.len());
        }
        let aborted = dispatch.set_replicas(&replicas(&[9]), now);
        open.retain(|sent| !aborted.contains(&sent.request));
        while !dispatch.is_empty() {
            open.extend(std::iter::from_fn(|| dispatch.next(now)));
            prop_assert!(!open.is_empty() || dispatch.wakes_at(now).is_some(), "nothing would ever happen");
            for sent in open.drain(..) {
                prop_assert_eq!(dispatch.settle(sent.request, Verdict::Done, 1, now, jitter), Settled::Finished);
                prop_assert!(finished.insert(sent.row), "row {} finished twice", sent.row);
            }
            now = dispatch.wakes_at(now).unwrap_or(now);
        }
        prop_assert_eq!(finished, (0..added).collect());
    }
}
