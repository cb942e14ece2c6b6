use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::engine::{RetryReason, StopReason, Verdict};
use crate::feeder::replicas::Replica;

const MAX_ATTEMPTS: u32 = 5;
const MOST_IN_FLIGHT: usize = 10_000;
/// Of a replica that was never heard of.
const LIMIT: usize = 64;

impl Affine for u32 {
    fn affinity(&self) -> u64 {
        (*self).into()
    }
}

const SERVER_ERROR: Verdict = Verdict::Retry(RetryReason::ServerError);
const LOST: Verdict = Verdict::Retry(RetryReason::ConnectionLost);

fn overloaded(seconds: u64) -> Verdict {
    Verdict::Retry(RetryReason::Overloaded {
        retry_after: Some(Duration::from_secs(seconds)),
    })
}

fn replica(number: u8) -> Replica {
    Replica {
        address: Address::Pod(([10, 0, 0, number], 8000).into()),
        pod: format!("server-{number}"),
    }
}

fn replicas(numbers: &[u8]) -> Replicas {
    ready_and_not(numbers, &[])
}

fn ready_and_not(ready: &[u8], unready: &[u8]) -> Replicas {
    let with = |numbers: &[u8], readiness| numbers.iter().map(|it| (replica(*it), readiness)).collect::<Vec<_>>();
    let unready = with(unready, Readiness::Unready).into_iter();
    unready.chain(with(ready, Readiness::Ready)).collect()
}

fn dispatch(rows: u32, ready: &[u8]) -> Dispatch<u32> {
    let mut dispatch = Dispatch::new(MAX_ATTEMPTS, MOST_IN_FLIGHT);
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
    let refused = Verdict::Retry(RetryReason::Overloaded { retry_after: None });
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
fn a_replica_that_is_not_ready_for_a_moment_keeps_its_rows_and_gets_no_more() {
    let now = Instant::now();
    let mut dispatch = dispatch(70, &[1]);
    let sent = send_all(&mut dispatch, now);
    assert_eq!(sent.len(), LIMIT);
    assert_eq!(dispatch.set_replicas(&ready_and_not(&[], &[1]), now), []);
    assert_eq!(
        dispatch.settle(sent[0].request, Verdict::Done, 1, now, 0.0),
        Settled::Finished
    );
    assert_eq!(dispatch.next(now), None);

    assert_eq!(dispatch.take_back_from_unready(now + seconds(14)), []);
    set_replicas(&mut dispatch, &[1]);
    let more = dispatch.next(now).unwrap();
    assert_eq!(more.replica, sent[1].replica, "it is the one that it was");
    assert_eq!(dispatch.take_back_from_unready(now + seconds(60)), []);
}

#[test]
fn a_replica_that_is_not_ready_for_long_gives_its_rows_back_unblamed() {
    let now = Instant::now();
    let mut dispatch = dispatch(3, &[1]);
    let sent = send_all(&mut dispatch, now);
    let there = ready_and_not(&[2], &[1]);
    assert_eq!(dispatch.set_replicas(&there, now), []);
    assert_eq!(dispatch.set_replicas(&there, now + seconds(10)), []);
    let requests: Vec<_> = sent.iter().map(|sent| sent.request).collect();
    assert_eq!(dispatch.take_back_from_unready(now + seconds(15)), requests);

    assert_eq!(
        dispatch.set_replicas(&ready_and_not(&[2], &[1, 3]), now + seconds(16)),
        []
    );
    let again = send_all(&mut dispatch, now + seconds(16));
    let pods: BTreeSet<_> = again.iter().map(|sent| pod(&dispatch, sent)).collect();
    assert_eq!(
        pods,
        ["server-2".to_owned()].into(),
        "one that was never ready gets nothing"
    );
    assert_eq!(rows(&again), rows(&sent));
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
    assert_eq!(
        dispatch.set_replicas(&[(new, Readiness::Ready)].into(), now),
        [sent.request]
    );
    let again = dispatch.next(now).unwrap();
    assert_eq!(
        (&again.address, pod(&dispatch, &again)),
        (&sent.address, "server-9".into())
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
    assert_eq!(dispatch.probed(sent.replica, Sign::None, now, 0.0), [sent.request]);
    assert_eq!(dispatch.hung_pods().collect::<Vec<_>>(), ["server-1"]);
    assert_eq!(dispatch.next(now), None);
    assert_eq!(dispatch.set_replicas(&replicas(&[1, 2]), now), []);
    let elsewhere = dispatch.next(now).unwrap();
    assert_eq!((elsewhere.row, pod(&dispatch, &elsewhere)), (0, "server-2".into()));
    now += seconds(30);
    assert_eq!(dispatch.to_probe(now)[0].address, sent.address);
    assert_eq!(dispatch.probed(sent.replica, Sign::Answer, now, 0.0), []);
    assert_eq!(dispatch.hung_pods().count(), 0);
    dispatch.settle(elsewhere.request, Verdict::Done, 1, now, 0.0);
    (10..200).for_each(|row| dispatch.add(row));
    let sent_to = send_all(&mut dispatch, now);
    assert!(sent_to.iter().any(|it| it.replica == sent.replica));
}

const TIMED_OUT: Verdict = Verdict::Retry(RetryReason::TimedOut);

#[test]
fn rows_that_time_out_at_a_silent_server_are_not_to_blame_until_it_has_answered() {
    let mut now = Instant::now();
    let mut dispatch = dispatch(2, &[1]);
    let sent = send_all(&mut dispatch, now);
    now += seconds(5);
    for sent in &sent {
        assert_eq!(dispatch.settle(sent.request, TIMED_OUT, 1, now, 0.0), Settled::Again);
    }
    now += seconds(60);
    assert_eq!(
        dispatch.next(now),
        None,
        "it takes no rows until it is known whether it hangs"
    );
    assert_eq!(dispatch.to_probe(now).len(), 1);
    assert_eq!(dispatch.probed(sent[0].replica, Sign::None, now, 0.0), []);
    assert_eq!(dispatch.hung_pods().collect::<Vec<_>>(), ["server-1"]);
    set_replicas(&mut dispatch, &[2]);
    // It shows life, so that each counts.
    let other = dispatch.next(now).unwrap();
    for attempt in 1..=MAX_ATTEMPTS {
        let sent = dispatch.next(now).unwrap();
        dispatch.observed(sent.replica, load(attempt.into()), now + seconds(4));
        let settled = dispatch.settle(sent.request, TIMED_OUT, 1, now + seconds(5), 0.0);
        let expected = if attempt == MAX_ATTEMPTS {
            Settled::Finished
        } else {
            Settled::Again
        };
        assert_eq!(settled, expected, "attempt {attempt}");
        now += seconds(60);
    }
    assert_eq!(
        dispatch.settle(other.request, Verdict::Done, 1, now, 0.0),
        Settled::Finished
    );
}

#[test]
fn a_row_that_always_times_out_fails_though_the_server_is_silent_meanwhile() {
    let mut now = Instant::now();
    let mut dispatch = dispatch(1, &[1]);
    for tries in 1.. {
        let sent = dispatch.next(now).unwrap();
        now += seconds(5);
        let settled = dispatch.settle(sent.request, TIMED_OUT, 1, now, 0.0);
        for silent in dispatch.to_probe(now) {
            assert_eq!(dispatch.probed(silent.replica, Sign::Answer, now, 0.0), []);
        }
        if settled == Settled::Finished {
            assert_eq!(tries, MAX_ATTEMPTS + 2);
            return;
        }
        now += seconds(60);
    }
}

#[test]
fn a_server_that_stopped_to_tell_its_counters_is_probed_sooner() {
    let told_at_first = |half_minute| (half_minute < 2).then_some(half_minute);
    assert_eq!(probes(3, told_at_first), 0);
    assert_eq!(probes(5, told_at_first), 1);
}

#[test]
fn a_replica_that_only_fails_gets_few_rows_where_another_works() {
    let mut now = Instant::now();
    let mut dispatch = dispatch(0, &[1, 2]);
    let (mut at_broken, mut finished) = (0, 0);
    for row in 0..2000 {
        dispatch.add(row);
        for sent in send_all(&mut dispatch, now) {
            let is_broken = pod(&dispatch, &sent) == "server-1";
            let verdict = if is_broken { SERVER_ERROR } else { Verdict::Done };
            at_broken += u32::from(is_broken);
            let settled = dispatch.settle(sent.request, verdict, 1, now, 1.0);
            assert!(settled == Settled::Again || !is_broken, "row {} failed", sent.row);
            finished += u32::from(settled == Settled::Finished);
        }
        now += Duration::from_millis(10);
    }
    assert!(finished > 1900, "{finished}");
    // Until the other one has had its first row, after half a second, nothing says that it is not the rows.
    assert!((50..70).contains(&at_broken), "{at_broken}");
}

#[test]
fn a_replica_that_fails_alone_is_not_spared_so_that_its_rows_end_soon() {
    let now = Instant::now();
    let mut dispatch = dispatch(100, &[1]);
    for sent in send_all(&mut dispatch, now) {
        dispatch.settle(sent.request, SERVER_ERROR, 1, now, 1.0);
    }
    assert_eq!(send_all(&mut dispatch, now).len(), 100 - LIMIT);
}

/// One row is answered, and then all others get an error, for as long as the server takes rows.
fn worked_and_fails_now(now: Instant) -> (Dispatch<u32>, ReplicaId) {
    let mut dispatch = dispatch(100, &[1]);
    let sent = send_all(&mut dispatch, now);
    dispatch.settle(sent[0].request, Verdict::Done, 1, now, 0.0);
    for sent in &sent[1..] {
        assert_eq!(dispatch.settle(sent.request, SERVER_ERROR, 1, now, 0.0), Settled::Again);
    }
    let mut open = send_all(&mut dispatch, now);
    while !open.is_empty() {
        for sent in open {
            assert_eq!(dispatch.settle(sent.request, SERVER_ERROR, 1, now, 0.0), Settled::Again);
        }
        open = send_all(&mut dispatch, now);
    }
    (dispatch, sent[0].replica)
}

#[test]
fn a_server_that_worked_and_then_fails_at_everything_is_broken_and_costs_no_row_an_attempt() {
    let mut now = Instant::now();
    let (mut dispatch, replica) = worked_and_fails_now(now);
    assert_eq!(dispatch.to_probe(now).len(), 1);
    assert_eq!(dispatch.probed(replica, Sign::Life, now, 0.0), []);
    assert_eq!(dispatch.hung_pods().collect::<Vec<_>>(), ["server-1"]);
    now += seconds(30);
    assert_eq!(dispatch.to_probe(now).len(), 1, "it may be back");
    assert_eq!(dispatch.probed(replica, Sign::Life, now, 0.0), []);
    assert_eq!(dispatch.hung_pods().count(), 1);
    // At a server that has never worked it may be the rows: there each error counts, and all attempts are left.
    set_replicas(&mut dispatch, &[2]);
    for _ in 1..MAX_ATTEMPTS {
        now += seconds(600);
        for sent in send_all(&mut dispatch, now) {
            assert_eq!(dispatch.settle(sent.request, SERVER_ERROR, 1, now, 0.0), Settled::Again);
        }
    }
}

#[test]
fn rows_that_a_working_server_fails_at_are_the_rows_fault_and_end_soon() {
    let mut now = Instant::now();
    let (mut dispatch, replica) = worked_and_fails_now(now);
    let mut probes = 0;
    while !dispatch.is_empty() {
        for sent in send_all(&mut dispatch, now) {
            dispatch.settle(sent.request, SERVER_ERROR, 1, now, 0.0);
        }
        for _ in dispatch.to_probe(now) {
            probes += 1;
            assert_eq!(dispatch.probed(replica, Sign::Answer, now, 0.0), []);
        }
        now += seconds(1);
    }
    assert!((2..8).contains(&probes), "{probes}");
    assert_eq!(dispatch.hung_pods().count(), 0);
}

#[test]
fn rows_in_flight_are_bounded_and_the_bound_is_shared() {
    let now = Instant::now();
    let mut dispatch = Dispatch::new(MAX_ATTEMPTS, 20);
    (0..100).for_each(|row| dispatch.add(row));
    set_replicas(&mut dispatch, &[1]);
    let first = send_all(&mut dispatch, now);
    assert_eq!(first.len(), 20);
    set_replicas(&mut dispatch, &[1, 2]);
    assert_eq!(
        send_all(&mut dispatch, now).len(),
        10,
        "the other has its share at once"
    );
    dispatch.settle(first[0].request, Verdict::Done, 1, now, 0.0);
    assert_eq!(dispatch.next(now), None, "the first one has more than its share");
}

#[path = "suspects_tests.rs"]
mod suspects;

#[derive(Clone, Debug)]
enum Step {
    Add,
    Send,
    Settle(usize, Verdict),
    /// The first so many of them are not ready.
    Replicas(BTreeSet<u8>, usize),
    Probe(Sign),
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
        1 => (prop::collection::btree_set(1_u8..4, 0..3), 0_usize..3)
            .prop_map(|(numbers, unready)| Step::Replicas(numbers, unready)),
        1 => prop::sample::select(vec![Sign::Answer, Sign::Life, Sign::None]).prop_map(Step::Probe),
        2 => (0_u64..400_000).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens, each row is in one place, and all rows finish once servers answer.
    #[test]
    fn no_row_is_lost_or_doubled(steps in prop::collection::vec(step(), 0..200), jitter in 0.0..1.0) {
        let (mut dispatch, mut now) = (Dispatch::new(MAX_ATTEMPTS, MOST_IN_FLIGHT), Instant::now());
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
                Step::Replicas(numbers, unready) => {
                    let numbers: Vec<_> = numbers.into_iter().collect();
                    let (unready, ready) = numbers.split_at(unready.min(numbers.len()));
                    let aborted = dispatch.set_replicas(&ready_and_not(ready, unready), now);
                    open.retain(|sent| !aborted.contains(&sent.request));
                    prop_assert!(open.iter().all(|sent| dispatch.replicas.contains_key(&sent.replica)));
                }
                Step::Probe(sign) => {
                    for silent in dispatch.to_probe(now) {
                        let aborted = dispatch.probed(silent.replica, sign, now, jitter);
                        open.retain(|sent| !aborted.contains(&sent.request));
                    }
                }
                Step::Pass(millis) => {
                    now += Duration::from_millis(millis);
                    let aborted = dispatch.take_back_from_unready(now);
                    open.retain(|sent| !aborted.contains(&sent.request));
                }
            }
            let rows_in_flight: BTreeSet<_> = open.iter().map(|sent| sent.row).collect();
            prop_assert_eq!(rows_in_flight.len(), open.len(), "a row is in flight twice");
            prop_assert_eq!(dispatch.in_flight(), open.len());
        }
        let aborted = dispatch.set_replicas(&replicas(&[9]), now);
        open.retain(|sent| !aborted.contains(&sent.request));
        while !dispatch.is_empty() {
            open.extend(std::iter::from_fn(|| dispatch.next(now)));
            let probed = dispatch.to_probe(now);
            for silent in &probed {
                prop_assert_eq!(dispatch.probed(silent.replica, Sign::Answer, now, jitter), []);
            }
            let goes_on = !open.is_empty() || !probed.is_empty() || dispatch.wakes_at(now).is_some();
            prop_assert!(goes_on, "nothing would ever happen");
            for sent in open.drain(..) {
                prop_assert_eq!(dispatch.settle(sent.request, Verdict::Done, 1, now, jitter), Settled::Finished);
                prop_assert!(finished.insert(sent.row), "row {} finished twice", sent.row);
            }
            now = dispatch.wakes_at(now).unwrap_or(now);
        }
        prop_assert_eq!(finished, (0..added).collect());
    }
}

#[test]
fn replicas_without_a_row_are_given_back_when_no_new_rows_come() {
    let now = Instant::now();
    let mut dispatch = dispatch(8, &[1, 2, 3]);
    let sent = send_all(&mut dispatch, now);
    let rest = dispatch.give_back().unwrap();
    assert_eq!((rest.replicas, rest.given_back.len()), (3, 0), "all are busy");
    let (last, others) = sent.split_last().unwrap();
    for sent in others {
        dispatch.settle(sent.request, Verdict::Done, 1, now, 0.0);
    }
    let busy = pod(&dispatch, last);
    let rest = dispatch.give_back().unwrap();
    assert_eq!(rest.replicas, 1);
    assert_eq!(rest.given_back.len(), 2);
    assert!(!rest.given_back.contains(&busy), "{rest:?}");

    // The row that is sent again finds no way to a server that may be gone at any moment.
    dispatch.settle(last.request, LOST, 1, now, 0.0);
    assert_eq!(dispatch.give_back().unwrap().replicas, 1);
    let again = dispatch.next(now + seconds(60)).unwrap();
    dispatch.settle(again.request, Verdict::Done, 1, now, 0.0);
    assert_eq!(dispatch.give_back().unwrap().replicas, 0);
}

#[test]
fn rows_that_wait_keep_the_replicas() {
    let now = Instant::now();
    let mut dispatch = dispatch(300, &[1, 2, 3, 4, 5, 6]);
    assert_eq!(dispatch.give_back(), None, "there are rows to be sent");
    assert_eq!(send_all(&mut dispatch, now).len(), 300);
    assert_eq!(dispatch.give_back().unwrap().replicas, 6);
    assert!(!dispatch.set_replicas(&replicas(&[1, 2, 3]), now).is_empty());
    assert!(
        dispatch.give_back().unwrap().replicas > 3,
        "there are rows for more than there are"
    );
}
